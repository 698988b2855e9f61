"""What a column of a profile's tables is, said once; the tables themselves are in `tables`.

A column is one line of its table: the annotation is the dtype, and `column`, `text`, `row`,
`within` or `enum` says what it holds. Reading and checking files, putting chunks together,
selecting a depth and docs/profile-format.md all follow these lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from .vocabulary import ENUMS

if TYPE_CHECKING:
    import numpy.typing as npt

# As numpy.typing.NDArray has them, which takes time to load.
UInt8 = np.ndarray[Any, np.dtype[np.uint8]]
UInt16 = np.ndarray[Any, np.dtype[np.uint16]]
UInt32 = np.ndarray[Any, np.dtype[np.uint32]]
UInt64 = np.ndarray[Any, np.dtype[np.uint64]]
Int32 = np.ndarray[Any, np.dtype[np.int32]]
Int64 = np.ndarray[Any, np.dtype[np.int64]]
Float64 = np.ndarray[Any, np.dtype[np.float64]]

# 36 years in nanoseconds; differences of such numbers, and sums of them, are far from overflow.
_LARGEST = {"int64": 2**60, "float64": 2.0**100}
_UNITS = {"_ns": "ns", "_bytes": "bytes"}

Meta = Mapping[str, Any]
TableT = TypeVar("TableT", bound="Table")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        meaning: as docs/profile-format.md has it.
        unit: `ns`, `bytes`, …; where it is empty, the end of the name tells it.
        is_text: it is an index into the profile's texts; -1 means none.
        row_of: the table whose row it is.
        within: it is an index among the `nodes` or the `tensors` of the row's graph.
        enum: the enum of `vocabulary` whose value it is.
        low, high: smallest and largest value; None where only the dtype limits it.
        since: the format version that added it.
        before: what it is in older files, or how `meta` tells it.
        was: name and dtype that it had in files before `since`.
        merge: how rows that agree in all columns without it are made one, see `reduction`.
        name, dtype: of the column in the file.
    """

    meaning: str = ""
    unit: str = ""
    is_text: bool = False
    row_of: str = ""
    within: Literal["", "nodes", "tensors"] = ""
    enum: str = ""
    low: float | None = 0
    high: float | None = None
    since: int = 1
    before: int | Callable[[Meta], int] = 0
    was: tuple[str, str] | None = None
    merge: Literal["", "sum", "min", "max"] = ""
    name: str = ""
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.int32))

    def in_version(self, version: int) -> tuple[str, np.dtype[Any]] | None:
        """Name and dtype in files of a version; None where they do not have it."""
        if version >= self.since:
            return self.name, self.dtype
        return (self.was[0], np.dtype(self.was[1])) if self.was else None

    def stand_in(self, meta: Meta) -> int:
        """The value of every row in a file whose version did not have the column."""
        return self.before(meta) if callable(self.before) else self.before

    @property
    def end(self) -> float | None:
        """The first value that is too large, for a column whose limit no other table sets."""
        if self.enum:
            return len(ENUMS[self.enum])
        if self.low is None:
            return None
        return self.high + 1 if self.high is not None else _LARGEST.get(self.dtype.name)


def column(meaning: str = "", **how: Any) -> Any:
    """A column of a table; `how` are further fields of `Column`."""
    return Column(meaning, **how)


def text(meaning: str = "", **how: Any) -> Any:
    """A column of indices into the profile's texts."""
    return column(meaning, is_text=True, low=-1, **how)


def row(table: str, meaning: str = "", **how: Any) -> Any:
    """A column of rows of a table."""
    return column(meaning, row_of=table, **how)


def within(what: Literal["nodes", "tensors"], meaning: str = "", **how: Any) -> Any:
    """A column of indices among the nodes or tensors of the graph that the row is about."""
    return column(meaning, within=what, **how)


def enum(name: str, meaning: str = "", **how: Any) -> Any:
    """A column of the values of an enum."""
    return column(meaning, enum=name, **how)


class Table:
    """Columns of one length. An attribute is a column; `pass` is spelled `pass_` in Python.

    Class attributes of a table: its NAME; the format version that added it (SINCE); and whether
    its rows are counted over all chunks of a worker (OVER_CHUNKS), see `assemble`.
    """

    NAME: ClassVar[str]
    SINCE: ClassVar[int]
    OVER_CHUNKS: ClassVar[bool]
    _schema: ClassVar[dict[str, Column]]

    def __init_subclass__(cls, name: str, since: int = 1, over_chunks: bool = False) -> None:
        cls.NAME, cls.SINCE, cls.OVER_CHUNKS, cls._schema = name, since, over_chunks, {}
        for attribute, dtype in cls.__annotations__.items():
            said: Column = vars(cls)[attribute]
            of_file = attribute.rstrip("_")
            cls._schema[of_file] = replace(
                said,
                name=of_file,
                dtype=np.dtype(dtype.lower()),
                unit=said.unit
                or next((u for end, u in _UNITS.items() if of_file.endswith(end)), ""),
                since=max(said.since, since),
            )
            delattr(cls, attribute)

    def __init__(self, *columns: npt.NDArray[Any]) -> None:
        vars(self).update(zip(type(self).__annotations__, columns, strict=True))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"table {self.NAME} is frozen: {name} cannot be set")

    @classmethod
    def schema(cls) -> dict[str, Column]:
        """Every column by its name in the file, in the file's order."""
        return cls._schema

    @classmethod
    def from_columns(cls: type[TableT], columns: Mapping[str, npt.ArrayLike]) -> TableT:
        """Makes the table from columns by name, each converted to its dtype.

        Raises:
            ValueError: a column is missing or unknown, is not one-dimensional, has another length
                than the first, or does not fit its dtype.
        """
        schema = cls.schema()
        unknown = sorted(set(columns) - set(schema))
        missing = [name for name in schema if name not in columns]
        if unknown or missing:
            what = f"no column {missing[0]}" if missing else f"an unknown column {unknown[0]}"
            raise ValueError(f"table {cls.NAME} has {what}")
        arrays: list[npt.NDArray[Any]] = []
        for name, column in schema.items():
            array = _as_column(f"{cls.NAME}.{name}", columns[name], column.dtype)
            if arrays and len(array) != len(arrays[0]):
                raise ValueError(
                    f"column {cls.NAME}.{name} has {len(array)} rows where {len(arrays[0])} are "
                    "expected"
                )
            arrays.append(array)
        return cls(*arrays)

    @classmethod
    def empty(cls: type[TableT]) -> TableT:
        """The table with no rows."""
        return cls(*(np.empty(0, column.dtype) for column in cls.schema().values()))

    @classmethod
    def concatenate(cls: type[TableT], parts: Iterable[TableT]) -> TableT:
        """The rows of all parts, one part after the other."""
        columns = [part.columns() for part in parts]
        if not columns:
            return cls.empty()
        return cls(*(np.concatenate([c[name] for c in columns]) for name in cls.schema()))

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Every column by its name in the file."""
        return dict(zip(self._schema, vars(self).values(), strict=True))

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def take(self: TableT, rows: npt.NDArray[Any] | slice) -> TableT:
        """The chosen rows: row numbers, a mask of one bool a row, or a slice."""
        return type(self)(*(values[rows] for values in self.columns().values()))

    def replace(self: TableT, **columns: npt.ArrayLike) -> TableT:
        """The table with some columns exchanged, by their names in the file."""
        return type(self).from_columns({**self.columns(), **columns})


def _as_column(where: str, values: npt.ArrayLike, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"column {where} has {array.ndim} dimensions where one is expected")
    if array.dtype == dtype:
        return array
    if array.size == 0:
        return np.empty(0, dtype)
    if array.dtype.kind not in ("iub" if dtype.kind in "iu" else "iubf"):
        raise ValueError(f"column {where} has type {array.dtype} where {dtype} is expected")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise ValueError(f"column {where} holds a number that does not fit {dtype}")
    return array.astype(dtype)
