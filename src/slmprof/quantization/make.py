"""Writes the file of a recipe with llama.cpp's own quantizer; runs in the child process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..children.native_errors import guarded
from ..children.protocol import OnProgress, Progress
from ..errors import ModelError, UsageError
from ..input_file import open_input
from ..models.resolve import resolve_model
from ..settings.recipe import Recipe
from .assembly import assemble
from .importance import Imatrix, read_imatrix
from .plan import native_recipe, obstacle, plan_quantization, source_of
from .records import FILE_NAME, QuantizationPlan
from .schemes.kernel_trial import try_kernels
from .schemes.loaded import PackingScheme
from .schemes.loading import load_scheme
from .schemes.trial import try_scheme

_MOST_NOTE_BYTES = 127  # which llama.cpp has room for


def make(
    model: str, recipe: Recipe, folder: Path, n_threads: int, on_progress: OnProgress
) -> QuantizationPlan:
    """Leaves the file in a folder, as `FILE_NAME`, synced.

    Raises:
        UsageError: a recipe that cannot be followed, or no room. ModelError: the model is unusable.
        SchemeError: the scheme breaks its contract.
    """
    imatrix = read_imatrix(Path(recipe.imatrix)) if recipe.imatrix is not None else None
    scheme = load_scheme(recipe.scheme) if recipe.scheme is not None else None
    source = resolve_model(source_of(model))
    plan = plan_quantization(model, source, recipe, imatrix, scheme)
    if reason := obstacle(plan, recipe, imatrix):
        raise UsageError(reason)
    target = folder / FILE_NAME
    free_bytes = shutil.disk_usage(folder).free
    n_bytes = sum(one.stored_bytes for one in plan.tensors)
    if n_bytes > free_bytes:
        raise UsageError(
            f"{n_bytes / 2**20:.0f} MiB are needed, and {free_bytes / 2**20:.0f} MiB are "
            f"free beside the file"
        )
    if scheme is None:
        _quantize(source, target, recipe, imatrix, n_threads, on_progress)
    else:
        lengths = sorted({one.shape[0] for one in plan.of_scheme})
        for n_per_row in lengths:
            on_progress(Progress(f"trying {scheme.info.name}", 0, 1))
            try_scheme(scheme, n_per_row)
        if any(one.is_packed for one in plan.of_scheme):
            assert isinstance(scheme, PackingScheme)
            try_kernels(scheme, lengths, on_progress)
        assemble(source, target, plan, scheme, imatrix, n_threads, on_progress)
    with open_input(target) as file:
        os.fsync(file.fileno())
    return plan


def _quantize(
    source: Path,
    target: Path,
    recipe: Recipe,
    imatrix: Imatrix | None,
    n_threads: int,
    on_progress: OnProgress,
) -> None:
    from .. import _core

    weights = list(imatrix.weights.items()) if imatrix is not None else []
    native = native_recipe(recipe, imatrix)
    try:
        guarded(
            source,
            lambda: _core.quantize_file(
                os.fsencode(source),
                os.fsencode(target),
                native,
                importances=[(name, of.ravel()) for name, of in weights],
                notes=_notes(imatrix),
                allow_requantize=recipe.allow_requantize,
                n_threads=n_threads,
                on_progress=lambda number, total: on_progress(
                    Progress("quantizing", number - 1, total)
                ),
            ),
        )
    except ModelError as error:
        raise ModelError(f"cannot quantize {source}: {error}") from None


def _notes(imatrix: Imatrix | None) -> list[tuple[str, int | str]]:
    """What llama-quantize notes in the file of an importance matrix."""
    if imatrix is None:
        return []
    notes: list[tuple[str, int | str]] = [("quantize.imatrix.file", _shortened(imatrix.path))]
    if imatrix.datasets:
        notes.append(("quantize.imatrix.dataset", _shortened(imatrix.datasets[0])))
    notes.append(("quantize.imatrix.entries_count", len(imatrix.weights)))
    if imatrix.n_chunks:
        notes.append(("quantize.imatrix.chunks_count", imatrix.n_chunks))
    return notes


def _shortened(text: str) -> str:
    return text.encode("utf-8", "replace")[-_MOST_NOTE_BYTES:].decode("utf-8", "ignore")
