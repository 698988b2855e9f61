"""The settings of a capture: depths, and the context that they need."""

from __future__ import annotations

from typing import Any

import pytest

from slmprof.errors import UsageError
from slmprof.settings.capture import CaptureConfig


@pytest.mark.parametrize(
    ("asked", "kept", "depths"),
    [
        (0, 0, (0,)),
        (512, 512, (512,)),
        ((512,), 512, (512,)),
        ([512, 0, 512], (512, 0), (512, 0)),
        (range(3), (0, 1, 2), (0, 1, 2)),
    ],
)
def test_depths(asked: Any, kept: Any, depths: tuple[int, ...]) -> None:
    config = CaptureConfig("m", n_depth=asked)
    assert (config.n_depth, config.n_depths) == (kept, depths)
    assert CaptureConfig.from_json(config.to_json()) == config


def test_json_has_a_number_or_a_list() -> None:
    assert CaptureConfig("m", n_depth=(7,)).to_json()["n_depth"] == 7
    assert CaptureConfig("m", n_depth=(7, 8)).to_json()["n_depth"] == [7, 8]


@pytest.mark.parametrize("asked", [-1, (), (0, -1), "0,512", 1.5, (0, True), None, 2**31])
def test_depths_that_cannot_be_meant(asked: Any) -> None:
    with pytest.raises(UsageError, match="n_depth"):
        CaptureConfig("m", n_depth=asked)


@pytest.mark.parametrize(
    ("settings", "n_ctx"),
    [
        ({}, 2048),
        ({"n_depth": 1948}, 2048),
        ({"n_depth": 1949}, 2304),
        ({"n_depth": (0, 8192, 512)}, 8448),
        ({"n_prompt": 4000, "n_gen": 96}, 4096),
        ({"n_depth": 512, "n_ctx": 700}, 700),
        ({"n_ctx": None}, 2048),
    ],
)
def test_a_context_that_was_not_asked_for_grows(settings: dict[str, Any], n_ctx: int) -> None:
    config = CaptureConfig("m", **settings)
    assert config.n_ctx_made == n_ctx and config.n_ctx == settings.get("n_ctx")
    assert CaptureConfig.from_json(config.to_json()) == config


def test_a_context_that_was_asked_for_does_not() -> None:
    with pytest.raises(UsageError, match="use --n-ctx 8292 or more"):
        CaptureConfig("m", n_depth=(0, 8192), n_ctx=2048)


def test_a_depth_beyond_any_context() -> None:
    with pytest.raises(UsageError, match="more than any context holds"):
        CaptureConfig("m", n_depth=2**31 - 1)


@pytest.mark.parametrize("asked", [None, 1, "", b"file", ["auto"]])
def test_ceilings_that_cannot_be_meant(asked: Any) -> None:
    with pytest.raises(UsageError, match="ceilings"):
        CaptureConfig("m", ceilings=asked)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_depth", tuple(range(101)), "n_depth: 101 values are too many; at most 100"),
        ("processes", 1001, "processes: 1001 is too large; at most 1000"),
    ],
)
def test_no_run_makes_a_profile_that_could_not_be_read(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        CaptureConfig("m", **{name: value})
