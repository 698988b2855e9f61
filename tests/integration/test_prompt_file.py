"""A prompt from a text file, on a model that has a vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import small_dimensions

import slmprof
from slmprof import _core
from slmprof.models.synthesis import plan_model

SETTINGS = {"n_gen": 2, "repeats": 1, "n_ctx": 256, "threads": 1}


@pytest.fixture(scope="module")
def model_with_vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece vocabulary: three control tokens, all bytes, and pieces of letters."""
    plan = plan_model(small_dimensions("llama"), "Q4_K_M", 0)
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "ab"]
    pieces += [f"piece{i}" for i in range(512 - len(pieces))]
    kinds = [2, 3, 3, *([6] * 256), *([1] * (512 - 259))]
    metadata = [item for item in plan.metadata if not item[0].startswith("tokenizer.")]
    metadata += [
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.ggml.tokens", tuple(pieces)),
        ("tokenizer.ggml.scores", tuple(float(-i) for i in range(512))),
        ("tokenizer.ggml.token_type", tuple(kinds)),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.eos_token_id", 2),
    ]
    path = tmp_path_factory.mktemp("vocabulary") / "model.gguf"
    tensors = [(t.name, t.shape, t.type, t.fill) for t in plan.tensors]
    _core.write_random_gguf(str(path), metadata, tensors, seed=0)
    return path


def test_the_prompt_is_tokenized(model_with_vocabulary: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("ab\u00e9", encoding="utf-8")
    with slmprof.Session(model_with_vocabulary, n_ctx=256) as session:
        # <s>, the leading blank, "ab", and the two bytes of an e with an acute accent.
        expected = [1, 259, 260, 3 + 0xC3, 3 + 0xA9]
        assert session.read_prompt(prompt).tolist() == expected
    profile = slmprof.profile(model_with_vocabulary, prompt_file=prompt, **SETTINGS)
    assert profile.meta.config["n_prompt"] == 5
    prefill = profile.steps.phase == 0
    assert np.all(profile.steps.n_tokens[prefill] == 5)


def test_bad_prompts(model_with_vocabulary: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bytes.bin"
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(slmprof.UsageError, match="UTF-8"):
        slmprof.profile(model_with_vocabulary, prompt_file=bad, **SETTINGS)
    long = tmp_path / "long.txt"
    long.write_text("ab " * 300)
    with pytest.raises(slmprof.UsageError, match="--n-ctx"):
        slmprof.profile(model_with_vocabulary, prompt_file=long, **SETTINGS)
    with pytest.raises(slmprof.UsageError, match="directory"):
        slmprof.profile(model_with_vocabulary, prompt_file=tmp_path, **SETTINGS)
