"""Outlines in other types beside what llama-quantize itself writes, for every architecture."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gguf_header import read_header

from slmprof.models.outline import outline
from slmprof.models.synthesis import synthesize
from slmprof.settings.dimensions import Dimensions

PROGRAMS = ("llama-quantize", "test-llama-archs")
FILE_TYPES = ("Q4_K_M", "Q2_K")
SMALL = Dimensions(
    architecture="llama", name="small", n_layer=10, n_embd=256, n_ff=512, n_head=4, n_head_kv=2,
    n_vocab=320, n_ctx_train=128,
)  # fmt: skip

# As the program says it, one line a tensor: "[ 1/ 77] NAME - [shape], type = f32, size = … (q4_K)".
_LINE = re.compile(r"\] (\S+) +- \[.*\], type = +(\S+), size = [^(\n]*(?:\((\w+)\))?$")
_TYPE_NAMES = {
    0: "f32", 1: "f16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 10: "q2_K",
    11: "q3_K", 12: "q4_K", 13: "q5_K", 14: "q6_K", 26: "i32", 30: "bf16",
}  # fmt: skip


@pytest.fixture(scope="module")
def peers() -> Path:
    """The folder of llama.cpp's own programs."""
    folder = Path(os.environ.get("SLMPROF_PEERS_DIR", "missing")).resolve()
    if not all((folder / program).is_file() for program in PROGRAMS):
        pytest.skip(f"SLMPROF_PEERS_DIR names no folder with {PROGRAMS} (see CONTRIBUTING.md)")
    return folder


def quantize(peers: Path, *arguments: object) -> str:
    """What llama-quantize says while it works, or pretends to."""
    command = [str(peers / PROGRAMS[0]), "--allow-requantize", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout + done.stderr


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


def test_every_architecture_gets_the_types_of_llama_quantize(peers: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    command = [peers / PROGRAMS[1], "--out", corpus, "--seed", "1"]
    failures = {}
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        models = sorted(corpus.glob("*.gguf"))
        for model, file_type in itertools.product(models, FILE_TYPES):
            said = quantize(peers, "--dry-run", model, file_type)
            lines = [match for line in said.splitlines() if (match := _LINE.search(line))]
            expected = [(line[1], line[3] or line[2]) for line in lines]
            outlined = outline(model, tmp_path, file_type=file_type)
            tensors = read_header(outlined).tensors.values()
            if [(t.name, _TYPE_NAMES[t.type]) for t in tensors] != expected:
                failures[f"{model.stem} as {file_type}"] = len(expected)
            outlined.unlink()
    finally:
        shutil.rmtree(corpus)  # a gigabyte
    assert len(models) > 100
    assert failures == {}


@pytest.mark.parametrize("source_type", ["F32", "Q6_K"])
@pytest.mark.parametrize("file_type", ["Q4_K_M", "Q3_K_M", "Q8_0", "F16"])
def test_an_outline_is_the_file_that_llama_quantize_writes(
    source_type: str, file_type: str, peers: Path, tmp_path: Path
) -> None:
    source = synthesize(SMALL, tmp_path / "source.gguf", file_type=source_type)
    quantize(peers, source, tmp_path / "real.gguf", file_type)
    outlined = outline(source, tmp_path, file_type=file_type)
    assert differences(tmp_path / "real.gguf", outlined) == []


def test_patterns_give_what_llama_quantize_gives(peers: Path, tmp_path: Path) -> None:
    patterns = [("attn_q", "q8_0"), (r"blk\.[02]\.ffn_(up|down)", "q5_K"), ("ffn_down", "q3_K")]
    source = synthesize(SMALL, tmp_path / "source.gguf", file_type="F32")
    options = [part for pair in patterns for part in ("--tensor-type", "=".join(pair))]
    quantize(peers, *options, source, tmp_path / "real.gguf", "Q4_K_M")
    ours = synthesize(SMALL, tmp_path / "ours.gguf", tensor_types=patterns)
    theirs = {name: t.type for name, t in read_header(tmp_path / "real.gguf").tensors.items()}
    assert {name: t.type for name, t in read_header(ours).tensors.items()} == theirs
