"""What a machine can do at best, and the file that says so (docs/roofline.md)."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ProfileFormatError, UsageError

FORMAT = "slmprof-ceilings"
FORMAT_VERSION = 1

MEMORY = "memory"
OPERATIONS = ("read", "copy", "triad")

_MAX_FILE_BYTES = 2**20
_MAX_ROWS = 1000
_MAX_TEXT = 1000

Json = dict[str, Any]
Row = TypeVar("Row")


@dataclass(frozen=True)
class Cache:
    """A data cache: `L1`, `L2` …, its size, and how many cores share one."""

    level: str
    size_bytes: int
    n_sharing: int


@dataclass(frozen=True)
class Bandwidth:
    """10^9 bytes per second of all threads together.

    `level` is that of a cache or `memory`; `working_set_bytes` what all threads went over.
    """

    level: str
    operation: str
    working_set_bytes: int
    gbps: float


@dataclass(frozen=True)
class Arithmetic:
    """10^9 operations per second of all threads together, in products with a matrix of a type.

    `impl` is `plain`, `repack`, or the name of another buffer type of ggml's CPU backend.
    """

    type: str
    n_columns: int
    impl: str
    gflops: float


@dataclass(frozen=True)
class Ceilings:
    """The ceilings of one machine, one build and one number of threads.

    Attributes:
        fingerprint: what they hold for: texts, numbers and lists of them, by name.
        measured_at: UTC, as ISO 8601 writes it.
        seconds: how long the measurement took.
        caches: those that the machine reports, the nearest first.
        op_ns: nanoseconds that an op with nothing to do costs.
        is_disturbed: whether another load took part of the cores meanwhile.
        warnings: what spoiled the measurement, one sentence each.
    """

    fingerprint: Json
    measured_at: str
    seconds: float
    n_threads: int
    caches: tuple[Cache, ...]
    bandwidth: tuple[Bandwidth, ...]
    arithmetic: tuple[Arithmetic, ...]
    op_ns: float
    is_disturbed: bool = False
    warnings: tuple[str, ...] = field(default=())

    def gbps(self, level: str, operation: str = "read") -> float | None:
        """Bandwidth of a level, or None where it was not measured."""
        for row in self.bandwidth:
            if (row.level, row.operation) == (level, operation):
                return row.gbps
        return None

    def best_arithmetic(self, type_name: str, n_columns: int) -> Arithmetic | None:
        """The fastest implementation for a type, or None where the type was not measured.

        Args:
            n_columns: 1 asks for the product with one column, anything above for the fastest
                product with any number of columns.
        """
        rows = [
            row
            for row in self.arithmetic
            if row.type == type_name and (row.n_columns == 1 or n_columns > 1)
        ]
        return max(rows, key=lambda row: row.gflops, default=None)

    def peak_gflops(self, type_name: str, n_columns: int) -> float | None:
        """The figure of `best_arithmetic`."""
        best = self.best_arithmetic(type_name, n_columns)
        return None if best is None else best.gflops

    def capacity_bytes(self, level: str) -> float:
        """What the caches of a level hold together, as `cache_capacity_bytes` counts them.

        Infinite for `memory`, 0 for a level that is unknown.
        """
        if level == MEMORY:
            return math.inf
        n_cores = self.fingerprint.get("n_cores")
        if not isinstance(n_cores, int) or n_cores < 1:
            n_cores = self.n_threads
        for cache in self.caches:
            if cache.level == level:
                return cache_capacity_bytes(cache, self.n_threads, n_cores)
        return 0.0

    @property
    def last_cache_bytes(self) -> float:
        """What the caches of the last level hold together; 0 where none is known."""
        return self.capacity_bytes(self.caches[-1].level) if self.caches else 0.0

    def level_holding(self, size_bytes: float) -> str:
        """The nearest level with a known bandwidth whose caches hold so much, else `memory`."""
        for cache in self.caches:
            if (
                size_bytes <= self.capacity_bytes(cache.level)
                and self.gbps(cache.level) is not None
            ):
                return cache.level
        return MEMORY

    def to_json(self) -> Json:
        """The object that a file holds."""
        body = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("caches", "bandwidth", "arithmetic"):
            body[name] = [asdict(row) for row in body[name]]
        body["warnings"] = list(self.warnings)
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **body}

    @classmethod
    def from_json(cls, values: object) -> Ceilings:
        """The inverse of `to_json`; unknown keys are dropped.

        Raises:
            ProfileFormatError: the value is no such object, or one of a newer version.
        """
        if not isinstance(values, Mapping):
            raise ProfileFormatError("the ceilings are not an object")
        _check_version(values)
        return cls(
            fingerprint=_fingerprint(values.get("fingerprint")),
            measured_at=_text("measured_at", values.get("measured_at")),
            seconds=_number("seconds", values.get("seconds")),
            n_threads=_count("n_threads", values.get("n_threads")),
            caches=_rows(Cache, "caches", values.get("caches")),
            bandwidth=_rows(Bandwidth, "bandwidth", values.get("bandwidth")),
            arithmetic=_rows(Arithmetic, "arithmetic", values.get("arithmetic")),
            op_ns=_number("op_ns", values.get("op_ns")),
            is_disturbed=values.get("is_disturbed") is True,
            warnings=tuple(
                _text("warnings", text) for text in _list("warnings", values.get("warnings", []))
            ),
        )


def cache_capacity_bytes(cache: Cache, n_threads: int, n_cores: int) -> float:
    """What the caches of one level hold together that so many threads use.

    Threads spread over the cores, so that they share a cache only when every other one of its
    level has a thread already.
    """
    return float(cache.size_bytes * min(n_threads, max(n_cores // cache.n_sharing, 1)))


def read_ceilings(path: str | os.PathLike[str]) -> Ceilings:
    """Reads a file of ceilings, whatever machine it is of.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        ProfileFormatError: it holds no ceilings, is damaged, or is of a newer version.
    """
    source = Path(path)
    try:
        if source.exists() and not source.is_file():
            raise UsageError(f"{source} is a directory, a device or a pipe; ceilings are a file")
        with source.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ProfileFormatError("it is too large to be one")
        return Ceilings.from_json(json.loads(content.decode("utf-8")))
    except ProfileFormatError as error:
        raise ProfileFormatError(f"cannot read ceilings {source}: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        # Damaged JSON, bytes that are no UTF-8, brackets without end, or a path with a NUL in it.
        if "\0" in str(source):
            raise UsageError(f"cannot read {str(source)!r}: it is no file name") from error
        raise ProfileFormatError(f"cannot read ceilings {source}: it is not JSON") from error


def write_ceilings(ceilings: Ceilings, path: str | os.PathLike[str]) -> None:
    """Writes a file of ceilings, whole or not at all, through a temporary file beside it.

    Raises:
        UsageError: the file cannot be written there; nothing is left behind.
    """
    text = json.dumps(ceilings.to_json(), indent=1, allow_nan=False) + "\n"
    try:
        # The file behind a symbolic link is replaced, not the link.
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise UsageError(f"cannot write {path}: it is no plain file")
        number, name = tempfile.mkstemp(
            prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent
        )
        temporary = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as stream:
                stream.write(text)
            # mkstemp's files are for their owner alone; this one is as any other that is written.
            # The umask can be read by setting it only, for that moment to the strictest.
            mask = os.umask(0o077)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"cannot write {path}: {cause}") from error


def _check_version(values: Mapping[Any, Any]) -> None:
    if values.get("format") != FORMAT:
        raise ProfileFormatError(f"it holds no ceilings: its format is not {FORMAT!r}")
    version = values.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProfileFormatError("its format version is not a number")
    if version > FORMAT_VERSION:
        raise ProfileFormatError(
            f"it is of format version {version}, and this slmprof reads up to {FORMAT_VERSION}; "
            "update slmprof, or measure again with `slmprof roofline --refresh`"
        )


def _fingerprint(value: object) -> Json:
    if not isinstance(value, Mapping):
        raise ProfileFormatError("fingerprint is not an object")
    result: Json = {}
    for key, item in value.items():
        items = item if isinstance(item, list) else [item]
        if not all(part is None or isinstance(part, (str, int, bool)) for part in items):
            raise ProfileFormatError(f"fingerprint.{_shown(key)} is neither a text nor a number")
        result[_text("fingerprint", key)] = item
    return result


def _rows(kind: type[Row], name: str, value: object) -> tuple[Row, ...]:
    rows = []
    for item in _list(name, value):
        if not isinstance(item, Mapping):
            raise ProfileFormatError(f"{name} is not a list of objects")
        cells: Json = {}
        for column in fields(kind):  # type: ignore[arg-type]
            where = f"{name}.{column.name}"
            check = {"str": _text, "int": _count, "float": _rate}[str(column.type)]
            cells[column.name] = check(where, item.get(column.name))
        rows.append(kind(**cells))
    return tuple(rows)


def _list(name: str, value: object) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > _MAX_ROWS:
        raise ProfileFormatError(f"{name} is not a list, or too long a one")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ProfileFormatError(f"{name} is not a text, or too long a one")
    # JSON may hold halves of surrogate pairs, which no output could print.
    return value.encode("utf-8", "replace").decode("utf-8")


def _count(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**63:
        raise ProfileFormatError(f"{name} is not a whole number above 0")
    return value


def _number(name: str, value: object) -> float:
    # Whole numbers are first compared as such: the largest have no float.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e300:
        raise ProfileFormatError(f"{name} is not a number from 0 up")
    return float(value)


def _rate(name: str, value: object) -> float:
    number = _number(name, value)
    if not 1e-9 <= number <= 1e15:
        raise ProfileFormatError(f"{name} is no possible rate")
    return number


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 and text.isprintable() else "…"
