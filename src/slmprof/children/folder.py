"""The folder of a child's files, which is gone when the child or its parent is."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from ..system.files import MORE_ROOM, is_for_want_of_room

# Of a folder that is not among the system's temporary files.
_BESIDE_OTHERS = ".slmprof-"


def free_name(within: Path | None) -> Path:
    """The path of a folder that is not there yet, and that nobody could guess.

    Args:
        within: where it is to be made; None for where the system has its temporary files.

    Raises:
        OSError: the system has no place for temporary files.
    """
    prefix = "slmprof-" if within is None else _BESIDE_OTHERS
    return Path(within or tempfile.gettempdir(), f"{prefix}{secrets.token_hex(6)}")


def no_room(folder: Path, error: OSError) -> str:
    """Where a child's files found no room, why, and what helps; empty for any other error."""
    is_in_folder = error.filename is None or folder in Path(os.fsdecode(error.filename)).parents
    if not is_for_want_of_room(error) or not is_in_folder:
        return ""
    remedy = "make room there" if folder.name.startswith(_BESIDE_OTHERS) else MORE_ROOM
    return f"{error.strerror} in {folder.parent}; {remedy}"


def remove_folder(folder: Path) -> None:
    """Removes a folder with all that is in it, also while somebody writes into it."""
    # Under another name nothing more can be made in it.
    gone = folder.with_name(f"{folder.name}.gone")
    with contextlib.suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
