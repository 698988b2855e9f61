"""ggml's devices by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from engines import make_settings, open_engine

from slmprof import _core

ModelMaker = Callable[..., Path]


def test_the_cpu_is_listed_with_its_memory() -> None:
    cpu = next(device for device in _core.devices() if device["type"] == "cpu")
    assert cpu["name"]
    assert cpu["description"]
    assert 0 < cpu["memory_free_bytes"] <= cpu["memory_total_bytes"]


def test_an_unknown_device_is_an_error_that_lists_the_known(small_model: ModelMaker) -> None:
    settings = make_settings(small_model(), devices=["FPGA99"], n_gpu_layers=-1)
    known = _core.devices()[0]["name"]
    for use in (_core.Engine, _core.Planner):
        with pytest.raises(ValueError, match=rf"no device 'FPGA99'.*{known}"):
            use(settings)


def test_naming_the_cpu_is_the_default(small_model: ModelMaker) -> None:
    named = open_engine(small_model(), devices=[_core.devices()[0]["name"]])
    assert named.buffers() == open_engine(small_model()).buffers()
    assert {buffer["device"] for buffer in named.buffers()} == {_core.devices()[0]["name"]}
