"""Where ggml's graph allocator puts a graph's storages, replayed, with inputs elsewhere.

Replayed without changes it gives the planned buffer to the byte. Replayed with what a GPU build of
2024 did otherwise, it gives what that build would have allocated for the same graph.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from fused_copies import FusedCopies

from slmprof.analysis.memory.liveness import Lives, find_lives
from slmprof.profiles.tables import TensorTable

_CPU_ALIGNMENT, _GPU_ALIGNMENT = 64, 128
_ENDLESS = 1 << 60

# Numbers of the cells to write: llama.cpp of 2024 wrote through views instead. Without flash
# attention, where V lies transposed, there is one for each element.
_INDEX_INPUTS = ("k_idxs", "v_idxs")

_FLAG_COMPUTE = 16


def _copied_name(name: str) -> str:
    parts = name.split("#")
    return parts[1] if len(parts) == 3 else name


class _Space:
    """Free blocks by address: the smallest that fits is taken, else the endless last one."""

    def __init__(self, alignment: int) -> None:
        self._alignment = alignment
        self._free = [[0, _ENDLESS]]
        self.end_bytes = 0

    def padded(self, size: int) -> int:
        return -(-size // self._alignment) * self._alignment

    def take(self, size: int) -> int:
        size = self.padded(size)
        fitting = [i for i, block in enumerate(self._free[:-1]) if block[1] >= size]
        # Of equally small ones the last.
        chosen = min(fitting, key=lambda i: (self._free[i][1], -i), default=len(self._free) - 1)
        offset, length = self._free[chosen]
        self._free[chosen] = [offset + size, length - size]
        if length == size:
            del self._free[chosen]
        self.end_bytes = max(self.end_bytes, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        blocks = sorted([*self._free, [offset, self.padded(size)]])
        self._free = [blocks[0]]
        for begin, length in blocks[1:]:
            if sum(self._free[-1]) == begin:
                self._free[-1][1] += length
            else:
                self._free.append([begin, length])


@dataclass(frozen=True)
class Layouts:
    """Sizes of one graph's compute buffer, each with one more change towards the GPU build of 2024.

    Attributes:
        planned: as llama.cpp plans it today; the replay gives the same.
        no_mixed: without what is there for batches that mix tokens with embeddings.
        no_indices: without the inputs that say into which cells of the cache to write.
        no_embeddings: without the place for embeddings as another form of input.
        on_gpu: with the inputs, and the rows of the embedding, which the CPU gathers, as copies
            that are made when the GPU's part begins (tokens are not copied), and with queries, keys
            and values copied out of a fused projection.
    """

    planned: int
    no_mixed: int
    no_indices: int
    no_embeddings: int
    on_gpu: int


class GraphLayout:
    """What one planned graph of a model has in one compute buffer, or in the only one.

    Copies of inputs on a device, `DEVICE#NAME#NUMBER`, stand for what they are copies of.
    """

    def __init__(
        self, columns: dict[str, np.ndarray], strings: list[str], buffer: int | None = None
    ) -> None:
        self._tensors = TensorTable.from_columns(columns)
        self._names: list[str] = [_copied_name(strings[i]) for i in self._tensors.name]
        self._ops: list[str] = [strings[i] for i in self._tensors.op]
        self._lives = find_lives(self._tensors, strings)
        elsewhere = self._lives.buffer != (self._lives.buffer if buffer is None else buffer)
        self._elsewhere = frozenset(np.flatnonzero(elsewhere).tolist())

    def layouts(self) -> Layouts:
        first, mixed = self._first(), self._mixed()
        indices = {i for i in first if self._is_index(i)}
        unread = {i for i in first if self._is_unread(i)}
        no_mixed = [i for i in first if i not in mixed]
        no_indices = [i for i in no_mixed if i not in indices]
        no_embeddings = [i for i in no_indices if i not in unread]
        copies, tokens = self._gpu_copies(no_embeddings)
        absent = mixed | indices | unread
        return Layouts(
            planned=self._replay(first, (), _CPU_ALIGNMENT),
            no_mixed=self._replay(no_mixed, mixed, _CPU_ALIGNMENT),
            no_indices=self._replay(no_indices, mixed | indices, _CPU_ALIGNMENT),
            no_embeddings=self._replay(no_embeddings, absent, _CPU_ALIGNMENT),
            on_gpu=self._replay(copies, absent | tokens, _GPU_ALIGNMENT, self._copied_lives()),
        )

    def planned_and_without_mixed(self, *, on_gpu: bool) -> tuple[int, int]:
        """The buffer as planned, and without what is there for batches of tokens and embeddings."""
        alignment = _GPU_ALIGNMENT if on_gpu else _CPU_ALIGNMENT
        first, mixed = self._first(), self._mixed()
        without = [i for i in first if i not in mixed]
        return self._replay(first, (), alignment), self._replay(without, mixed, alignment)

    def unread_bytes(self) -> int:
        """Bytes of inputs that no row reads."""
        return sum(int(self._lives.size_bytes[i]) for i in self._first() if self._is_unread(i))

    def size_bytes(self, *endings: str) -> int:
        """Bytes of the storages whose name has one of these endings."""
        lives = self._lives
        return sum(
            int(lives.size_bytes[i]) for i in range(len(lives)) if self._name(i).endswith(endings)
        )

    def embedding_row_bytes(self) -> int:
        """Bytes of the rows that are gathered from the embedding."""
        return sum(int(self._lives.size_bytes[i]) for i in self._gathered())

    def _name(self, storage: int) -> str:
        return self._names[int(self._lives.row[storage])]

    def _is_index(self, storage: int) -> bool:
        return self._name(storage).endswith(_INDEX_INPUTS)

    def _is_unread(self, storage: int) -> bool:
        return self._first_reader(storage) == len(self._tensors)

    def _mixed(self) -> set[int]:
        """What only rows use that llama.cpp has made but does not compute, for other batches."""
        tensors, sources = self._tensors, self._tensors.sources()
        is_node = (tensors.node >= 0) & np.array([op != "NONE" for op in self._ops])
        is_computed = (tensors.flags & _FLAG_COMPUTE) != 0
        made = {self._names[row] for row in np.flatnonzero(is_node & ~is_computed)}
        read, computed = set[str](), set[str]()
        for row in np.flatnonzero(is_node):
            (computed if is_computed[row] else read).update(
                self._names[source if tensors.view_src[source] < 0 else tensors.view_src[source]]
                for source in sources[row][sources[row] >= 0]
            )
        mixed = (made | read) - computed
        return {i for i in range(len(self._lives)) if self._name(i) in mixed}

    def _first(self) -> list[int]:
        """The storages that are there before the first row, by place."""
        there = set(np.flatnonzero(self._lives.birth < 0).tolist()) - self._elsewhere
        return sorted(there, key=lambda i: int(self._lives.offset_bytes[i]))

    def _gathered(self) -> list[int]:
        """Rows of embeddings: what the first gathering of rows from a weight gives."""
        rows = [int(row) for row in self._lives.row]
        first = min(row for row in rows if self._ops[row] == "GET_ROWS")
        return [rows.index(first)]

    def _gpu_copies(self, first: Sequence[int]) -> tuple[list[int], set[int]]:
        """Copies of the inputs in the order in which they are first read; what is not copied."""
        tokens = {i for i in first if self._is_tokens(i)}
        copied = [i for i in first if i not in tokens] + self._gathered()
        return sorted(copied, key=self._first_reader), tokens

    def _is_tokens(self, storage: int) -> bool:
        return self._name(storage).endswith("inp_tokens")

    def _first_reader(self, storage: int) -> int:
        row, tensors = int(self._lives.row[storage]), self._tensors
        roots = np.where(tensors.view_src >= 0, tensors.view_src, np.arange(len(tensors)))
        sources = tensors.sources()
        reads = ((sources >= 0) & (roots[sources] == row)).any(axis=1)
        return int(np.argmax(reads)) if reads.any() else len(tensors)

    def _copied_lives(self) -> Lives:
        return FusedCopies(self._tensors, self._names, self._ops, self._lives).lives()

    def _replay(
        self,
        first: Sequence[int],
        absent: Collection[int],
        alignment: int,
        lives: Lives | None = None,
    ) -> int:
        lives = self._lives if lives is None else lives
        space = _Space(alignment)
        offsets = {storage: space.take(int(lives.size_bytes[storage])) for storage in first}
        taken_over = set(lives.place.tolist())
        births: dict[int, list[int]] = {}
        deaths: dict[int, list[int]] = {}
        for storage in range(len(lives)):
            if storage in absent or storage in self._elsewhere:
                continue
            if storage not in offsets:
                births.setdefault(int(lives.birth[storage]), []).append(storage)
            if storage not in taken_over:
                deaths.setdefault(int(lives.death[storage]), []).append(storage)
        for step in range(lives.n_steps):
            for storage in births.get(step, ()):
                source = int(lives.place[storage])
                size = int(lives.size_bytes[storage])
                offsets[storage] = offsets[source] if source >= 0 else space.take(size)
            for storage in deaths.get(step, ()):
                space.give(offsets[storage], int(lives.size_bytes[storage]))
        return space.end_bytes
