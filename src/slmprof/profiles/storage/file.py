"""A profile as one file (docs/profile-format.md)."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ProfileFormatError, UsageError
from ...input_file import open_input
from ..all_tables import TABLES
from ..data import ProfileData
from ..limits import MOST_STRINGS, check_counts
from ..records.decoding import MOST_TEXT
from ..records.meta import FORMAT, FORMAT_VERSION, Meta, check_enums
from ..tables import LaneTable, SplitTable
from ..validation import check_profile
from ..vocabulary import enums
from ..writing import reason
from .archive import read_archive, write_archive
from .history import with_lanes_and_types, with_splits


def save(profile: ProfileData, path: str | os.PathLike[str]) -> None:
    """Writes a profile file, whole or not at all, through a temporary file in the same folder.

    Raises:
        UsageError: the file cannot be written there; nothing is left behind.
    """
    target = _target(path)
    meta = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **profile.meta.to_json(),
        "strings": list(profile.strings),
        "enums": enums(),
    }
    tables = {table.NAME: getattr(profile, table.NAME) for table in TABLES}
    try:
        write_archive(target, meta, tables, durable=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def load(path: str | os.PathLike[str]) -> ProfileData:
    """Reads a profile file of this format version or an older one.

    Every index that the tables hold is checked, so that no later use of the profile fails.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        ProfileFormatError: it is not a profile, is damaged, or is of a newer version.
    """
    if not os.fspath(path):
        raise UsageError("no file is named; name a profile")
    source = Path(path)
    try:
        # The version first: the tables of a newer one may be anything.
        with open_input(source) as stream:
            meta, _ = read_archive(stream, only_meta=True)
            version = _checked_version(meta)
            file_bytes = os.fstat(stream.fileno()).st_size
            meta, tables = read_archive(stream, version=version, file_bytes=file_bytes)
        check_enums(meta.get("enums"))
        strings = _strings(meta.get("strings"))
        if version < LaneTable.SINCE:
            tables, strings = with_lanes_and_types(tables, strings)
        if version < SplitTable.SINCE:
            tables = with_splits(tables)
        read = Meta.from_json(meta)
        profile = ProfileData.of_tables(read, strings, tables)
        check_profile(profile)
        check_counts(profile, file_bytes)
    except ProfileFormatError as error:
        raise ProfileFormatError(f"cannot read profile {source}: {error}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {source}: {reason(error)}") from error
    return profile


def check_writable(path: str | os.PathLike[str]) -> None:
    """Finds out before a long run whether `save` could write there.

    Raises:
        UsageError: it could not.
    """
    target = _target(path)
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def _target(path: str | os.PathLike[str]) -> Path:
    try:
        # The file behind a symbolic link is replaced, not the link.
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise UsageError(f"cannot write {path}: it is a directory; name a file")
        if target.exists() and not target.is_file():
            raise UsageError(f"cannot write {path}: it is a device or a pipe; name a plain file")
        if not target.parent.is_dir():
            raise UsageError(f"cannot write {path}: there is no folder {target.parent}")
        if target.exists() and not os.access(target, os.W_OK):
            raise UsageError(f"cannot write {path}: the file is read-only")
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error
    return target


def _cannot_write(path: str | os.PathLike[str], error: Exception) -> UsageError:
    hint = ""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "; free some space or choose another folder"
    return UsageError(f"cannot write {path}: {reason(error)}{hint}")


def _checked_version(meta: Mapping[str, Any]) -> int:
    if meta.get("format") != FORMAT:
        raise ProfileFormatError(f"it is not a profile: its format is not {FORMAT!r}")
    version = meta.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProfileFormatError("its format version is not a number")
    if version > FORMAT_VERSION:
        maker = meta.get("slmprof")
        writer = maker.get("version") if isinstance(maker, dict) else None
        by = f"slmprof {str(writer)[:50]}" if writer else "a newer slmprof"
        raise ProfileFormatError(
            f"it was written by {by} in format version {version}, and this slmprof reads up to "
            f"{FORMAT_VERSION}; update slmprof to open it"
        )
    return version


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ProfileFormatError("its strings are not a list of texts")
    if len(value) > MOST_STRINGS or any(len(text) > MOST_TEXT for text in value):
        raise ProfileFormatError(
            f"it has more than {MOST_STRINGS} strings, or one of more than {MOST_TEXT} characters"
        )
    # JSON may hold halves of surrogate pairs, which no output could print.
    return tuple(text.encode("utf-8", "replace").decode("utf-8") for text in value)
