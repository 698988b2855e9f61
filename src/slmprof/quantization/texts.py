"""A text as a model reads it: cut into chunks of tokens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..children.native_errors import guarded
from ..children.protocol import OnProgress
from ..errors import UsageError
from ..input_file import read_input_text
from ..settings.model_source import ModelSource
from ..settings.scoring import TextSettings
from .open_model import OpenModel, open_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .. import _core

# Chunks of more text than this take a model of any size days.
_MOST_TEXT_BYTES = 1 << 30
# Logits of a batch, whatever the vocabulary.
_MOST_LOGITS_BYTES = 128 << 20
_UBATCH = 512  # as llama.cpp's tools have it
_LEAST_BATCH = 16  # with fewer tokens no importances are counted


def trained_model(model: str, purpose: str, on_progress: OnProgress) -> OpenModel:
    """A model whose weights mean something.

    Args:
        purpose: what random weights are refused for.

    Raises:
        UsageError: the weights are random. ModelError: the file is unusable. SchemeError: so is its
            scheme.
    """
    source = ModelSource.parse(model)
    opened = None if source.is_synthesised else open_model(source, on_progress=on_progress)
    if opened is None or _described(opened)["random_weights"]:
        raise UsageError(f"{model} has random weights, of which {purpose} would tell nothing")
    return opened


def open_engine(
    model: OpenModel, settings: TextSettings, *, is_writable: bool = False
) -> _core.Engine:
    """A model whose graphs can be observed, with a context of one chunk.

    Args:
        is_writable: whether its weights lie in memory as the file has them, to be exchanged.

    Raises:
        ModelError: the file is unusable. EngineError: llama.cpp refused.
    """
    from .. import _core

    info = _described(model)
    native = _core.EngineSettings()
    native.path, native.scheme = os.fsencode(model.path), model.kernels
    native.n_ctx = native.n_batch = settings.n_ctx
    native.n_ubatch = min(settings.n_ctx, _UBATCH)
    native.n_outputs_max = batch_size(settings.n_ctx, info["n_vocab"])
    native.n_threads = settings.n_threads
    native.can_observe = True
    if is_writable:
        native.use_mmap = native.use_repack = False
    _core.clear_log()
    return guarded(model.path, lambda: _core.Engine(native))


def _described(model: OpenModel) -> Any:
    """What a model's header tells, before it is loaded."""
    from .. import _core

    _core.clear_log()
    settings = _core.EngineSettings()
    settings.path, settings.scheme = os.fsencode(model.path), model.kernels
    return guarded(model.path, lambda: _core.Planner(settings).model_info())


def batch_size(n_ctx: int, n_vocab: int) -> int:
    """Tokens at a time: a chunk, or half of one, and so on, until their logits are few enough."""
    size = n_ctx
    while size > 2 * _LEAST_BATCH and 4 * size * n_vocab > _MOST_LOGITS_BYTES:
        size = (size + 1) // 2
    return size


def read_text(path: Path) -> str:
    """The text of a file without its last end of line, which is the file's.

    Raises:
        UsageError: it cannot be read, is no regular file, or holds no UTF-8 text.
    """
    try:
        return read_input_text(path, _MOST_TEXT_BYTES).removesuffix("\n")
    except ValueError as error:
        raise UsageError(f"text: {error}") from None


def chunks_of(
    engine: _core.Engine, text: str, settings: TextSettings, path: str | os.PathLike[str]
) -> NDArray[np.int32]:
    """The text in chunks of tokens, int32 [n_chunks, n_ctx], as llama-perplexity cuts it.

    Raises:
        UsageError: the model has no vocabulary, or the text has not enough tokens for one chunk.
    """
    info: Any = engine.model_info()
    if not info["has_vocab"]:
        raise UsageError(f"{info['name']} has no vocabulary: it cannot read a text")
    tokens = np.array(engine.tokenize(text), np.int32)
    n_chunks = len(tokens) // settings.n_ctx
    if n_chunks == 0:
        raise UsageError(
            f"text: {path} has {len(tokens)} tokens, and a chunk has {settings.n_ctx}; give more "
            "text, or a smaller --n-ctx"
        )
    n_chunks = min(n_chunks, settings.chunks or n_chunks)
    used = tokens[: n_chunks * settings.n_ctx]
    chunks: NDArray[np.int32] = used.reshape(n_chunks, settings.n_ctx).copy()
    if info["bos"] >= 0:
        chunks[:, 0] = info["bos"]
    return chunks
