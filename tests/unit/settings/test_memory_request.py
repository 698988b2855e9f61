"""What can be asked of `slmprof memory`, and how it is read from the command line."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from slmprof.commands import memory as command
from slmprof.errors import UsageError
from slmprof.settings.kinds import Bytes
from slmprof.settings.planning import MemoryRequest
from slmprof.settings.table import MAX


def test_single_values_and_lists() -> None:
    request = MemoryRequest.from_json(
        {"model": "m.gguf", "n_ctx": [2048, "max", 2048], "flash_attn": "on", "mmap": [True, False]}
    )
    assert request.n_ctx == (2048, "max") and request.flash_attn == ("on",)
    settings = list(request.settings())
    assert request.n_settings == len(settings) == 4
    assert [(s.n_ctx, s.mmap) for s in settings] == [
        (2048, True), (2048, False), ("max", True), ("max", False),
    ]  # fmt: skip
    assert MemoryRequest.from_json(request.to_json()) == request


@pytest.mark.parametrize(
    "settings",
    [
        {"n_ctx": 0}, {"n_ctx": -1}, {"n_ctx": 2**31}, {"n_ctx": 10**30}, {"n_ctx": "most"},
        {"n_ctx": []}, {"n_ctx": True}, {"n_ctx": 1.5}, {"n_ctx": [None]}, {"n_batch": 0},
        {"n_ubatch": 0}, {"n_seq_max": 0}, {"n_outputs_max": -1}, {"flash_attn": "maybe"},
        {"flash_attn": []}, {"type_k": ""}, {"type_v": 5}, {"mmap": 1}, {"repack": "on"},
        {"swa_full": "on"}, {"threads": 0}, {"threads": 513}, {"override_tensor": ["x"]},
        {"override_tensor": [1]}, {"fit_bytes": 0}, {"fit_bytes": 2**63}, {"fit_bytes": 1.5},
        {"file_type": ""}, {"n_gen": 5}, {"fit_bytes": 10, "n_ctx": [1, 2]},
        {"n_ctx": list(range(1, 200)), "n_batch": list(range(1, 200))},
    ],
)  # fmt: skip
def test_what_cannot_be_meant(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        MemoryRequest.from_json({"model": "m.gguf", **settings})
    assert "\n" not in str(caught.value)


def test_a_fit_may_ask_for_no_context() -> None:
    request = MemoryRequest.of("m.gguf", fit_bytes=1000)
    assert request == MemoryRequest.from_json(request.to_json())
    assert [setting.n_ctx for setting in request.settings()] == [MAX]


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("8GiB", 8 << 30), ("4GB", 4 * 10**9), ("500MiB", 500 << 20), ("1024", 1024), ("1b", 1),
        ("1.5k", 1536), ("2 gib", 2 << 30), ("0.1TB", 10**11), (str(2**63 - 1), 2**63 - 1),
    ],
)  # fmt: skip
def test_amounts_of_memory(text: str, size_bytes: int) -> None:
    assert Bytes().check(Bytes().read(text)) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "0", "0GiB", "-1", "1e9", "8 potatoes", "GiB", "0.1b", "9" * 31, "\u0661", "9999999TiB"],
)
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(ValueError):
        Bytes().check(Bytes().read(text))


def test_options_become_a_request() -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    args = parser.parse_args(
        ["m.gguf", "--n-ctx", "2048,max", "--flash-attn", "on,off", "--no-repack", "--mmap",
         "on,off", "--swa-full", "off", "--n-outputs-max", "1,0", "--format", "json"]
    )  # fmt: skip
    request = command.make_request(args)
    assert request.n_ctx == (2048, "max") and request.flash_attn == ("on", "off")
    assert request.repack == (False,) and request.mmap == (True, False)
    assert request.swa_full == (False,) and request.n_outputs_max == (1, 0)
    assert request.details and request.tensors
    plain = command.make_request(parser.parse_args(["m.gguf"]))
    assert plain.n_ctx == (2048,) and plain.details and not plain.tensors
    for options in (["--n-ctx", "1,2"], ["--format", "csv"], ["--by", "layer"]):
        assert not command.make_request(parser.parse_args(["m.gguf", *options])).details
    fit = command.make_request(parser.parse_args(["m.gguf", "--fit", "1GiB"]))
    assert fit.n_ctx == () and fit.fit_bytes == 1 << 30
    with pytest.raises(UsageError):
        command.make_request(parser.parse_args(["m.gguf", "--fit", "1GiB", "--by", "layer"]))
