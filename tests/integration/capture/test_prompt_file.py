"""A prompt from a text file, on a model that has a vocabulary."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import slmprof

SETTINGS = {"n_gen": 2, "repeats": 1, "n_ctx": 256, "threads": 1}


def test_the_prompt_is_tokenized(model_with_vocabulary: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("ab\u00e9", encoding="utf-8")
    with slmprof.Session(model_with_vocabulary, n_ctx=256) as session:
        # <s>, the leading blank, "ab", and the two bytes of an e with an acute accent.
        expected = [1, 259, 260, 3 + 0xC3, 3 + 0xA9]
        assert session.read_prompt(prompt).tolist() == expected
    profile = slmprof.profile(model_with_vocabulary, prompt_file=prompt, **SETTINGS)
    assert profile.meta.config.n_prompt == 5
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


def test_a_text_far_too_long_is_refused_before_it_is_tokenized(
    model_with_vocabulary: Path, tmp_path: Path
) -> None:
    long = tmp_path / "long.txt"
    long.write_text(" " * 5000)
    # No token has more than 8 bytes.
    reason = "long.txt has 625 tokens or more, which do not fit in a context of 256"
    with pytest.raises(slmprof.UsageError, match=reason):
        slmprof.profile(model_with_vocabulary, prompt_file=long, **SETTINGS)


def test_a_word_of_any_length_is_tokenized(model_with_byte_pairs: Path, tmp_path: Path) -> None:
    """llama.cpp's regular expressions call themselves for each character, and end the process on
    an ordinary stack."""
    long = tmp_path / "long.txt"
    long.write_text("a" * 150_000)
    settings = {**SETTINGS, "n_ctx": 20_480}
    with pytest.raises(slmprof.UsageError, match=r"75\d\d\d .* do not fit in a context of 20480"):
        slmprof.profile(model_with_byte_pairs, prompt_file=long, **settings)


def test_other_threads_run_while_a_text_is_tokenized(model_with_vocabulary: Path) -> None:
    """Among them the one that ends a worker whose parent is gone."""
    with slmprof.Session(model_with_vocabulary, n_ctx=256) as session:
        found: list[int] = []
        # Blanks take the square of their number: seconds.
        work = threading.Thread(
            target=lambda: found.append(len(session.engine.tokenize(" " * 40_000)))
        )
        work.start()
        assert work.is_alive()
        work.join()
    assert found[0] > 40_000
