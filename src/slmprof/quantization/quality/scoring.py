"""Runs a text through a model and its reference; in the child process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...children.protocol import OnProgress, Progress
from ...errors import EngineError, UsageError
from ...settings.scoring import QualitySettings
from ..texts import chunks_of, read_text, trained_model
from . import layers, statistics
from .costs import weight_costs
from .reading import Reader, batches
from .records import Quality, Scored
from .tensors import deviations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tokens = NDArray[np.int32]

_FEW_TOKENS = 100


def measure(
    model: str,
    reference: str | None,
    text: str,
    settings: QualitySettings,
    on_progress: OnProgress,
) -> Quality:
    """The quality of a model on a text.

    Raises:
        UsageError: the text is none, a model cannot read it, its weights are random, or the two
            have other vocabularies. ModelError: a file is unusable. EngineError: llama.cpp failed.
    """
    content = read_text(Path(text))
    if settings.costs and reference is None:
        raise UsageError("costs are measured against a reference; give --reference")
    own, other = (
        Reader(one, trained_model(one, "quality", on_progress), settings) if one else None
        for one in (model, reference)
    )
    assert own is not None
    chunks = chunks_of(own.engine, content, settings, text)
    if other is not None:
        _check_vocabularies(own, other, chunks, content, settings)
    columns: dict[str, list[Any]] = {}
    sums = layers.LayerSums()
    for number, chunk in enumerate(chunks):
        on_progress(Progress("scoring", number, len(chunks)))
        for name, values in _score(own, other, chunk, settings).items():
            columns.setdefault(name, []).append(values)
        if other is not None and number < layers.CHUNKS:
            sums.add(*(one.layer_outputs(chunk[: layers.TOKENS]) for one in (own, other)))
    found = {name: np.concatenate(parts) for name, parts in columns.items()}
    scored = Scored(
        text=Path(text).name,
        n_tokens=len(found["nll"]),
        n_chunks=len(chunks),
        n_ctx=settings.n_ctx,
        both_halves=settings.both_halves,
        compatible=settings.compatible,
    )
    made = Quality(own.about(), scored, statistics.perplexity(found["nll"]), notes=_notes(scored))
    if other is None:
        return made
    on_progress(Progress("comparing weights", 0, 1))
    made = made.replace(
        reference=other.about(),
        divergence=statistics.divergence(found),
        n_layer_tokens=sums.n_tokens,
        layers=tuple(sums.deviations()),
        tensors=tuple(deviations(own.opened, other.opened, settings.n_threads)),
    )
    return _with_costs(made, own, other, chunks, settings, on_progress) if settings.costs else made


def _with_costs(
    made: Quality,
    own: Reader,
    other: Reader,
    chunks: Tokens,
    settings: QualitySettings,
    on_progress: OnProgress,
) -> Quality:
    names = frozenset(one.tensor for one in made.tensors)
    first = chunks[: settings.cost_chunks]
    models = own.opened, other.opened
    for reader in (own, other):
        reader.close()
    n_tokens, costs = weight_costs(*models, names, first, settings, on_progress)
    return made.replace(n_cost_tokens=n_tokens, costs=tuple(costs))


def _score(
    own: Reader, other: Reader | None, chunk: Tokens, settings: QualitySettings
) -> dict[str, Any]:
    """A value for each scored token of a chunk, by column."""
    from ... import _core

    n_threads = settings.n_threads
    for reader in filter(None, (own, other)):
        reader.engine.truncate(0)
    found: list[dict[str, Any]] = []
    for batch in batches(chunk, settings, int(own.info["n_vocab"])):
        following = batch.following
        logits = [one.logits(batch.tokens, batch.first) for one in (own, other) if one is not None]
        # Nothing is known of what comes after the last token; it runs as llama-perplexity runs it.
        rows = [one[: len(following)] for one in logits]
        if len(following) == 0:
            continue
        if other is None:
            nll = _core.negative_log_likelihoods(rows[0], following, n_threads=n_threads)
            found.append({"nll": nll})
        else:
            columns: Any = _core.diverge(
                rows[0],
                rows[1],
                following,
                as_stored=settings.compatible,
                n_threads=n_threads,
            )
            found.append(columns)
    made = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    _check_finite(own, made["nll"])
    if other is not None:
        _check_finite(other, made["reference_nll"])
    return made


def _check_finite(reader: Reader, nll: NDArray[np.float64]) -> None:
    if not np.isfinite(nll).all():
        raise EngineError(f"{reader.path}: its logits are not finite")


def _check_vocabularies(
    own: Reader, other: Reader, chunks: Tokens, content: str, settings: QualitySettings
) -> None:
    sizes = [int(one.info["n_vocab"]) for one in (own, other)]
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{own.path} and {other.path} have {sizes[0]} and {sizes[1]} tokens: their "
            "probabilities cannot be compared"
        )
    theirs = chunks_of(other.engine, content, settings, other.path)
    if not np.array_equal(chunks, theirs):
        raise UsageError(f"{own.path} and {other.path} cut the text into other tokens")


def _notes(scored: Scored) -> tuple[str, ...]:
    if scored.n_tokens >= _FEW_TOKENS:
        return ()
    return (f"{scored.n_tokens} tokens are few: give more text",)
