"""The folder of a child's files, which is gone when the child or its parent is."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from pathlib import Path


def free_name(within: Path | None) -> Path:
    """The path of a folder that is not there yet, and that nobody could guess.

    Args:
        within: where it is to be made; None for where the system has its temporary files.

    Raises:
        OSError: the system has no place for temporary files.
    """
    prefix = "slmprof-" if within is None else ".slmprof-"
    return Path(within or tempfile.gettempdir(), f"{prefix}{secrets.token_hex(6)}")


def remove_folder(folder: Path) -> None:
    """Removes a folder with all that is in it, also while somebody writes into it."""
    # Under another name nothing more can be made in it.
    gone = folder.with_name(f"{folder.name}.gone")
    with contextlib.suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
