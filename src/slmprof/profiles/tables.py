"""The tables of a profile: frozen columns, one class a table, one dtype a column.

The annotation of a column is the only place where its dtype is written: `Table.spec()` reads it.
Names, units and meanings are those of docs/profile-format.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

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

_DTYPES: dict[str, type[np.generic]] = {
    "UInt8": np.uint8,
    "UInt16": np.uint16,
    "UInt32": np.uint32,
    "UInt64": np.uint64,
    "Int32": np.int32,
    "Int64": np.int64,
    "Float64": np.float64,
}

N_DIMS = 4
N_SOURCES = 10

TableT = TypeVar("TableT", bound="Table")


def trimmed_shape(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape of N_DIMS without the ones at its end, as users write it; at least one dimension."""
    sizes = [int(size) for size in shape]
    while len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length. An attribute is a column; `pass` is spelled `pass_` in Python."""

    NAME: ClassVar[str] = ""

    @classmethod
    def spec(cls) -> dict[str, np.dtype[Any]]:
        """The dtype of every column, by the column's name in the file, in the file's order."""
        return {f.name.rstrip("_"): np.dtype(_DTYPES[str(f.type)]) for f in fields(cls)}

    @classmethod
    def from_columns(cls: type[TableT], columns: Mapping[str, npt.ArrayLike]) -> TableT:
        """Makes the table from columns by name, each converted to its dtype.

        Raises:
            ValueError: a column is missing or unknown, is not one-dimensional, has another length
                than the first, or does not fit its dtype.
        """
        spec = cls.spec()
        unknown = sorted(set(columns) - set(spec))
        missing = [name for name in spec if name not in columns]
        if unknown or missing:
            what = f"no column {missing[0]}" if missing else f"an unknown column {unknown[0]}"
            raise ValueError(f"table {cls.NAME} has {what}")
        arrays: dict[str, npt.NDArray[Any]] = {}
        length: int | None = None
        for name, dtype in spec.items():
            array = _as_column(f"{cls.NAME}.{name}", columns[name], dtype)
            length = len(array) if length is None else length
            if len(array) != length:
                raise ValueError(
                    f"column {cls.NAME}.{name} has {len(array)} rows where {length} are expected"
                )
            arrays[name] = array
        return cls(**{f.name: arrays[f.name.rstrip("_")] for f in fields(cls)})

    @classmethod
    def empty(cls: type[TableT]) -> TableT:
        """The table with no rows."""
        return cls.from_columns({name: np.empty(0, dtype) for name, dtype in cls.spec().items()})

    @classmethod
    def concatenate(cls: type[TableT], parts: Iterable[TableT]) -> TableT:
        """The rows of all parts, one part after the other."""
        columns = [part.columns() for part in parts]
        if not columns:
            return cls.empty()
        return cls.from_columns({n: np.concatenate([c[n] for c in columns]) for n in cls.spec()})

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Every column by its name in the file."""
        return {f.name.rstrip("_"): getattr(self, f.name) for f in fields(self)}

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self: TableT, rows: npt.NDArray[Any] | slice) -> TableT:
        """The chosen rows: row numbers, a mask of one bool a row, or a slice."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

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


@dataclass(frozen=True, eq=False)
class StepTable(Table):
    """One row for each step: one prompt, or one generated token."""

    NAME: ClassVar[str] = "steps"

    phase: UInt8
    pass_: UInt8
    repeat: Int32
    index: Int32
    depth: Int32
    n_tokens: Int32
    n_past: Int32
    begin_ns: Int64
    end_ns: Int64


@dataclass(frozen=True, eq=False)
class SegmentTable(Table):
    """What the host did in a step of an op pass, outside the graph runs."""

    NAME: ClassVar[str] = "segments"

    step: Int32
    kind: UInt8
    begin_ns: Int64
    end_ns: Int64


@dataclass(frozen=True, eq=False)
class RunTable(Table):
    """One row for each execution of a graph in an op pass."""

    NAME: ClassVar[str] = "runs"

    step: Int32
    graph: Int32
    n_threads: Int32
    n_dropped: Int64
    begin_ns: Int64
    end_ns: Int64


@dataclass(frozen=True, eq=False)
class EventTable(Table):
    """One row for each executed op (or fused group) and thread, sorted by run, thread, begin."""

    NAME: ClassVar[str] = "events"

    run: Int32
    node: Int32
    n_fused: UInt16
    thread: UInt16
    path: Int32
    begin_ns: Int64
    end_ns: Int64
    convert: Int32
    convert_ns: Int64
    resume_ns: Int64
    n_experts: Int32


@dataclass(frozen=True, eq=False)
class StatTable(Table):
    """The events reduced to one row for each (phase, depth, graph, node, n_fused, stage, path)."""

    NAME: ClassVar[str] = "stats"

    phase: UInt8
    depth: Int32
    graph: Int32
    node: Int32
    n_fused: UInt16
    stage: UInt8
    path: Int32
    calls: Int64
    span_sum_ns: Int64
    span_min_ns: Int64
    span_max_ns: Int64
    span_sq_sum: Float64
    compute_sum_ns: Float64
    compute_max_sum_ns: Float64
    wait_sum_ns: Float64
    n_experts_sum: Int64


@dataclass(frozen=True, eq=False)
class MaskTable(Table):
    """One row for each run of a graph and mask of its attentions: what the mask lets through."""

    NAME: ClassVar[str] = "masks"

    run: Int32
    tensor: Int32
    n_pairs: Int64
    n_keys: Int64


@dataclass(frozen=True, eq=False)
class GraphTable(Table):
    """One row for each distinct compute graph."""

    NAME: ClassVar[str] = "graphs"

    hash: UInt64
    n_nodes: Int32
    backend: Int32


@dataclass(frozen=True, eq=False)
class TensorTable(Table):
    """Every tensor of every graph: a graph's nodes in execution order first, then its leaves.

    `src0` … `src9` and `view_src` count from the graph's first row; they are row numbers of the
    table that `of_graph` returns.
    """

    NAME: ClassVar[str] = "tensors"

    graph: Int32
    node: Int32
    op: Int32
    op_detail: Int32
    name: Int32
    type: Int32
    buffer_type: Int32
    usage: UInt8
    buffer: Int32
    offset_bytes: Int64
    flags: UInt32
    view_src: Int32
    view_offset: Int64
    ne0: Int64
    ne1: Int64
    ne2: Int64
    ne3: Int64
    nb0: Int64
    nb1: Int64
    nb2: Int64
    nb3: Int64
    src0: Int32
    src1: Int32
    src2: Int32
    src3: Int32
    src4: Int32
    src5: Int32
    src6: Int32
    src7: Int32
    src8: Int32
    src9: Int32
    size_bytes: Int64
    param0: Int32
    param1: Int32
    param2: Int32
    param3: Int32

    def of_graph(self, graph: int) -> TensorTable:
        """The rows of one graph, in their order."""
        return self.take(np.flatnonzero(self.graph == graph))

    def shapes(self) -> Int64:
        """int64[n, 4]: elements in each dimension, fastest first."""
        return np.stack([getattr(self, f"ne{i}") for i in range(N_DIMS)], axis=1)

    def strides(self) -> Int64:
        """int64[n, 4]: bytes from one element to the next in each dimension, fastest first."""
        return np.stack([getattr(self, f"nb{i}") for i in range(N_DIMS)], axis=1)

    def sources(self) -> Int32:
        """int32[n, 10]: the sources, as rows of the tensor's graph, or -1."""
        return np.stack([getattr(self, f"src{i}") for i in range(N_SOURCES)], axis=1)


@dataclass(frozen=True, eq=False)
class PlaceTable(Table):
    """One row for each tensor that has a place as long as the model or the context lives."""

    NAME: ClassVar[str] = "places"

    name: Int32
    type: Int32
    kind: Int32
    device: Int32
    buffer_type: Int32
    layer: Int32
    ne0: Int64
    ne1: Int64
    ne2: Int64
    ne3: Int64
    size_bytes: Int64
    buffer: Int32
    offset_bytes: Int64
    file: Int32
    file_offset_bytes: Int64
    n_cells: Int64
    n_streams: Int64
    n_swa: Int64
    cache: Int32

    def shapes(self) -> Int64:
        """int64[n, 4]: elements in each dimension, fastest first."""
        return np.stack([getattr(self, f"ne{i}") for i in range(N_DIMS)], axis=1)


TABLES: tuple[type[Table], ...] = (
    StepTable,
    SegmentTable,
    RunTable,
    EventTable,
    StatTable,
    MaskTable,
    GraphTable,
    TensorTable,
    PlaceTable,
)
