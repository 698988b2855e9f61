"""Outlines in other types beside what llama-quantize itself writes, for every architecture."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gguf_header import read_header

from slmprof.models import outline, synthesize

PROGRAMS = ("llama-quantize", "test-llama-archs")
FILE_TYPES = ("Q4_K_M", "Q2_K")


@pytest.fixture(scope="module")
def peers() -> Path:
    """The folder of llama.cpp's own programs."""
    folder = Path(os.environ.get("SLMPROF_PEERS_DIR", "missing")).resolve()
    if not all((folder / program).is_file() for program in PROGRAMS):
        pytest.skip(f"SLMPROF_PEERS_DIR names no folder with {PROGRAMS} (see CONTRIBUTING.md)")
    return folder


def run(peers: Path, source: Path, target: Path, file_type: str, *options: str) -> None:
    command = [
        str(peers / PROGRAMS[0]), "--allow-requantize", *options,
        str(source), str(target), file_type, "2",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]


def differences(real: Path, outlined: Path) -> list[str]:
    """What differs between the file and the outline; data does not count."""
    a, b = read_header(real), read_header(outlined)
    keys, names = {**a.metadata, **b.metadata}, {**a.tensors, **b.tensors}
    found = [f"key {key}" for key in keys if a.metadata.get(key) != b.metadata.get(key)]
    found += [f"tensor {name}" for name in names if a.tensors.get(name) != b.tensors.get(name)]
    if list(a.tensors) != list(b.tensors):
        found.append("the order of the tensors")
    if real.stat().st_size != outlined.stat().st_size:
        found.append(f"{real.stat().st_size} and {outlined.stat().st_size} bytes")
    return found


def test_every_architecture_is_outlined_as_llama_quantize_writes_it(
    peers: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    command = [peers / PROGRAMS[1], "--out", corpus, "--seed", "1"]
    failures = {}
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        models = sorted(corpus.glob("*.gguf"))
        for model, file_type in itertools.product(models, FILE_TYPES):
            real = tmp_path / "real.gguf"
            run(peers, model, real, file_type)
            outlined = outline(model, tmp_path, file_type=file_type)
            found = differences(real, outlined)
            if found:
                failures[f"{model.stem} as {file_type}"] = found[:3]
            outlined.unlink()
    finally:
        shutil.rmtree(corpus)  # a gigabyte
    assert len(models) > 100
    assert failures == {}


def test_a_quantized_file_is_outlined_as_llama_quantize_requantizes_it(
    peers: Path, tmp_path: Path
) -> None:
    source = synthesize("tiny", tmp_path / "source.gguf", file_type="Q6_K")
    for file_type in ("Q4_K_M", "Q8_0", "F16"):
        real = tmp_path / "real.gguf"
        run(peers, source, real, file_type)
        assert differences(real, outline(source, tmp_path, file_type=file_type)) == []


def test_patterns_give_what_llama_quantize_gives(peers: Path, tmp_path: Path) -> None:
    patterns = [("attn_q", "q8_0"), (r"blk\.[02]\.ffn_(up|down)", "q5_K"), ("ffn_down", "q3_K")]
    source = synthesize("tiny", tmp_path / "source.gguf", file_type="F32")
    real = tmp_path / "real.gguf"
    options = [part for pair in patterns for part in ("--tensor-type", "=".join(pair))]
    run(peers, source, real, "Q4_K_M", *options)
    ours = synthesize("tiny", tmp_path / "ours.gguf", tensor_types=patterns)
    theirs = {name: t.type for name, t in read_header(real).tensors.items()}
    assert {name: t.type for name, t in read_header(ours).tensors.items()} == theirs
