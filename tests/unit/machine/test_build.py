"""What `--version --verbose` says of the build."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

import slmprof
from slmprof.commands.main import main
from slmprof.machine.build import describe_build


def test_each_thing_that_is_known_has_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build = {
        "llama_cpp_version": "0.5.0", "llama_cpp_source": "checkout", "blas": True, "rpc": False,
        "features": ["hadamard", "tiled_products"], "build_type": "Release",
    }  # fmt: skip
    native = SimpleNamespace(
        build_info=lambda: dict(build), cpu_features=lambda: "CPU : AVX2 = 1 | FMA = 1 | "
    )
    monkeypatch.setattr(slmprof, "_core", native, raising=False)
    monkeypatch.setitem(sys.modules, "slmprof._core", native)
    expected = [
        "llama.cpp: 0.5.0 (checkout)", "blas: on", "rpc: off",
        "features: hadamard, tiled_products", "build type: Release",
        "code for this CPU : AVX2 = 1 | FMA = 1",
    ]  # fmt: skip
    assert describe_build() == expected
    build["features"] = []
    assert "features: none" in describe_build()
    assert main(["--version", "--verbose"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("slmprof ") and others == describe_build()
    assert main(["--verbose", "--version"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == describe_build()
    assert main(["--verbose", "show", "none.slmprof"]) == 2
    assert "--verbose says more of --version" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_native_part_that_cannot_be_loaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(slmprof, "_core", raising=False)
    monkeypatch.setitem(sys.modules, "slmprof._core", None)
    (line,) = describe_build()
    assert line.startswith("the native part cannot be loaded")
