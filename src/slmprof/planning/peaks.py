"""The compute buffers that a planned model would need, each at its peak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis.graphs.structures import KnownStructures, Structure
from ..analysis.memory.liveness import Lives, find_lives
from ..analysis.memory.peak import find_peak
from ..profiles.tables import N_DIMS, TensorTable, trimmed_shape
from .records import ComputePeak, LiveTensor


class PeakFinder:
    """Finds the peaks of a model's graphs; graphs of equal structure are attributed once."""

    def __init__(self) -> None:
        self._structures = KnownStructures()

    def peak(self, graph: Mapping[str, Any]) -> ComputePeak:
        """The peak of a planned graph (`PlannedGraph` of the native planner).

        With several compute buffers it is that of the largest one.
        """
        strings: list[str] = graph["strings"]
        tensors = TensorTable.from_columns(graph["tensors"])
        lives = _of_largest_buffer(find_lives(tensors, strings))
        moment = find_peak(lives)
        sizes = [b["size_bytes"] for b in graph["buffers"] if b["kind"] == "compute"]
        # The allocator rounds the end up; its own figure counts where it is the same buffer's.
        size_bytes = max([int(size) for size in sizes], default=moment.end_bytes)
        structure = self._structures.of(tensors, strings)
        return ComputePeak(
            size_bytes=size_bytes,
            phase=graph["phase"],
            n_tokens=int(graph["n_tokens"]),
            live_bytes=moment.live_bytes,
            hole_bytes=size_bytes - moment.live_bytes,
            lower_bound_bytes=moment.lower_bound_bytes,
            tensors=tuple(
                _live_tensor(tensors, strings, structure, int(lives.row[i]))
                for i in moment.storages
            ),
        )


def _of_largest_buffer(lives: Lives) -> Lives:
    # Not np.unique, which loads numpy.ma: as long as a plan takes.
    buffers = set(lives.buffer.tolist())
    if len(buffers) < 2:
        return lives
    ends = lives.offset_bytes + lives.size_bytes
    largest = max(buffers, key=lambda b: int(ends[lives.buffer == b].max()))
    chosen = lives.buffer == largest
    columns = ("row", "buffer", "offset_bytes", "size_bytes", "birth", "death", "last_use")
    return Lives(
        n_steps=lives.n_steps,
        **{name: getattr(lives, name)[chosen] for name in columns},
        place=np.full(int(chosen.sum()), -1, np.int32),
    )


def _live_tensor(
    tensors: TensorTable, strings: list[str], structure: Structure, row: int
) -> LiveTensor:
    edges, places = structure.edges, structure.attribution
    shown = row
    if row >= edges.n_nodes or not places.block[row]:
        # An input, or what is computed elsewhere, belongs to the first op that reads it.
        readers = edges.readers(row)
        shown = readers[0] if readers else row
        layers = {int(places.layer[reader]) for reader in readers}
        layer = layers.pop() if len(layers) == 1 else -1
    else:
        layer = int(places.layer[row])
    return LiveTensor(
        tensor=strings[int(tensors.name[row])],
        op=strings[int(tensors.op[row])],
        block=str(places.block[shown]) or "other",
        layer=layer if layer >= 0 else None,
        type=strings[int(tensors.type[row])],
        shape=trimmed_shape(getattr(tensors, f"ne{i}")[row] for i in range(N_DIMS)),
        size_bytes=int(tensors.size_bytes[row]),
    )
