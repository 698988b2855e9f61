"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import UsageError


def reason(error: Exception) -> str:
    """Why a file could not be read or written, in the system's words where it has some."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """A stream to a temporary file beside `path`, which takes its place when all is written.

    Args:
        durable: whether the data must be on the disk before the file gets its name.

    Raises:
        OSError: the file cannot be written; the old state is left.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        # mkstemp makes the file private; a result has the permissions that the user's umask gives.
        # The only way to read it is to set it; what is set for that moment is the strictest.
        mask = os.umask(0o077)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text, whole or not at all. Raises UsageError."""
    try:
        with whole_file(path) as stream:
            stream.write(text.encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}") from None


def plain_name(text: str, kept: str = ".-+") -> str:
    """A text as a part of a file's name: letters, digits and the signs in `kept`."""
    return "".join(c if c.isalnum() or c in kept else "-" for c in text)
