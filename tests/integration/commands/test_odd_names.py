"""Models whose names and paths are not UTF-8, or would steer a terminal, on the real engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gguf_files import (
    N_EMBD,
    N_FF,
    N_LAYER,
    N_VOCAB,
    common_metadata,
    llama_shapes,
    write_gguf,
    write_split_llama,
)
from hostile import HOSTILE, steering

from slmprof.views import load

HOSTILE_BYTES = HOSTILE.replace("\0", "").encode() + b"\xff\xc3("
SMALL = [
    *("--n-prompt", "4", "--n-gen", "2", "--repeats", "1", "--n-ctx", "64", "--threads", "1"),
]  # fmt: skip


def run(*arguments: str | bytes | Path, code: int = 0) -> str:
    """What a command says, on both streams; checks its status and that nothing steers."""
    answer = subprocess.run(
        [sys.executable, "-m", "slmprof", *arguments],
        capture_output=True,
        check=False,
    )
    text = (answer.stdout + answer.stderr).decode()
    assert answer.returncode == code, text
    assert steering(text) == set()
    assert "unexpected" not in text and "Traceback" not in text
    return text


def write_model(path: Path, **changes: object) -> Path:
    """A small Llama with metadata changed, by keys with `__` for the dot."""
    metadata: dict[str | bytes, object] = {
        **common_metadata("llama"),
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        **{key.replace("__", "."): value for key, value in changes.items()},
        b"odd." + HOSTILE_BYTES: HOSTILE_BYTES,
    }
    return write_gguf(path, metadata, llama_shapes(N_LAYER, N_EMBD, N_FF, N_VOCAB, N_EMBD))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("odd") / os.fsdecode(b"caf\xe9")
    try:
        made.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    return made


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return write_model(folder / "m.gguf", general__name=b"caf\xe9 " + HOSTILE_BYTES)


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_memory(model: Path, form: str) -> None:
    assert "weights" in run("memory", model, "--format", form)


def test_breakdown_and_show(model: Path, folder: Path) -> None:
    saved = folder / "run.slmprof"
    text = run("breakdown", model, *SMALL, "--save", saved)
    assert "caf\ufffd" in text
    name = load(saved).meta.model.name
    assert name is not None and name.startswith("caf\ufffd")
    for form in ("table", "csv", "markdown"):
        run("show", saved, "--format", form)
    run("compare", saved, saved)


def test_synthesis(folder: Path) -> None:
    made = folder / "made.gguf"
    assert "written" not in run("synth", "tiny", "-o", made)
    assert made.stat().st_size > 2**20


def test_quantization(model: Path, folder: Path) -> None:
    run("quant", "dry-run", model, "--file-type", "Q8_0")
    made = folder / "q8.gguf"
    run("quant", "make", model, "-o", made, "--file-type", "Q8_0")
    assert "q8_0" in run("quant", "dry-run", made, "--file-type", "Q8_0")


def test_parts_in_such_a_folder(folder: Path) -> None:
    run("memory", write_split_llama(folder))


def test_paths_from_python(model: Path) -> None:
    import slmprof

    profile = slmprof.profile(model, n_prompt=4, n_gen=2, n_ctx=64, repeats=1, threads=1)
    assert profile.meta.model.name is not None and "\ufffd" in profile.meta.model.name
    assert len(slmprof.memory(model, n_ctx=64)) > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"general__architecture": b"lla" + HOSTILE_BYTES},
        {"tokenizer__ggml__model": b"gpt2" + HOSTILE_BYTES},
        {"llama__block_count": b"many" + HOSTILE_BYTES},
        {"llama__context_length": 0, "general__name": HOSTILE_BYTES},
    ],
)
@pytest.mark.parametrize("command", [["memory"], ["breakdown", *SMALL], ["quant", "dry-run"]])
def test_what_llama_cpp_refuses(
    changes: dict[str, object], command: list[str], tmp_path: Path
) -> None:
    model = write_model(tmp_path / "m.gguf", **changes)
    answer = subprocess.run(
        [sys.executable, "-m", "slmprof", *command, model],
        capture_output=True,
        check=False,
    )
    text = (answer.stdout + answer.stderr).decode()
    assert answer.returncode in (0, 1, 2) and steering(text) == set()
    assert "unexpected" not in text and "Traceback" not in text


def test_tensors(tmp_path: Path) -> None:
    shapes = {
        **llama_shapes(N_LAYER, N_EMBD, N_FF, N_VOCAB, N_EMBD),
        b"odd.\xff\x1b[2J.weight": (N_EMBD,),
    }
    metadata = {**common_metadata("llama"), "llama.attention.layer_norm_rms_epsilon": 1e-5}
    model = write_gguf(tmp_path / "m.gguf", metadata, shapes)
    # llama.cpp knows no such tensor.
    for command in (["memory"], ["breakdown", *SMALL], ["quant", "dry-run"]):
        assert "llama.cpp cannot load it" in run(*command, model, code=2)


def test_texts_and_failures_of_the_native_library(model: Path, tmp_path: Path) -> None:
    from slmprof import _core

    path = os.fsencode(model)
    settings = _core.EngineSettings()
    settings.path = path
    assert settings.path == str(model) and os.fsencode(settings.path) == path
    assert _core.source_tensors(path)["parts"] == [str(model)]
    missing = os.fsencode(tmp_path / "none") + b"\xff"
    settings.path = missing
    with pytest.raises(_core.NativeModelError, match="\ufffd"):
        _core.Planner(settings)
    type_name: Any = b"q\xff"
    with pytest.raises(ValueError, match="\ufffd"):
        _core.tensor_size_bytes(type_name, [32])
    with pytest.raises(OSError, match="No such file") as caught:
        _core.write_outline(missing + b"/x", [], [])
    assert os.fsencode(caught.value.filename) == missing + b"/x"
