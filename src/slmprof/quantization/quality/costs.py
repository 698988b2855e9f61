"""What each weight costs: the reference with one weight of the model at a time."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ...children.native_errors import guarded
from ...children.protocol import OnProgress, Progress
from ...errors import UsageError
from ...models.ggml_types import weight_types
from ...settings.scoring import QualitySettings
from ..open_model import OpenModel
from . import statistics
from .reading import Reader, batches
from .records import WeightCost
from .tensors import WeightPair, weight_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tokens = NDArray[np.int32]
    Logits = NDArray[np.float32]


def weight_costs(
    model: OpenModel,
    reference: OpenModel,
    names: frozenset[str],
    chunks: Tokens,
    settings: QualitySettings,
    on_progress: OnProgress,
) -> tuple[int, list[WeightCost]]:
    """The divergence that each of some weights brings about alone.

    The reference is in memory once, with one weight exchanged at a time; its own logits of a chunk
    are kept in a temporary file, however large the vocabulary is.

    Args:
        names: of the weights.
        chunks: int32 [n_chunks, n_ctx].

    Returns:
        How many tokens were scored, and the costs, in the file's order.

    Raises:
        UsageError: a weight of the reference is quantized, so that it cannot hold other values.
        ModelError: a file is unusable. EngineError: llama.cpp failed.
    """
    with weight_pairs(model, reference) as every:
        pairs = [pair for pair in every if pair.b["tensor"] in names]
        _check_floats(pairs)
        reader = Reader("", reference, settings, is_writable=True)
        sums: list[list[NDArray[np.float64]]] = [[] for _ in pairs]
        for number, chunk in enumerate(chunks):
            with _kept(reader, chunk, settings) as kept:
                for at, pair in enumerate(pairs):
                    done = number * len(pairs) + at
                    on_progress(Progress("exchanging weights", done, len(chunks) * len(pairs)))
                    with _exchanged(reader, pair, settings):
                        sums[at].append(_divergences(reader, chunk, kept, settings))
    n_tokens = sum(map(len, sums[0])) if sums else 0
    made = [_cost(pair, np.concatenate(of)) for pair, of in zip(pairs, sums, strict=True)]
    return n_tokens, made


def _check_floats(pairs: list[WeightPair]) -> None:
    types = weight_types()
    for pair in pairs:
        known = types.get(pair.b["source"])
        if known is None or known.is_quantized:
            raise UsageError(
                f"costs: {pair.b['tensor']} of the reference is {pair.b['source']}, which cannot "
                "hold other values; take a reference of floats"
            )


@contextlib.contextmanager
def _kept(reader: Reader, chunk: Tokens, settings: QualitySettings) -> Iterator[list[Logits]]:
    """The reference's logits of each batch of a chunk, in a file."""
    with tempfile.TemporaryFile() as file:
        kept: list[Logits] = []
        for rows, _ in _scored(reader, chunk, settings):
            begin = file.seek(0, 2)
            file.write(np.ascontiguousarray(rows).data)
            file.flush()
            kept.append(np.memmap(file, np.float32, "r", begin, rows.shape))
        yield kept


@contextlib.contextmanager
def _exchanged(reader: Reader, pair: WeightPair, settings: QualitySettings) -> Iterator[None]:
    """Puts the model's weight in the reference's place, and that back."""
    try:
        _write(reader, pair, settings, is_own=True)
        yield
    finally:
        _write(reader, pair, settings, is_own=False)


def _write(reader: Reader, pair: WeightPair, settings: QualitySettings, *, is_own: bool) -> None:
    def write(slab: tuple[int, int]) -> None:
        begin = slab[0] * row_bytes
        data = _data_of(pair, slab, is_own=is_own)
        guarded(reader.path, lambda: reader.engine.write_weight(pair.b["tensor"], begin, data))

    row_bytes = pair.b["source_bytes"] // pair.n_rows
    with ThreadPoolExecutor(settings.n_threads) as pool:
        for _ in pool.map(write, pair.slabs()):
            pass


def _data_of(pair: WeightPair, slab: tuple[int, int], *, is_own: bool) -> NDArray[np.uint8]:
    from ... import _core

    if not is_own:
        return np.frombuffer(pair.other.data(pair.b, *slab), np.uint8)
    values = pair.own.values(pair.a, pair.own.data(pair.a, *slab))
    return _core.pack_rows(pair.b["source"], values)


def _scored(reader: Reader, chunk: Tokens, settings: QualitySettings) -> Iterator[Any]:
    reader.engine.truncate(0)
    for batch in batches(chunk, settings, int(reader.info["n_vocab"])):
        rows = reader.logits(batch.tokens, batch.first)[: len(batch.following)]
        if len(rows):
            yield rows, batch.following


def _divergences(
    reader: Reader, chunk: Tokens, kept: list[Logits], settings: QualitySettings
) -> NDArray[np.float64]:
    """Of each scored token of a chunk, in nats."""
    from ... import _core

    n_threads = settings.n_threads
    found = [
        _core.diverge(rows, of, following, as_stored=False, n_threads=n_threads)["kld"]
        for (rows, following), of in zip(_scored(reader, chunk, settings), kept, strict=True)
    ]
    return np.concatenate(found)


def _cost(pair: WeightPair, klds: NDArray[np.float64]) -> WeightCost:
    return WeightCost(
        tensor=pair.a["tensor"],
        type=pair.a["source"],
        reference_type=pair.b["source"],
        kld=statistics.mean(klds),
        size_bytes=pair.a["source_bytes"],
        reference_bytes=pair.b["source_bytes"],
    )
