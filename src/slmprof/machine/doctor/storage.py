"""Probes of the folders that slmprof writes into, and of what it keeps there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ...errors import ModelError, ProfileFormatError, UsageError
from ...models.cache import cache_folder as folder_of_cache
from ...models.cache import check_folder
from ...models.resolve import check_gguf
from ...profiles.records.ceilings import Ceilings, read_ceilings
from ...profiles.records.device_ceilings import read_device_ceilings
from .. import ceilings as of_cpu
from .. import device_ceilings as of_devices
from .answers import BuildFacts
from .memory import size_text
from .records import Outcome, broken, ok, unfavourable
from .subject import Subject

_MIB, _GIB = 2**20, 2**30
_LOW_CACHE_BYTES = _GIB  # a preset of 1 B parameters, and more
_FULL_BYTES, _LOW_BYTES = 16 * _MIB, 256 * _MIB  # profiles have some MiB, and some tens of them
_LEFT_SECONDS = 24 * 3600  # what is younger may still be in the making
_OF_RUNS = re.compile(r"slmprof-[a-z0-9_]{8}")  # as Python's tempfile makes them
_MOST_NAMES = 3


def cache_folder(_: Subject) -> Outcome:
    """Whether models and ceilings can be kept."""
    try:
        folder = folder_of_cache()
    except UsageError:
        return broken("no home folder is known", "set SLMPROF_CACHE_DIR to a folder")
    place = _existing(folder)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return broken(
            f"{folder} cannot be written: no preset or config.json can be run",
            "set SLMPROF_CACHE_DIR to a folder that can be written",
        )
    try:
        check_folder(folder)
    except UsageError:
        return broken(
            f"other users can put files into {folder}: nothing in it is used",
            f"run `chmod go-w {shlex.quote(str(folder))}`, or set SLMPROF_CACHE_DIR to another "
            "folder",
        )
    except FileNotFoundError:
        pass  # made when it is needed
    free = shutil.disk_usage(place).free
    found = f"{folder}: {size_text(free)} free on its disk"
    if free < _LOW_CACHE_BYTES:
        return unfavourable(
            f"{found}, which is less than many models take",
            "make room there, or set SLMPROF_CACHE_DIR to a folder on another disk",
        )
    return ok(f"{found}{_left(folder.glob('.*.tmp'))}")


def temporary_folder(_: Subject) -> Outcome:
    """Whether a run has where to put its repeats."""
    try:
        folder = Path(tempfile.gettempdir())
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return broken(str(error.strerror or error), "set TMPDIR to a folder that can be written")
    found = f"{folder}: {size_text(free)} free"
    if free < _FULL_BYTES:
        return broken(
            f"{found}: no run can keep its repeats", f"make room in {folder}, or set TMPDIR"
        )
    if free < _LOW_BYTES:
        return unfavourable(
            f"{found}: a long run may not find room", f"make room in {folder}, or set TMPDIR"
        )
    folders = (path for path in folder.glob("slmprof-*") if _OF_RUNS.fullmatch(path.name))
    return ok(f"{found}{_left(folders)}")


@dataclass
class _Kept:
    """What files of ceilings are worth.

    Attributes:
        own: those that runs here would use, by the number of threads; 0 for a device's.
        others: of another machine, driver or build. No run here looks at them.
        doubts, remedies: what is wrong with some, and what to do about it.
    """

    own: list[int] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)

    def doubt(self, text: str, remedy: str) -> None:
        self.doubts.append(text)
        if remedy not in self.remedies:
            self.remedies.append(remedy)


def ceilings(subject: Subject) -> Outcome | None:
    """Whether the ceilings in the cache folder are sound, and of this machine and build."""
    if subject.facts is None:
        return None
    kept = _Kept()
    for path in _files("ceilings-*.json"):
        look = _look_at_device if path.name.endswith("-device.json") else _look_at_cpu
        try:
            look(path, subject, subject.facts, kept)
        except (UsageError, ProfileFormatError):
            kept.doubt(f"{path.name} is damaged", _removal([path]))
    threads = ", ".join(str(n) for n in sorted(kept.own) if n)
    parts = [f"kept for {threads} threads" if threads else "none for this machine yet"]
    if 0 in kept.own:
        parts.append(f"{kept.own.count(0)} of GPUs")
    if kept.others:
        parts.append(f"{len(kept.others)} of other machines or builds, which no run looks at")
    found = "; ".join([*parts, *kept.doubts])
    if kept.doubts:
        return unfavourable(found, "; ".join(kept.remedies))
    return ok(found)


def _look_at_cpu(path: Path, _: Subject, facts: BuildFacts, kept: _Kept) -> None:
    found = read_ceilings(path)
    again = f"`slmprof roofline --threads {found.n_threads} --refresh`"
    if found.fingerprint != facts.fingerprint:
        if path == of_cpu.cache_path(found.n_threads, facts.fingerprint):
            kept.doubt(f"{path.name} is of another machine or build", again)
        else:
            kept.others.append(path)
        return
    kept.own.append(found.n_threads)
    if found.is_disturbed:
        kept.doubt(f"those of {found.n_threads} threads were disturbed by another load", again)
    if _is_older(found, Path(facts.path)):
        kept.doubt(f"those of {found.n_threads} threads are older than the build", again)


def _look_at_device(path: Path, subject: Subject, _: BuildFacts, kept: _Kept) -> None:
    found = read_device_ceilings(path).fingerprint
    driver = of_devices.driver_release(str(subject.proc / "driver/nvidia/version"))
    is_of_here = (found.driver, found.method_version) == (driver, of_devices.METHOD_VERSION)
    if driver is not None and is_of_here:
        kept.own.append(0)
    else:
        kept.others.append(path)


def _is_older(found: Ceilings, module: Path) -> bool:
    """Whether ceilings were measured before the module was built."""
    try:
        measured = datetime.fromisoformat(found.measured_at).timestamp()
        return measured < module.stat().st_mtime
    except (ValueError, OSError):
        return False


def models(_: Subject) -> Outcome:
    """Whether the models that were made for presets and configurations can be read."""
    found, damaged, size_bytes = _files("*.gguf"), [], 0
    for path in found:
        try:
            size_bytes += path.stat().st_size
            check_gguf(path)
        except (ModelError, OSError):
            damaged.append(path)
    text = f"{_counted(found, 'file')}, {size_text(size_bytes)}" if found else "none yet"
    if damaged:
        return unfavourable(
            f"{text}; damaged: {_named(damaged)}",
            f"{_removal(damaged)}; a run that needs one makes it anew",
        )
    return ok(text)


def _files(pattern: str) -> list[Path]:
    """Of the cache folder; none where there is no such folder."""
    try:
        return sorted(folder_of_cache().glob(pattern))
    except (UsageError, OSError):
        return []


def _existing(folder: Path) -> Path:
    """The folder, or the one above that is there: it would be made in it."""
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def _left(paths: Iterable[Path]) -> str:
    """What runs that were killed seem to have left: nobody has written to it for a day."""
    found = []
    for path in paths:
        try:
            if time.time() - path.stat().st_mtime > _LEFT_SECONDS:
                found.append(path)
        except OSError:
            continue  # it went meanwhile
    if not found:
        return ""
    return f"; left by killed runs, as it seems: {_named(sorted(found))}"


def _counted(paths: list[Path], noun: str) -> str:
    return f"{len(paths)} {noun}" if len(paths) == 1 else f"{len(paths)} {noun}s"


def _named(paths: list[Path]) -> str:
    more = len(paths) - _MOST_NAMES
    names = ", ".join(path.name for path in paths[:_MOST_NAMES])
    return f"{names} and {more} more" if more > 0 else names


def _removal(paths: list[Path]) -> str:
    shown = f"`{shlex.join(['rm', *map(str, paths[:_MOST_NAMES])])}`"
    more = len(paths) - _MOST_NAMES
    return f"{shown} and {more} more in {paths[0].parent}" if more > 0 else shown
