"""A MODEL that is to be loaded: its file, and what reads the weights that a scheme has packed.

Few models have a scheme: what only those need is loaded when there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..children.protocol import OnProgress, Progress
from ..models.resolve import resolve_model
from ..settings.model_source import ModelSource

if TYPE_CHECKING:
    from .. import _core
    from .schemes.loaded import PackingScheme


@dataclass(frozen=True)
class OpenModel:
    """The file of a model, or an outline of it.

    Attributes:
        scheme: whose blocks it holds; None where no scheme was named.
    """

    path: Path
    scheme: PackingScheme | None = None

    @property
    def kernels(self) -> _core.KernelScheme | None:
        """What llama.cpp is to read those blocks with."""
        return self.scheme.native if self.scheme is not None else None


def open_model(
    source: ModelSource, *, seed: int = 0, on_progress: OnProgress | None = None
) -> OpenModel:
    """The file of a MODEL, packed first where its scheme has not done so yet.

    The file of a scheme is code, which runs in this process.

    Args:
        seed: of random weights.

    Raises:
        ModelError: the file is unusable. UsageError, SchemeError: so is the scheme, or it has no
            kernels. EngineError: packing failed.
    """
    path = resolve_model(source.bare, seed=seed)
    if source.scheme is None:
        return OpenModel(path)
    from .packing import packed_file

    return OpenModel(*packed_file(path, source.scheme, on_progress or _ignore))


def open_outline(source: ModelSource, folder: Path, *, file_type: str | None = None) -> OpenModel:
    """As `models.outline.outline`, of a MODEL that may have a scheme.

    Raises:
        As that does. UsageError, SchemeError: the scheme is unusable, or has no kernels.
    """
    from ..models.outline import outline

    bare = source.bare
    if source.scheme is None:
        return OpenModel(outline(bare, folder, file_type=file_type))
    from .packing import packed_outline

    path = outline(bare, folder, file_type=bare.file_type if bare.is_synthesised else None)
    return OpenModel(*packed_outline(bare.text, path, source.scheme, folder, file_type))


def _ignore(_: Progress) -> None:
    return None
