"""The user's cache folder, and which of its files may be used.

What lies there is used without being named by anybody, and some of it is code. So a file counts
only where nobody but this user (or root) can have written it, and where it is still what was put
there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

from ..errors import SlmprofWarning, UsageError
from ..input_file import open_input, read_input_text
from ..profiles.writing import whole_file

_SEAL = ".seal"
# Libraries are shorter, and so are the headers of models; weights are not looked at.
_SEALED_BYTES = 16 << 20
_MOST_SEAL_BYTES = 4096
_ROOT = 0
# Without waiting for what else may stand there: a pipe would have no reader.
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def cache_folder() -> Path:
    """Where synthesised models, libraries of schemes and ceilings are kept; nothing is created.

    $SLMPROF_CACHE_DIR, else $XDG_CACHE_HOME/slmprof, else ~/.cache/slmprof.

    Raises:
        UsageError: it would be in a home folder that nobody knows.
    """
    try:
        for variable, below in (("SLMPROF_CACHE_DIR", ""), ("XDG_CACHE_HOME", "slmprof")):
            folder = os.environ.get(variable)
            if folder:
                return Path(folder).expanduser() / below
        return Path.home() / ".cache" / "slmprof"
    except RuntimeError:
        raise UsageError(
            "there is no home folder for the cache; set SLMPROF_CACHE_DIR to a folder"
        ) from None


def own_folder(below: str = "") -> Path:
    """The cache folder, or one in it, made where it is missing.

    Raises:
        UsageError: others can put files there. OSError: it cannot be made.
    """
    folder = cache_folder()
    for path in (folder, *([folder / below] if below else [])):
        # Also where the umask lets everybody write.
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        check_folder(path)
    return folder / below


def check_folder(path: Path) -> None:
    """Raises UsageError for a folder that is there and that others can put files into."""
    status = path.stat()
    elsewhere = "set SLMPROF_CACHE_DIR to another folder"
    if not _is_own(status):
        raise UsageError(f"the cache folder {path} belongs to another user; {elsewhere}")
    # Where the sticky bit is set, nobody can replace a file of ours, and those of others are seen.
    if _is_open_to_others(status) and not status.st_mode & stat.S_ISVTX:
        raise UsageError(
            f"other users can write to the cache folder {path}: run `chmod go-w {path}`, or "
            f"{elsewhere}"
        )


def why_foreign(path: Path, size_bytes: int | None = None) -> str:
    """Why a file of the cache must not be used; empty where nothing is known against it.

    Args:
        size_bytes: what it must have; None for any size.

    Raises:
        FileNotFoundError: there is none.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "it is a link"
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if not _is_own(status):
        return "it belongs to another user"
    if _is_open_to_others(status):
        return "other users can write to it"
    if size_bytes is not None and status.st_size != size_bytes:
        return f"it has {status.st_size} bytes, not {size_bytes}"
    return ""


def is_trusted(path: Path) -> bool:
    """Whether a file of the cache is there and nothing is known against it, nor its folder."""
    try:
        check_folder(path.parent)
        return not why_foreign(path)
    except (OSError, UsageError):
        return False


def make_way(path: Path, reason: str) -> None:
    """Says why a file of the cache is made anew, and removes what cannot be written over.

    Raises:
        OSError: it cannot be removed. UsageError: it is a directory that cannot.
    """
    _remove_obstacle(path)
    warnings.warn(f"{path} in the cache is made anew: {reason}", SlmprofWarning, stacklevel=3)


def _remove_obstacle(path: Path) -> None:
    # A file is only replaced when the new one is whole: another process may have it open.
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            _remove_directory(path)
        elif not stat.S_ISREG(mode):
            path.unlink()


def _remove_directory(path: Path) -> None:
    try:
        path.rmdir()
    except FileNotFoundError:
        raise
    except OSError as error:
        # Whatever somebody keeps there is not slmprof's to remove.
        cause = (error.strerror or str(error)).lower()
        raise UsageError(
            f"{path} in the cache is a directory where a file is to be: {cause}; remove it"
        ) from None


def close_to_others(path: Path) -> None:
    """Takes back what the umask may have let others do with a new file."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        path.chmod(mode & ~0o022)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one process make a file of the cache, and the others wait for it."""
    lock = path.with_suffix(".lock")
    descriptor = os.open(lock, _LOCK_FLAGS, 0o644)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_sealed(path: Path, made_of: str) -> bool:
    """Whether a file is there, and is the one that `seal` saw; one that is not will be made anew.

    The caller holds its lock.

    Args:
        made_of: a digest of all that the file follows from.

    Raises:
        OSError: what stands there can be neither read nor removed. UsageError: it is a directory
            that cannot be removed.
    """
    try:
        reason = why_foreign(path) or _why_unsealed(path, made_of)
    except FileNotFoundError:
        return False
    if reason:
        make_way(path, reason)
    return not reason


def seal(path: Path, made_of: str) -> None:
    """Notes beside a new file what it is, so that it is known again.

    Raises:
        OSError: the note cannot be written. UsageError: a directory stands in its place.
    """
    close_to_others(path)
    note = _seal_of(path)
    _remove_obstacle(note)
    with whole_file(note) as stream:
        stream.write(json.dumps(_contents(path, made_of)).encode("ascii"))
    close_to_others(note)


def _why_unsealed(path: Path, made_of: str) -> str:
    note = _seal_of(path)
    try:
        if why_foreign(note) or note.stat().st_size > _MOST_SEAL_BYTES:
            return "what it must be is not known"
        known = json.loads(read_input_text(note, _MOST_SEAL_BYTES))
    except (OSError, ValueError):
        return "what it must be is not known"
    return "" if known == _contents(path, made_of) else "it is not what was put there"


def _contents(path: Path, made_of: str) -> dict[str, object]:
    with open_input(path) as file:
        digest = hashlib.sha256(file.read(_SEALED_BYTES)).hexdigest()
        return {
            "made_of": made_of,
            "size_bytes": os.fstat(file.fileno()).st_size,
            "sha256": digest,
        }


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + _SEAL)


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid in (os.geteuid(), _ROOT)


def _is_open_to_others(status: os.stat_result) -> bool:
    # A group that is numbered as its user is the user's alone.
    of_group = status.st_mode & stat.S_IWGRP and status.st_gid != status.st_uid
    return bool(status.st_mode & stat.S_IWOTH or of_group)
