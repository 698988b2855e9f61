"""Every setting refuses what it cannot be, in one line that names it; whatever a caller gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from wrong_values import check_told, wrong_values

from slmprof.errors import SlmprofError, UsageError
from slmprof.settings.capture import CaptureConfig
from slmprof.settings.planning import AskedPlan, MemoryRequest
from slmprof.settings.recipe import Recipe
from slmprof.settings.scoring import ImatrixSettings, QualitySettings
from slmprof.settings.studies import AdviceSettings, DossierSettings
from slmprof.settings.table import Setting, table

Make = Callable[..., Any]

MAKERS: list[tuple[Make, tuple[type[Any], ...]]] = [
    (lambda **asked: CaptureConfig.from_json({"model": "m.gguf", **asked}), (CaptureConfig,)),
    (lambda **asked: MemoryRequest.of("m.gguf", **asked), (AskedPlan, MemoryRequest)),
    (Recipe.of, (Recipe,)),
    (ImatrixSettings.of, (ImatrixSettings,)),
    (QualitySettings.of, (QualitySettings,)),
    (DossierSettings.of, (DossierSettings,)),
    (AdviceSettings.of, (AdviceSettings,)),
]
SETTINGS = [
    pytest.param(make, entry, id=f"{classes[0].__name__}-{name}")
    for make, classes in MAKERS
    for of in classes
    for name, entry in table(of).items()
]
# Tokens are counted together, and a device decides of layers: their errors name the others, too.
TOGETHER = {
    "n_depth": "tokens", "n_prompt": "tokens", "n_gen": "tokens", "n_ctx": "tokens",
    "processes": "RPC", "fit_for": "device",
}  # fmt: skip


@pytest.mark.parametrize(("make", "entry"), SETTINGS)
def test_a_setting_that_cannot_be_meant(make: Make, entry: Setting) -> None:
    n_refused = 0
    for value in wrong_values():
        try:
            made = make(**{entry.name: value})
        except SlmprofError as error:
            check_told(error, entry.name, TOGETHER.get(entry.name, entry.name))
            assert isinstance(error, UsageError)
            n_refused += 1
            continue
        # What is taken is what another process and the native library can be given.
        json.dumps(made.to_json())
        assert value is not None or entry.default is None
    assert n_refused > 20


def test_nothing_but_a_model_is_one() -> None:
    for value in wrong_values():
        if isinstance(value, str):
            continue
        for make in (CaptureConfig, MemoryRequest.of):
            with pytest.raises(UsageError) as caught:
                make(value)
            check_told(caught.value, "model")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n_ctx": 2**40}, f"n_ctx: {2**40} is too large; at most 2147483647 is possible"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"n_gpu_layers": 2**31, "device": "cuda"}, "n_gpu_layers: 2147483648 is too large"),
        ({"mmap": "no"}, "mmap: 'no' is not true or false"),
        ({"type_k": None}, "type_k: None is not the name of a type"),
        ({"type_k": "\ud800"}, "it is not UTF-8"),
        ({"threads": 513}, "at most 512 is possible (llama.cpp's own limit)"),
        ({"prompt_file": b"p.txt"}, "is not a file; give its path as text or pathlib.Path"),
        ({"device": "a\nb"}, "device: 'a\\nb' is not the name of a device"),
        ({"device": "cuda,cuda:0"}, "device: 'cuda:0' names a device twice"),
        ({"device": "rpc:h:1,rpc:H:1"}, "names a device twice"),
    ],
)
def test_what_is_said(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        CaptureConfig.from_json({"model": "m.gguf", **asked})
    assert message in str(caught.value)


@pytest.mark.parametrize("several", [["all", "Q99"], ("Q8_0", "all")])
def test_all_types_are_named_alone(several: Any) -> None:
    with pytest.raises(UsageError, match="file_type: all stands for every type; name it alone"):
        MemoryRequest.of("m.gguf", file_type=several)
    assert MemoryRequest.of("m.gguf", file_type="all").file_type == ("all",)


def test_a_number_of_numpy_is_one() -> None:
    import numpy as np

    given: dict[str, Any] = {"n_prompt": np.int64(7), "n_depth": np.array([0, 5])}
    config = CaptureConfig("m.gguf", **given)
    assert json.loads(json.dumps(config.to_json()))["n_depth"] == [0, 5]
    assert type(config.n_prompt) is int
