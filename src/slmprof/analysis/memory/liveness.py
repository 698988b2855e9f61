"""How long every storage of a compute graph lives, by the rules of ggml's graph allocator.

Rows stand in execution order, and a row is allocated when its turn comes: the time of a graph is
counted in rows. Leaves without memory of their own, and nodes that the host fills, are there from
the start. What nobody reads, and what is marked as an output, is never given back. A row that
changes one of its sources element by element takes over the source's place where nobody else needs
it any more and no view stands between the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...profiles.schema import Int32, Int64
from ...profiles.tables import TensorTable
from ...profiles.vocabulary import USAGES

# Operators that ggml may compute in the place of a source.
IN_PLACE_OPS = frozenset(
    {
        "FILL", "SCALE", "DIAG_MASK_ZERO", "DIAG_MASK_INF", "ADD", "ADD_ID", "ADD1", "SUB", "MUL",
        "DIV", "SQR", "SQRT", "LOG", "UNARY", "ROPE", "ROPE_BACK", "SILU_BACK", "RMS_NORM",
        "RMS_NORM_BACK", "CLAMP", "SOFT_MAX", "SOFT_MAX_BACK",
    }
)  # fmt: skip

_FLAG_INPUT = 1
_FLAG_OUTPUT = 2
_OWNED_ELSEWHERE = (USAGES.index("weights"), USAGES.index("state"))


@dataclass(frozen=True, eq=False)
class Lives:
    """The storages of one graph's compute buffers, one element each.

    Attributes:
        row: the row of the graph's table that owns the storage.
        buffer, offset_bytes: where the allocator put it.
        size_bytes: `ggml_nbytes` of the row.
        birth, death: the first and the last row during which it is there; -1 is the time before
            the first row. What is never given back dies with the last row. A storage whose place
            was taken over ends before the row that took it.
        last_use: as `death`, but of what nobody reads, and is no output, it is the birth: the
            allocator keeps the place of such an input although the graph has no use for it.
        place: the storage (an element of these arrays) whose place this one took over, or -1.
    """

    n_steps: int
    row: Int32
    buffer: Int32
    offset_bytes: Int64
    size_bytes: Int64
    birth: Int32
    death: Int32
    last_use: Int32
    place: Int32

    def __len__(self) -> int:
        return len(self.row)

    def live(self, step: int) -> Int64:
        """The storages that are there while a row is computed."""
        return np.flatnonzero((self.birth <= step) & (step <= self.death))

    def live_bytes(self) -> Int64:
        """int64[n_steps + 1]: bytes of all storages there, before the first row and at each."""
        return self._bytes_until(self.death)

    def needed_bytes(self) -> Int64:
        """As `live_bytes`, of what the graph still has a use for."""
        return self._bytes_until(self.last_use)

    def _bytes_until(self, last: Int32) -> Int64:
        change = np.zeros(self.n_steps + 2, np.int64)
        np.add.at(change, self.birth + 1, self.size_bytes)
        np.add.at(change, last + 2, -self.size_bytes)
        return np.cumsum(change)[:-1]


def find_lives(tensors: TensorTable, strings: list[str] | tuple[str, ...]) -> Lives:
    """The lives of one graph's storages.

    Args:
        tensors: the rows of one graph, with the allocator's `buffer` and `offset_bytes`; rows
            whose storage lies in no compute buffer have -1 or the usage of a weight or a cache.
        strings: the texts that the table refers to.
    """
    return _Reading(tensors, strings).lives()


class _Reading:
    """Who reads which storage, and when."""

    def __init__(self, tensors: TensorTable, strings: list[str] | tuple[str, ...]) -> None:
        self.tensors = tensors
        n_rows = len(tensors)
        self.n_nodes = int(np.count_nonzero(tensors.node >= 0))
        view_src = tensors.view_src.tolist()
        self.root = [src if src >= 0 else row for row, src in enumerate(view_src)]
        self.flags = tensors.flags.tolist()
        self.op = [strings[i] for i in tensors.op.tolist()]
        self.sources = [[s for s in row if s >= 0] for row in tensors.sources().tolist()]
        usage = tensors.usage
        is_placed = (tensors.buffer >= 0) & (tensors.offset_bytes >= 0)
        is_placed &= ~np.isin(usage, _OWNED_ELSEWHERE) & (tensors.view_src < 0)
        self.is_owner: list[bool] = is_placed.tolist()
        # How often each row reads a storage, in rows' order; and views that nobody reads.
        self.reads: list[list[int]] = [[] for _ in range(n_rows)]
        unread = [root != row and row < self.n_nodes for row, root in enumerate(self.root)]
        for row in range(self.n_nodes):
            for source in self.sources[row]:
                self.reads[self.root[source]].append(row)
                if source != row:
                    unread[source] = False
        self.is_kept = [bool(flags & _FLAG_OUTPUT) for flags in self.flags]
        for row, is_unread in enumerate(unread):
            if is_unread and self.op[row] != "NONE":
                self.is_kept[self.root[row]] = True

    def lives(self) -> Lives:
        tensors, last = self.tensors, self.n_nodes - 1
        owners = [row for row, owns in enumerate(self.is_owner) if owns]
        number = {row: i for i, row in enumerate(owners)}
        birth = [self._birth(row) for row in owners]
        death = [self._death(row, last) for row in owners]
        is_used = [self.is_kept[row] or bool(self.reads[row]) for row in owners]
        place = [-1] * len(owners)
        for i, row in enumerate(owners):
            if 0 <= row < self.n_nodes and birth[i] == row and self.op[row] in IN_PLACE_OPS:
                source = self._source_to_replace(row, number)
                if source >= 0:
                    place[i] = source
                    death[source] = row - 1
        rows = np.array(owners, np.int32)
        return Lives(
            n_steps=self.n_nodes,
            row=rows,
            buffer=tensors.buffer[rows],
            offset_bytes=tensors.offset_bytes[rows],
            size_bytes=tensors.size_bytes[rows],
            birth=np.array(birth, np.int32),
            death=np.array(death, np.int32),
            last_use=np.where(is_used, death, birth).astype(np.int32),
            place=np.array(place, np.int32),
        )

    def _birth(self, row: int) -> int:
        return -1 if row >= self.n_nodes or self.flags[row] & _FLAG_INPUT else row

    def _death(self, row: int, last: int) -> int:
        reads = self.reads[row]
        return last if self.is_kept[row] or not reads else reads[-1]

    def _source_to_replace(self, row: int, number: dict[int, int]) -> int:
        """The storage whose place a row takes over, or -1."""
        for source in self.sources[row]:
            # Not through a view, even where it shows the whole source.
            if source not in number or self.is_kept[source]:
                continue
            reads = self.reads[source]
            # The row is the last one that reads it, and reads it once.
            if reads[-1] != row or (len(reads) > 1 and reads[-2] == row):
                continue
            if self._same_layout(row, source):
                return number[source]
        return -1

    def _same_layout(self, row: int, source: int) -> bool:
        tensors = self.tensors
        return bool(tensors.type[row] == tensors.type[source]) and all(
            getattr(tensors, f"{what}{i}")[row] == getattr(tensors, f"{what}{i}")[source]
            for what in ("ne", "nb")
            for i in range(4)
        )
