"""Runs a text through a model and its reference; in the child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...children.native_errors import guarded
from ...children.protocol import OnProgress, Progress
from ...cores import usable_cores
from ...errors import EngineError, UsageError
from ...models.resolve import model_name
from ...settings.scoring import QualitySettings
from ..texts import batch_size, chunks_of, open_engine, read_text, trained_model
from . import layers, statistics
from .records import Quality, Scored, ScoredModel
from .tensors import deviations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tokens = NDArray[np.int32]

_FEW_TOKENS = 100
_Result = TypeVar("_Result")


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
    own = _Reader(model, settings, on_progress)
    other = _Reader(reference, settings, on_progress) if reference is not None else None
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
    return made.replace(
        reference=other.about(),
        divergence=statistics.divergence(found),
        n_layer_tokens=sums.n_tokens,
        layers=tuple(sums.deviations()),
        tensors=tuple(deviations(own.opened, other.opened, settings.threads or usable_cores())),
    )


class _Reader:
    """A model that reads the text."""

    def __init__(self, model: str, settings: QualitySettings, on_progress: OnProgress) -> None:
        self._model = model
        self.opened = trained_model(model, "quality", on_progress)
        self.path = self.opened.path
        self.engine = open_engine(self.opened, settings)
        self.info: Any = self.engine.model_info()

    def about(self) -> ScoredModel:
        info = self.info
        return ScoredModel(
            name=model_name(info["name"], self.path),
            path=self._model,
            architecture=info["architecture"],
            file_type=info["file_type"],
            size_bytes=info["size_bytes"],
            bits_per_weight=8 * info["size_bytes"] / max(1, info["n_params"]),
            scheme=info["scheme"],
        )

    def logits(self, tokens: Tokens, first: int) -> NDArray[np.float32]:
        """Reads tokens after those that were read already; their logits from one on, float32
        [n, n_vocab]."""
        found: list[NDArray[np.float32]] = []

        def keep(_: int, logits: NDArray[np.float32]) -> None:
            found.append(logits)

        self._run(lambda: self.engine.score(tokens, keep, first))
        return np.concatenate(found) if len(found) > 1 else found[0]

    def layer_outputs(self, tokens: Tokens) -> layers.Outputs:
        from ... import _core

        self.engine.truncate(0)
        return self._run(lambda: _core.layer_outputs(self.engine, tokens))

    def _run(self, call: Callable[[], _Result]) -> _Result:
        """What the engine is asked for; then its threads sleep: others need the cores."""
        found = guarded(self.path, call)
        self.engine.rest()
        return found


def _score(
    own: _Reader, other: _Reader | None, chunk: Tokens, settings: QualitySettings
) -> dict[str, Any]:
    """A value for each scored token of a chunk, by column."""
    from ... import _core

    first = 0 if settings.both_halves else settings.n_ctx // 2
    n_threads = settings.threads or usable_cores()
    for reader in filter(None, (own, other)):
        reader.engine.truncate(0)
    size = batch_size(settings.n_ctx, int(own.info["n_vocab"]))
    found: list[dict[str, Any]] = []
    done, n_tokens = 0, len(chunk)
    while done < n_tokens:
        begin = max(done, first)
        end = min(begin + size, n_tokens)
        tokens, following = chunk[done:end], chunk[begin + 1 : end + 1]
        logits = [one.logits(tokens, begin - done) for one in (own, other) if one is not None]
        # Nothing is known of what comes after the last token; it runs as llama-perplexity runs it.
        rows = [one[: len(following)] for one in logits]
        done = end
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


def _check_finite(reader: _Reader, nll: NDArray[np.float64]) -> None:
    if not np.isfinite(nll).all():
        raise EngineError(f"{reader.path}: its logits are not finite")


def _check_vocabularies(
    own: _Reader, other: _Reader, chunks: Tokens, content: str, settings: QualitySettings
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
