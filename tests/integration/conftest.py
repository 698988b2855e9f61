"""Small synthetic models of every architecture that has tests, made once in each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus_run import Corpus, run_corpus
from small_models import small_dimensions

pytest.importorskip("slmprof._core", reason="the native library is not built")

from slmprof import _core
from slmprof.analysis.timing import disturbance, phases
from slmprof.machine.ceilings import ceilings
from slmprof.models.synthesis import plan_model, synthesize
from slmprof.system.cores import usable_cores


@pytest.fixture(scope="session", autouse=True)
def _ceilings_are_known(_cache_of_these_tests: None) -> None:
    """Measures this machine's ceilings, so that no test does while it waits for its own."""
    ceilings(1)


@pytest.fixture(scope="session")
def two_cores(_ceilings_are_known: None) -> int:
    """How many cores tests have that ask for it: all, while no other test runs (turns.py)."""
    if usable_cores() < 2:
        pytest.skip("needs two cores")
    # As ceilings of one thread know on how many cores it had the machine for itself.
    for n_threads in (1, 2):
        ceilings(n_threads)
    return usable_cores()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """llama.cpp's own models, each planned and run."""
    return run_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def any_load() -> Iterator[None]:
    """What else the machine does is not for such a test to judge: no step counts as disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disturbance, "MAX_EXCESS", float("inf"))
        patch.setattr(phases, "MAX_DIFFERENCE_OF_SHARES", float("inf"))
        patch.setattr(phases, "MAX_OFF_CORE", float("inf"))
        yield


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Path of a small model: `small_model("llama", "Q4_K_M", n_layer=2)`."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}

    def make(architecture: str = "llama", file_type: str = "Q4_K_M", **changes: object) -> Path:
        key = f"{architecture}-{file_type}-" + "-".join(f"{k}{v}" for k, v in changes.items())
        if key not in made:
            path = folder / f"{key}.gguf"
            dimensions = small_dimensions(architecture, **changes)
            made[key] = synthesize(dimensions, path, file_type=file_type)
        return made[key]

    return make


@pytest.fixture(scope="session")
def model_with_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece vocabulary: three control tokens, all bytes, and pieces of letters."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "ab"]
    pieces += [f"piece{i}" for i in range(512 - len(pieces))]
    kinds = [2, 3, 3, *([6] * 256), *([1] * (512 - 259))]
    tokenizer = [
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.ggml.tokens", tuple(pieces)),
        ("tokenizer.ggml.scores", tuple(float(-i) for i in range(512))),
        ("tokenizer.ggml.token_type", tuple(kinds)),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.eos_token_id", 2),
    ]
    return _write_with(tokenizer, tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def model_with_byte_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of byte pairs, whose texts the standard library's regular expressions cut."""
    pieces = [chr(code) for code in range(33, 127)] + ["\u0120", "aa"]
    pieces += [f"piece{i}" for i in range(512 - len(pieces))]
    tokenizer = [
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "tekken"),
        ("tokenizer.ggml.tokens", tuple(pieces)),
        ("tokenizer.ggml.token_type", (1,) * len(pieces)),
        ("tokenizer.ggml.merges", ("a a",)),
    ]
    return _write_with(tokenizer, tmp_path_factory.mktemp("byte-pairs"))


def _write_with(tokenizer: list[tuple[str, Any]], folder: Path) -> Path:
    """A small model with this vocabulary of 512 tokens."""
    plan = plan_model(small_dimensions("llama"), "Q4_K_M", 0)
    metadata = [item for item in plan.metadata if not item[0].startswith("tokenizer.")]
    path = folder / "model.gguf"
    tensors = [(t.name, t.shape, t.type, t.fill) for t in plan.tensors]
    _core.write_random_gguf(str(path), [*metadata, *tokenizer], tensors, seed=0)
    return path
