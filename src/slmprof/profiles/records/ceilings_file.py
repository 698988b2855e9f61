"""A file of ceilings, of whatever kind: one JSON object."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ...errors import ProfileFormatError, UsageError
from ...input_file import open_input
from ..writing import reason, whole_file
from .decoding import Json

_MAX_FILE_BYTES = 2**20

_Kind = TypeVar("_Kind")


def read_file(path: str | os.PathLike[str], decode: Callable[[object], _Kind]) -> _Kind:
    """What `decode` makes of the JSON in a file.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        ProfileFormatError: it holds no ceilings, is damaged, or is of a newer version.
    """
    source = Path(path)
    try:
        with open_input(source) as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ProfileFormatError("it is too large to be one")
        return decode(json.loads(content.decode("utf-8")))
    except ProfileFormatError as error:
        raise ProfileFormatError(f"cannot read ceilings {source}: {error}") from error
    except OSError as error:
        name = repr(str(source)) if "\0" in str(source) else source
        raise UsageError(f"cannot read {name}: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        # Damaged JSON, bytes that are no UTF-8, or brackets without end.
        raise ProfileFormatError(f"cannot read ceilings {source}: it is not JSON") from error


def write_file(values: Json, path: str | os.PathLike[str]) -> None:
    """Writes a file of ceilings, whole or not at all, through a temporary file beside it.

    Raises:
        UsageError: the file cannot be written there; nothing is left behind.
    """
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    try:
        # The file behind a symbolic link is replaced, not the link.
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise UsageError(f"cannot write {path}: it is no plain file")
        with whole_file(target) as stream:
            stream.write(text.encode())
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {path}: {reason(error)}") from error


def check_version(values: Mapping[str, object], name: str, newest: int, again: str) -> None:
    """Refuses what is of another format, or of a newer version than `newest`.

    Args:
        name: of the format.
        again: the command that measures such ceilings.

    Raises:
        ProfileFormatError: says which.
    """
    if values.get("format") != name:
        raise ProfileFormatError(f"it holds no ceilings: its format is not {name!r}")
    version = values.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProfileFormatError("its format version is not a number")
    if version > newest:
        raise ProfileFormatError(
            f"it is of format version {version}, and this slmprof reads up to {newest}; "
            f"update slmprof, or measure again with `{again}`"
        )
