"""A cache of a sliding window lets go of tokens: how far back a context can go depends on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engines import open_engine

import slmprof
from slmprof.analysis.layers.flags import OddWindows
from slmprof.analysis.verdicts.breakdown import break_down

ModelMaker = Callable[..., Path]
WINDOW, N_CTX, N_CELLS = 64, 1024, 256
DEPTH = 600
TOKENS = np.arange(N_CTX, dtype=np.int32) * 7 % 512


@pytest.fixture(scope="module")
def model(small_model: ModelMaker) -> Path:
    return small_model("gemma2", extra=(("attention.sliding_window", WINDOW),), n_ctx_train=N_CTX)


def test_the_window_has_a_cache_of_its_own(model: Path) -> None:
    for swa_full, n_cells in ((False, N_CELLS), (True, N_CTX)):
        places = open_engine(model, n_ctx=N_CTX, n_ubatch=64, swa_full=swa_full).places()
        is_cache = np.array(places["kind"]) == "kv_cache"
        rows = zip(places["cache"], places["n_cells"], places["n_swa"], strict=True)
        caches = {tuple(map(int, row)) for row, mine in zip(rows, is_cache, strict=True) if mine}
        assert caches == {(0, N_CTX, 0), (1, n_cells, WINDOW)}
        assert sorted(set(places["layer"][is_cache].tolist())) == [0, 1, 2]


@pytest.mark.parametrize("n_more", [100, 300])
def test_going_back_gives_the_logits_of_the_first_time(model: Path, n_more: int) -> None:
    """While the window's cells are there they are kept; otherwise all is computed anew."""
    engine = open_engine(model, n_ctx=N_CTX, n_ubatch=64)
    engine.fill(TOKENS[:DEPTH])
    engine.prefill(TOKENS[DEPTH : DEPTH + n_more], 0)
    first = engine.last_logits()
    is_kept = engine.truncate(DEPTH)
    assert is_kept == (n_more <= N_CELLS - WINDOW)
    assert engine.n_past == (DEPTH if is_kept else 0)
    if not is_kept:
        engine.fill(TOKENS[:DEPTH])
    engine.prefill(TOKENS[DEPTH : DEPTH + n_more], 0)
    np.testing.assert_allclose(engine.last_logits(), first, rtol=1e-3, atol=1e-4)


def test_depths_beyond_the_window_are_measured(model: Path) -> None:
    profile = slmprof.profile(
        model, n_prompt=300, n_gen=2, n_depth=(0, DEPTH), n_ctx=N_CTX, n_ubatch=64, repeats=2,
        threads=1,
    )  # fmt: skip
    assert profile.depths == (0, DEPTH)
    steps = profile.at_depth(DEPTH).steps
    assert set(steps.n_past[steps.phase == 0].tolist()) == {DEPTH}


def test_layers_of_the_whole_context_are_named_and_nothing_else_of_them(
    small_model: ModelMaker,
) -> None:
    path = small_model(
        "gemma2", n_layer=6, extra=(("attention.sliding_window", WINDOW),), n_ctx_train=N_CTX
    )
    profile = slmprof.profile(
        path, n_prompt=20, n_gen=2, n_ctx=N_CTX, n_ubatch=64, repeats=1, threads=1, ceilings="off"
    )
    flags = [flag for flag in break_down(profile).layer_flags if flag.kind == "structure"]
    assert [flag.layers for flag in flags] == [(1, 3, 5)]
    figures = flags[0].figures
    assert isinstance(figures, OddWindows)
    assert (figures.window, figures.usual_window) == (None, WINDOW)
