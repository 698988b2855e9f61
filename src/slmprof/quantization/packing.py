"""Packs a model by a scheme with kernels, for whoever loads it: into the cache, or an outline."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..children.native_errors import guarded
from ..children.protocol import OnProgress, Progress
from ..errors import ModelError, SchemeError, UsageError
from ..models.identity import identify
from ..models.resolve import cache_folder, file_stem
from ..settings.recipe import Recipe
from .assembly import write_outline
from .plan import obstacle, plan_quantization
from .process import make
from .schemes.compiler import MORE_FLAGS
from .schemes.kernel_trial import try_kernels
from .schemes.loaded import PackingScheme
from .schemes.loading import load_scheme

# Of files in the cache; raised where the same scheme would pack the same weights into other bytes.
_CONTENT_VERSION = 1


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
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    folder = cache_folder() / "packed"
    target = folder / f"{file_stem(path.stem)}-{file_stem(scheme.info.name)}-{digest}.gguf"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")):
            if not target.is_file():
                made = target.with_suffix(f".{os.getpid()}.gguf")
                plan = make(path, made, Recipe.of(scheme=place), on_progress=_renamed(on_progress))
                if plan.scheme is None or plan.scheme.digest != scheme.info.digest:
                    made.unlink()
                    raise SchemeError(f"{place} changed while it packed {path.name}; run it again")
                made.replace(target)
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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one process pack, and the others wait for what it makes."""
    # Without waiting for what else may stand there: a pipe would have no reader.
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _renamed(on_progress: OnProgress) -> OnProgress:
    """What is packed once for all runs is not taken from this one's time."""

    def tell(progress: Progress) -> None:
        on_progress(replace(progress, stage=f"packing ({progress.stage})", is_timed=False))

    return tell
