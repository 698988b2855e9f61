"""Files that somebody else made: a regular file is opened, whatever else stands there is refused.

All of slmprof opens what it reads here, but for what the system tells in /proc and /sys: a test
goes through the sources.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

# What never waits: a pipe is opened at once, also where nobody writes into it.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_PIECE_BYTES = 2**20
_KINDS = (
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
)


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, open for reading.

    A pipe, a device or a directory is refused at once. What is looked at is what is open, so that
    nothing can take its place in between.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` says why.
    """
    name = os.fspath(path)
    try:
        # Opening alone may do something already: it rewinds a tape, or wakes who waits at a pipe.
        _check_regular(Path(name).stat(), name)
        handle = os.open(name, _FLAGS)
    except ValueError as error:
        # A NUL, or characters that no path can hold.
        raise OSError(errno.EINVAL, str(error), name) from None
    try:
        _check_regular(os.fstat(handle), name)
    except BaseException:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")


def read_input(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file.

    Raises:
        ValueError: it cannot be read, is no regular file, or is larger than so many bytes; the
            message names it.
    """
    try:
        with open_input(path) as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        name = repr(str(path)) if "\0" in str(path) else path
        raise ValueError(f"cannot read {name}: {error.strerror or error}") from None
    if len(content) > most_bytes:
        raise ValueError(f"{path} is larger than {most_bytes} bytes")
    return content


def read_input_text(path: Path, most_bytes: int) -> str:
    """The same as UTF-8 text. Raises ValueError."""
    try:
        return read_input(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def digest_inputs(paths: Iterable[str | os.PathLike[str]]) -> str:
    """The sha256 of what regular files hold, one after the other. Raises OSError."""
    found = hashlib.sha256()
    for path in paths:
        with open_input(path) as file:
            while piece := file.read(_PIECE_BYTES):
                found.update(piece)
    return found.hexdigest()


def _check_regular(status: os.stat_result, name: str) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((kind for is_it, kind in _KINDS if is_it(status.st_mode)), "device")
    number = errno.EISDIR if kind == "directory" else errno.EINVAL
    raise OSError(number, f"it is a {kind}, not a regular file", name)
