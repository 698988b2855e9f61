"""The logits of all tokens, streamed, against those of tokens that are decoded one by one."""

from __future__ import annotations

import _thread
import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import open_engine
from numpy.typing import NDArray

import slmprof
from slmprof import _core
from slmprof.profiles.vocabulary import PASS_TIMING

ModelMaker = Callable[..., Path]
Logits = NDArray[np.float32]
TOKENS = (np.arange(100, dtype=np.int32) * 7 + 1) % 512
# One kernel for products of any width, and no rounding of activations.
EXACT = {
    "n_threads": 1, "use_repack": False, "flash_attn": 0, "type_k": "f32", "type_v": "f32",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(small_model: ModelMaker) -> Path:
    return small_model("llama", "F32")


def open_exact(path: Path, **settings: Any) -> _core.Engine:
    return open_engine(path, **{**EXACT, **settings})


def score(engine: _core.Engine, tokens: NDArray[np.int32] = TOKENS) -> tuple[list[int], Logits]:
    """Positions of the batches, and all rows."""
    batches: list[tuple[int, Logits]] = []
    engine.score(tokens, lambda position, logits: batches.append((position, logits)))
    return [position for position, _ in batches], np.concatenate([rows for _, rows in batches])


@pytest.fixture(scope="module")
def one_by_one(model: Path) -> Logits:
    engine = open_exact(model)
    rows = []
    for token in TOKENS:
        engine.decode([token], PASS_TIMING)
        rows.append(engine.last_logits())
    return np.array(rows)


@pytest.mark.parametrize(
    ("n_batch", "n_ubatch"), [(2048, 512), (100, 100), (64, 32), (32, 32), (48, 7)]
)
def test_each_row_is_what_decoding_up_to_that_token_gives(
    model: Path, one_by_one: Logits, n_batch: int, n_ubatch: int
) -> None:
    engine = open_exact(model, n_batch=n_batch, n_ubatch=n_ubatch)
    positions, rows = score(engine)
    assert positions == list(range(0, len(TOKENS), min(n_batch, n_ubatch)))
    assert rows.shape == (len(TOKENS), 512)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, one_by_one, atol=2e-4)
    assert engine.n_past == len(TOKENS)
    # The rows differ by far more than the tolerance: one token off would be seen.
    assert np.abs(np.diff(rows, axis=0)).max(axis=1).min() > 0.01


def test_outputs_are_no_more_than_the_context_has(model: Path, one_by_one: Logits) -> None:
    engine = open_exact(model, n_ubatch=64, n_outputs_max=16)
    positions, rows = score(engine)
    assert positions == list(range(0, 100, 16))
    np.testing.assert_allclose(rows, one_by_one, atol=2e-4)


@pytest.mark.parametrize("first", [1, 30, 64, 99])
def test_only_the_tokens_from_one_on_have_logits(
    model: Path, one_by_one: Logits, first: int
) -> None:
    """With ubatches of 32, of which 8 tokens may have logits."""
    engine = open_exact(model, n_ubatch=32, n_outputs_max=8)
    positions: list[int] = []
    parts: list[Logits] = []

    def keep(position: int, logits: Logits) -> None:
        positions.append(position)
        parts.append(logits)

    engine.score(TOKENS, keep, first)
    assert np.allclose(np.concatenate(parts), one_by_one[first:], atol=1e-4)
    assert positions[0] == first and max(map(len, parts)) <= 8
    assert np.diff(positions).tolist() == [len(part) for part in parts[:-1]]
    assert engine.n_past == len(TOKENS)
    engine.truncate(0)
    for wrong in (-1, len(TOKENS)):
        with pytest.raises(ValueError, match="no logits are asked for from token"):
            engine.score(TOKENS, keep, wrong)


def test_scoring_goes_on_from_what_the_context_holds(model: Path, one_by_one: Logits) -> None:
    engine = open_exact(model, n_ubatch=16)
    engine.fill(TOKENS[:30])
    positions, rows = score(engine, TOKENS[30:])
    assert positions[0] == 30
    np.testing.assert_allclose(rows, one_by_one[30:], atol=2e-4)
    # And decoding from what scoring left.
    engine.truncate(50)
    engine.decode(TOKENS[50:51], PASS_TIMING)
    np.testing.assert_allclose(engine.last_logits(), one_by_one[50], atol=2e-4)


def test_an_exception_of_the_consumer_ends_it_after_a_whole_batch(model: Path) -> None:
    engine = open_exact(model, n_ubatch=16)
    positions: list[int] = []

    def stop(position: int, _: Logits) -> None:
        positions.append(position)
        if position == 32:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        engine.score(TOKENS, stop)
    assert positions == [0, 16, 32]
    assert engine.n_past == 48
    engine.truncate(0)
    assert len(score(engine)[1]) == 100


def test_a_consumer_cannot_call_its_own_engine_but_another(model: Path) -> None:
    engine, other = open_exact(model), open_exact(model)
    with pytest.raises(ValueError, match="busy"):
        engine.score(TOKENS[:8], lambda *_: engine.truncate(0))
    seen: list[int] = []
    engine.truncate(0)
    engine.score(TOKENS[:8], lambda *_: seen.append(len(score(other, TOKENS[:4])[1])))
    assert seen == [4]


def test_ctrl_c_ends_it(model: Path) -> None:
    engine = open_exact(model, n_ubatch=1)
    started = threading.Event()

    def interrupt() -> None:
        started.wait(10)
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        while True:
            engine.truncate(0)
            engine.score(TOKENS, lambda *_: started.set())
    thread.join()
    engine.truncate(0)
    assert len(score(engine)[1]) == 100


def test_one_batch_of_logits_is_alive_at_a_time(model: Path) -> None:
    engine = open_exact(model, n_ubatch=10)
    alive: list[weakref.ref[Logits]] = []

    def consume(_: int, logits: Logits) -> None:
        assert [ref for ref in alive if ref() is not None] == []
        alive.append(weakref.ref(logits))

    engine.score(TOKENS, consume)
    gc.collect()
    assert len(alive) == 10
    assert all(ref() is None for ref in alive)
    output = [b for b in engine.buffers() if b["kind"] == "output"]
    assert sum(b["size_bytes"] for b in output) < 2 * 10 * 512 * 4


def test_an_array_that_is_kept_keeps_its_values(model: Path, one_by_one: Logits) -> None:
    engine = open_exact(model, n_ubatch=16)
    _, rows = score(engine)
    del engine
    np.testing.assert_allclose(rows, one_by_one, atol=2e-4)


def test_what_cannot_be_scored_is_refused(model: Path) -> None:
    engine = open_exact(model)
    with pytest.raises(ValueError, match="no tokens"):
        engine.score([], lambda *_: None)
    with pytest.raises(ValueError, match="vocabulary"):
        engine.score([512], lambda *_: None)
    with pytest.raises(ValueError, match="do not fit"):
        engine.score(np.ones(513, dtype=np.int32), lambda *_: None)
    assert engine.n_past == 0


def test_a_session_streams_logits_and_raises_what_the_consumer_raised(model: Path) -> None:
    with slmprof.Session(model, n_ctx=256, n_ubatch=16, threads=1) as session:
        shapes: list[tuple[int, ...]] = []
        session.score(TOKENS, lambda _, logits: shapes.append(logits.shape))
        assert shapes == [(16, 512)] * 6 + [(4, 512)]

        def fail(*_: object) -> None:
            raise ValueError("not slmprof's")

        session.rewind(0)
        with pytest.raises(ValueError, match="not slmprof's") as raised:
            session.score(TOKENS, fail)
        assert not isinstance(raised.value, slmprof.SlmprofError)
        with pytest.raises(slmprof.UsageError, match="do not fit"):
            session.score(np.ones(300, dtype=np.int32), fail)
