"""Outlines: GGUF files with a model's header and tensor table and a hole in place of its data.

llama.cpp plans memory on an outline as on the real file, because it reads only what is there. The
file has the real one's length, which llama.cpp checks, but is sparse: on disk it takes what its
header takes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError, UsageError
from ..settings.model_source import ModelSource, ModelText
from ..system.files import MORE_ROOM, is_for_want_of_room
from .load_errors import explain_load_failure
from .resolve import check_gguf, file_stem

if TYPE_CHECKING:
    from .synthesis import ModelPlan


def outline(model: ModelText, folder: Path, *, file_type: str | None = None) -> Path:
    """The path of a GGUF on which memory can be planned as on the real file of a MODEL.

    No weights are read or written. Presets and configurations are outlined in the folder, and so is
    a GGUF file (a split one by its first part) where a file type is asked for: as llama-quantize
    would write it. A GGUF file without a file type is answered with its own path.

    Args:
        model: MODEL, or one that is parsed.
        folder: an existing folder for the outline, which the caller removes.
        file_type: as llama-quantize calls it; wins over the one behind a MODEL's `@`.

    Raises:
        ModelError: an unusable model, or an outline that cannot be written.
        UsageError: an unknown file type, or one whose tensor types depend on an importance matrix.
    """
    source = ModelSource.parse(model).refuse_scheme()
    if not source.is_synthesised and file_type is None:
        # Without what only synthesis needs, which takes time to load.
        return check_gguf(source.path)
    from .synthesis import check_file_type, plan_source

    if source.is_synthesised:
        return outline_plan(plan_source(source, file_type), folder)
    return _retype(check_gguf(source.path), folder, check_file_type(str(file_type)))


def outline_plan(plan: ModelPlan, folder: Path) -> Path:
    """The outline of a planned file, in an existing folder. Raises ModelError."""
    from .. import _core

    path = folder / f"{file_stem(plan.dimensions.name)}-{plan.file_type}.gguf"
    tensors = [(tensor.name, tensor.shape, tensor.type) for tensor in plan.tensors]
    try:
        _core.write_outline(os.fsencode(path), list(plan.metadata), tensors)
    except OSError as error:
        raise _failure(path, error, plan.size_bytes) from error
    return path


def _retype(source: Path, folder: Path, file_type: str) -> Path:
    from .. import _core

    target = folder / f"{file_stem(source.stem)}-{file_type}.gguf"
    if target.exists() and target.samefile(source):
        raise UsageError(f"the outline of {source} cannot be written over it")
    _core.clear_log()
    try:
        _core.retype_outline(os.fsencode(source), os.fsencode(target), file_type)
    except OSError as error:
        raise _failure(target, error) from error
    except _core.NativeModelError as error:
        raise ModelError(explain_load_failure(source, _core.log_lines(), str(error))) from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{source} cannot be outlined as {file_type}: {error}") from error
    return target


def _failure(path: Path, error: OSError, size_bytes: int | None = None) -> ModelError:
    length = "" if size_bytes is None else f" of a {size_bytes / 2**30:.1f} GiB model"
    remedy = f"; {MORE_ROOM}" if is_for_want_of_room(error) else ""
    return ModelError(f"cannot write the outline{length} to {path}: {error.strerror}{remedy}")
