"""A model that reads a text: chunk by chunk, a batch of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...children.native_errors import guarded
from ...models.resolve import model_name
from ...settings.scoring import QualitySettings
from ..open_model import OpenModel
from ..texts import batch_size, open_engine
from . import layers
from .records import ScoredModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tokens = NDArray[np.int32]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Batch:
    """Tokens to read, of which those from `first` on are scored by the ones that follow them."""

    tokens: Tokens
    first: int
    following: Tokens


def batches(chunk: Tokens, settings: QualitySettings, n_vocab: int) -> Iterator[Batch]:
    """A chunk in pieces whose logits are few enough, in their order."""
    first = 0 if settings.both_halves else settings.n_ctx // 2
    size = batch_size(settings.n_ctx, n_vocab)
    done, n_tokens = 0, len(chunk)
    while done < n_tokens:
        begin = max(done, first)
        end = min(begin + size, n_tokens)
        yield Batch(chunk[done:end], begin - done, chunk[begin + 1 : end + 1])
        done = end


class Reader:
    """A model that reads the text."""

    def __init__(
        self, model: str, opened: OpenModel, settings: QualitySettings, *, is_writable: bool = False
    ) -> None:
        self._model = model
        self.opened = opened
        self.path = opened.path
        self.engine = open_engine(opened, settings, is_writable=is_writable)
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

    def close(self) -> None:
        """Frees the model."""
        del self.engine
