"""A MODEL as a user writes it, turned into the path of a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..input_file import open_input
from ..settings.model_source import ModelSource, ModelText
from .cache import cache_folder, close_to_others, make_way, own_folder, why_foreign
from .parts import model_parts

if TYPE_CHECKING:
    from .synthesis import ModelPlan

_GGUF_MAGIC = b"GGUF"


def model_name(name: str, path: Path) -> str:
    """What a model file calls itself, or its file name where it says nothing."""
    # llama.cpp writes `n/a` where a model that it saves has no name.
    return path.stem if name in ("", "n/a") else name


def resolve_model(model: ModelText, *, seed: int = 0) -> Path:
    """The GGUF file that a MODEL means, synthesised into the cache first where it must be.

    Args:
        model: a path, `preset:NAME`, `preset:NAME@TYPE`, a Hugging Face `config.json`
            (`config.json@TYPE` for another type than Q4_K_M), or one of these parsed.
        seed: of the random weights, where there are any.

    Raises:
        ModelError: the file cannot be one, or the preset or configuration is unusable.
        UsageError: an unknown file type, others can write to the cache folder, or a directory that
            is not empty stands there in the model's place.
    """
    source = ModelSource.parse(model).refuse_scheme()
    if source.is_synthesised:
        return _synthesize_into_cache(source, seed)
    return check_gguf(source.path)


def check_source(source: ModelSource) -> None:
    """Raises ModelError where the file of a MODEL is none, before a process is started for it."""
    if not source.is_synthesised:
        check_gguf(source.path)


def check_gguf(path: Path) -> Path:
    """The path itself if a GGUF file may be behind it, or the first part of a split one.

    Native code opens what a model's path names: whatever is no regular file is refused here.

    Raises:
        ModelError: with the cause.
    """
    first, *others = model_parts(path)
    _check_magic(first)
    for part in others:
        if not part.exists():
            break  # llama.cpp knows whether the model has so many, and reads them in their order
        _check_magic(part)
    return path


def _check_magic(path: Path) -> None:
    try:
        with open_input(path) as file:
            magic = file.read(len(_GGUF_MAGIC))
    except IsADirectoryError:
        hint = "; give its config.json" if (path / "config.json").is_file() else ""
        raise ModelError(f"{path} is a directory, not a GGUF file{hint}") from None
    except FileNotFoundError:
        from .presets import PRESETS

        hint = ""
        if str(path).lower() in PRESETS:
            hint = f"; for the preset of that name write preset:{str(path).lower()}"
        raise ModelError(f"no such model file: {path}{hint}") from None
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from None
    if not magic:
        raise ModelError(f"{path} is empty")
    if magic != _GGUF_MAGIC:
        raise ModelError(f"{path} is not a GGUF file: it does not begin with 'GGUF'")


def file_stem(name: str) -> str:
    """A model's name as part of a file's name, which any file system takes."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in ".-_" else "-" for c in name)[:80]


def _synthesize_into_cache(source: ModelSource, seed: int) -> Path:
    from .synthesis import plan_source, write_plan

    plan = plan_source(source, seed=seed)
    name = f"{file_stem(plan.dimensions.name)}-{plan.file_type}-seed{seed}-{plan.digest[:12]}.gguf"
    path = cache_folder() / name
    try:
        own_folder()
        if not _is_planned(path, plan):
            # Two processes may both come here: each writes a file of its own and renames it.
            write_plan(plan, path)
            close_to_others(path)
    except (OSError, MemoryError) as error:
        cause = getattr(error, "strerror", None) or "not enough memory"
        raise ModelError(
            f"cannot write {plan.size_bytes / 2**20:.0f} MiB to the cache folder {path.parent}: "
            f"{cause}; set SLMPROF_CACHE_DIR to another folder"
        ) from error
    return path


def _is_planned(path: Path, plan: ModelPlan) -> bool:
    """Whether the cache has the file of a plan: this user's, whole, and with the plan's header."""
    from .synthesis import plan_header

    header, n_bytes = plan_header(plan)
    try:
        reason = why_foreign(path, n_bytes)
        if not reason:
            with open_input(path) as file:
                reason = "" if file.read(len(header)) == header else "its header is not the plan's"
    except FileNotFoundError:
        return False
    except PermissionError:
        reason = "it cannot be read"
    if reason:
        make_way(path, reason)
    return not reason
