"""Divergences of logits, as the native part computes them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slmprof import _core


def test_tokens_that_are_ruled_out_have_no_divergence() -> None:
    ruled_out = np.array([[1.0, 2.0, -np.inf]], np.float32)
    allowed = np.array([[1.0, 2.0, 0.0]], np.float32)
    nothing = _core.diverge(ruled_out, ruled_out, [1], as_stored=False, n_threads=1)
    assert nothing["kld"][0] == pytest.approx(0, abs=1e-7)
    found = _core.diverge(allowed, ruled_out, [1], as_stored=False, n_threads=1)
    total = np.exp([1, 2, 0]).sum()
    assert found["kld"][0] == pytest.approx(math.log(total / np.exp([1, 2]).sum()), rel=1e-5)


def test_any_number_of_threads_scores_alike() -> None:
    random = np.random.default_rng(0)
    ours, theirs = (random.standard_normal((7, 320)).astype(np.float32) for _ in range(2))
    targets = random.integers(0, 320, 7).tolist()
    first, *others = (
        _core.diverge(ours, theirs, targets, as_stored=False, n_threads=n) for n in (1, 2, 5)
    )
    for other in others:
        assert first.keys() == other.keys()
        assert all(np.array_equal(first[name], other[name]) for name in first)
