"""Packs a model by a scheme with kernels, for whoever loads it: into the cache, or an outline."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from ..children.native_errors import guarded
from ..children.protocol import OnProgress, Progress
from ..errors import ModelError, SchemeError, UsageError
from ..models.cache import cache_folder, is_sealed, locked, own_folder, seal
from ..models.identity import identify
from ..models.resolve import file_stem
from ..settings.recipe import Recipe
from .assembly import write_outline
from .plan import obstacle, plan_quantization
from .process import make
from .schemes.compiler import MORE_FLAGS
from .schemes.kernel_trial import try_kernels
from .schemes.loaded import PackingScheme
from .schemes.loading import load_scheme

# Of files in the cache; raised where the same scheme would pack the same weights into other bytes.
_CONTENT_VERSION = 2


def packed_file(path: Path, place: str, on_progress: OnProgress) -> tuple[Path, PackingScheme]:
    """A file that the scheme has packed, itself or one of it in the cache; and the scheme.

    Raises:
        As `open_model.open_model`.
    """
    scheme = _load(place)
    try_kernels(scheme, [], on_progress)
    if is_packed(path):
        return path, scheme
    flags = os.environ.get(MORE_FLAGS)  # by which a file may choose what it packs
    content = repr((_CONTENT_VERSION, identify(path), scheme.info, flags))
    digest = hashlib.sha256(content.encode()).hexdigest()
    folder = cache_folder() / "packed"
    target = folder / f"{file_stem(path.stem)}-{file_stem(scheme.info.name)}-{digest[:12]}.gguf"
    try:
        own_folder(folder.name)
        with locked(target):
            if not is_sealed(target, digest):
                made = target.with_suffix(f".{os.getpid()}.gguf")
                plan = make(path, made, Recipe.of(scheme=place), on_progress=_renamed(on_progress))
                if plan.scheme is None or plan.scheme.digest != scheme.info.digest:
                    made.unlink()
                    raise SchemeError(f"{place} changed while it packed {path.name}; run it again")
                made.replace(target)
                seal(target, digest)
    except OSError as error:
        raise ModelError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}; set "
            "SLMPROF_CACHE_DIR to another folder"
        ) from None
    return target, scheme


def packed_outline(
    model: str, path: Path, place: str, folder: Path, file_type: str | None
) -> tuple[Path, PackingScheme]:
    """The outline of what the scheme would pack.

    Args:
        model: as the user wrote it.
        path: its file, or an outline of it.
        file_type: asked for besides, which cannot be.

    Raises:
        As `open_model.open_outline`.
    """
    if file_type is not None:
        raise UsageError(f"file_type: {model} gets the blocks of its scheme; leave it out")
    scheme = _load(place)
    if is_packed(path):
        return path, scheme
    recipe = Recipe.of(scheme=place)
    plan = plan_quantization(model, path, recipe, None, scheme)
    if reason := obstacle(plan, recipe, None):
        raise UsageError(reason)
    target = folder / f"{file_stem(path.stem)}-{file_stem(scheme.info.name)}.gguf"
    guarded(path, lambda: write_outline(path, target, plan, scheme.info, None))
    return target, scheme


def is_packed(path: Path) -> bool:
    """Whether a file holds the blocks of a scheme. Raises ModelError."""
    from .. import _core

    return guarded(path, lambda: _core.is_packed(os.fsencode(path)))


def _load(place: str) -> PackingScheme:
    scheme = load_scheme(place)
    if not isinstance(scheme, PackingScheme) or scheme.native is None:
        raise SchemeError(
            f"{scheme.info.name} has no kernels, so that no model can run with it: `quant make` "
            "stores what it gives back as floats"
        )
    return scheme


def _renamed(on_progress: OnProgress) -> OnProgress:
    """What is packed once for all runs is not taken from this one's time."""

    def tell(progress: Progress) -> None:
        on_progress(replace(progress, stage=f"packing ({progress.stage})", is_timed=False))

    return tell
