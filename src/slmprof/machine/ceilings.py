"""The ceilings of this machine: measured in a child process, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..children.protocol import OnProgress
from ..children.question import asked
from ..errors import ProfileFormatError, SlmprofError, UsageError
from ..models.cache import cache_folder, close_to_others, is_trusted, own_folder
from ..printable import printable
from ..profiles.records.ceilings import Ceilings, Fingerprint, read_ceilings, write_ceilings
from ..system.cores import MOST_THREADS, usable_cores
from .caches import data_caches
from .environment import cpu_name

# Raised when the same machine would be measured differently, so that no older file is used.
METHOD_VERSION = 3

# What of the build changes the speed of an op.
_OF_BUILD = (
    "llama_cpp_version", "ggml_version", "build_type", "compiler", "native", "openmp", "llamafile",
    "repack",
)  # fmt: skip
_RETRY_AFTER = timedelta(minutes=10)
_SHOWN_DIFFERENCES = 3
_SHOWN_LENGTH = 60
_WORKER = "slmprof.machine.ceilings_worker"

Json = dict[str, Any]


def ceilings(
    n_threads: int,
    *,
    path: str | os.PathLike[str] | None = None,
    measure: bool = True,
    refresh: bool = False,
    on_progress: OnProgress | None = None,
) -> Ceilings | None:
    """The ceilings of this machine with so many threads.

    Args:
        path: a file to take them from; the cache is then not looked at, and nothing is measured.
        measure: measure them (some seconds) where the cache has none, or has some that were
            disturbed by another load and are older than ten minutes; and keep them there.
        refresh: measure them in any case.
        on_progress: called with a Progress as a measurement goes on.

    Returns:
        None where there are none: the cache has none and nothing may be measured, or there are
        more threads than cores, which would be oversubscribed.

    Raises:
        UsageError: `path` cannot be read, or is of another machine, build or number of threads.
        ProfileFormatError: `path` holds no ceilings. EngineError: the measurement failed.
    """
    if path is not None:
        return load_ceilings(path, n_threads)
    if not refresh:
        found = find_ceilings(n_threads)
        if found is not None and not (measure and _is_worth_another_try(found)):
            return found
    if not (measure or refresh) or n_threads > usable_cores():
        return None
    measured = measure_ceilings(n_threads, on_progress)
    keep_ceilings(measured)
    return measured


def _is_worth_another_try(found: Ceilings) -> bool:
    """Whether ceilings were disturbed, and that is some time ago."""
    if not found.is_disturbed:
        return False
    try:
        then = datetime.fromisoformat(found.measured_at)
        return datetime.now(timezone.utc) - then > _RETRY_AFTER
    except (ValueError, TypeError):
        return True


def ceilings_of_run(
    asked: str, n_threads: int, on_progress: OnProgress | None = None
) -> tuple[Ceilings | None, list[str]]:
    """The ceilings that a run is compared with, and why there are none, in one sentence.

    Args:
        asked: `auto`, `off` or a file.

    Raises:
        UsageError, ProfileFormatError: the file does not hold them.
    """
    if asked == "off":
        return None, []
    if asked != "auto":
        return load_ceilings(asked, n_threads), []
    try:
        found = ceilings(n_threads, on_progress=on_progress)
        if found is not None and find_ceilings(n_threads) is None:
            return found, [f"ceilings cannot be kept {_where_not()}: every run measures them anew"]
        return found, []
    except SlmprofError as error:
        # Nobody asked for them by name: the capture goes on without.
        return None, [f"the ceilings of this machine could not be measured: {error}"]


def _where_not() -> str:
    """Where ceilings cannot be kept, and why not, as far as others are the reason."""
    try:
        return f"in {own_folder()}"
    except UsageError as error:
        return f"({error})"
    except OSError:
        return f"in {cache_folder()}"


def find_ceilings(n_threads: int) -> Ceilings | None:
    """The ceilings that the cache folder has for this machine, build and number of threads.

    A file that is damaged, of another format or possibly another user's is as good as none: it will
    be replaced.
    """
    here = fingerprint()
    try:
        path = cache_path(n_threads, here)
        if not is_trusted(path):
            return None
        found = read_ceilings(path)
    except (UsageError, ProfileFormatError):
        return None
    return found if found.fingerprint == here and found.n_threads == n_threads else None


def load_ceilings(path: str | os.PathLike[str], n_threads: int) -> Ceilings:
    """The ceilings of a file, if they hold here.

    Raises:
        UsageError: the file cannot be read, or its ceilings are of another machine, build or
            number of threads; the message names what differs.
        ProfileFormatError: it holds no ceilings.
    """
    found = read_ceilings(path)
    different = _differences(found.fingerprint.to_json(), fingerprint().to_json())
    if different:
        shown = "; ".join(different[:_SHOWN_DIFFERENCES])
        more = len(different) - _SHOWN_DIFFERENCES
        rest = f"; and {more} more" if more > 0 else ""
        raise UsageError(
            f"the ceilings in {os.fspath(path)} are of another machine or build: {shown}{rest}; "
            "measure this one's with `slmprof roofline`"
        )
    if found.n_threads != n_threads:
        raise UsageError(
            f"the ceilings in {os.fspath(path)} are those of {found.n_threads} threads, not of "
            f"{n_threads}"
        )
    return found


def keep_ceilings(measured: Ceilings) -> Path | None:
    """Writes ceilings into the cache folder; None where that cannot be written."""
    try:
        path = cache_path(measured.n_threads, measured.fingerprint)
        own_folder()
        write_ceilings(measured, path)
        close_to_others(path)
    except (OSError, UsageError):
        return None
    return path


def cache_path(n_threads: int, of: Fingerprint) -> Path:
    """Where the ceilings of a machine and build with this fingerprint are kept."""
    content = json.dumps(of.to_json(), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return cache_folder() / f"ceilings-{digest}-t{n_threads}.json"


def fingerprint() -> Fingerprint:
    """What ceilings depend on but for the threads: processor, cores, caches and build."""
    from .. import _core

    build = _core.build_info()
    return Fingerprint(
        cpu=cpu_name(),
        n_cores=usable_cores(),
        caches=tuple(
            f"{c.level} {c.size_bytes} bytes, {c.n_sharing} sharing" for c in data_caches()
        ),
        cpu_features=_core.cpu_features().strip(),
        method_version=METHOD_VERSION,
        **{name: build[name] for name in _OF_BUILD},
    )


def measure_ceilings(
    n_threads: int, on_progress: OnProgress | None = None, *, timeout: float | None = None
) -> Ceilings:
    """Measures in a child process, so that nothing that ggml does can end the caller's.

    Args:
        timeout: seconds that it may take; without it any time.

    Raises:
        UsageError: more threads than cores; EngineError: ggml refused or died, or the time was
            over.
    """
    check_threads(n_threads)
    question, what = {"n_threads": n_threads}, "measures the ceilings"
    with asked(_WORKER, question, what, "measuring ", timeout, has_files=False) as answer:
        return Ceilings.from_json(answer.wait(on_progress))


def check_threads(n_threads: int) -> None:
    """Raises UsageError for a number of threads whose ceilings would mean nothing."""
    if isinstance(n_threads, bool) or not isinstance(n_threads, int):
        raise UsageError(f"n_threads is {n_threads!r}, not a whole number")
    if not 1 <= n_threads <= MOST_THREADS:
        raise UsageError(f"n_threads is {n_threads}; it must be between 1 and {MOST_THREADS}")
    n_cores = usable_cores()
    if n_threads > n_cores:
        raise UsageError(
            f"{n_threads} threads oversubscribe {n_cores} cores: there is no ceiling to measure"
        )


def _differences(there: Json, here: Json) -> list[str]:
    """One text for each key with different values, those that people know best first."""
    keys = [*here, *(key for key in there if key not in here)]
    return [
        f"{key} is {_shown(there.get(key))} there and {_shown(here.get(key))} here"
        for key in keys
        if there.get(key) != here.get(key)
    ]


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    text = printable(text)
    return f"'{text if len(text) <= _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + '…'}'"
