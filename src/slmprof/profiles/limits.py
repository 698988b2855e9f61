"""How large the parts of a profile file may be (docs/profile-format.md, limits).

A packed file can hold a thousand times its size. What a run has measured packs far worse: two times
of an event alone take bytes that nothing can foresee. So each limit is a number that no small file
needs to reach, and beyond it a share of the file's size that is a multiple of what real files have.
The other limits are of counts for which analysis takes more than its share of time or memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import ProfileFormatError
from ..settings.kinds import MOST_DEPTHS, MOST_PROCESSES

if TYPE_CHECKING:
    from .data import ProfileData


class _Allowance(NamedTuple):
    """So much for any file, and one more for each of so many bytes of it (0: no more)."""

    at_least: int
    file_bytes: int = 0

    def of(self, file_bytes: int) -> int:
        more = file_bytes // self.file_bytes if self.file_bytes else 0
        return self.at_least + more


MOST_META_BYTES = 16 * 2**20
# JSON's values, of which each takes a hundred bytes of memory and more.
MOST_META_VALUES = 400_000
MOST_STRINGS = 100_000

# Real files have 1.2 to 10 bytes of tables for each of their own, and 7 bytes and more a row.
_UNPACKED_A_BYTE = 24
_UNPACKED_AT_LEAST = 16 * 2**20
_ROWS = _Allowance(100_000, 4)
# Tables whose rows cost more than a numpy operation each.
_ROWS_OF = {
    "steps": _Allowance(50_000, 8),
    "stats": _Allowance(25_000, 40),
    # One for each padded length of the cache and each kind of batch.
    "graphs": _Allowance(2_500),
    "splits": _Allowance(20_000, 64),
    "copies": _Allowance(20_000, 24),
    "tensors": _Allowance(50_000, 16),
    "places": _Allowance(20_000, 64),
    "lanes": _Allowance(10_000),
    "types": _Allowance(2_000),
    **dict.fromkeys(("runs", "masks", "traces"), _Allowance(50_000, 16)),
}
# Ops that differ in node, code or lane: analysis describes each.
_OPS = _Allowance(25_000, 40)
# What ran for ops, by name: the CPU has some tens, CUDA some hundreds.
_MOST_KERNELS = 2_000
# The largest graphs of llama.cpp have about ten thousand nodes.
MOST_GRAPH_ROWS = 2**15


def check_tables(rows: Mapping[str, int], table_bytes: int, file_bytes: int) -> None:
    """Refuses tables before any of them is unpacked.

    Args:
        rows: of each table, what it has at most.
        table_bytes: of all tables, unpacked.
        file_bytes: of the file.

    Raises:
        ProfileFormatError: names the table.
    """
    most_bytes = _UNPACKED_AT_LEAST + _UNPACKED_A_BYTE * file_bytes
    if table_bytes > most_bytes:
        raise ProfileFormatError(
            f"its tables would take {table_bytes} bytes, more than a file of {file_bytes} bytes "
            f"may hold ({most_bytes})"
        )
    for name, n_rows in rows.items():
        _check_count(f"rows in table {name}", n_rows, _ROWS_OF.get(name, _ROWS), file_bytes)
    _check_count("rows in all tables", sum(rows.values()), _ROWS, file_bytes)


def check_counts(profile: ProfileData, file_bytes: int) -> None:
    """Refuses a profile, whose columns are checked, that has too much of what is analysed one by
    one.

    Raises:
        ProfileFormatError: says of what.
    """
    steps, tensors = profile.steps, profile.tensors
    kernels = np.union1d(profile.events.path, profile.stats.path)
    for what, column, most in (
        ("depths", steps.depth, MOST_DEPTHS),
        ("processes", steps.process, MOST_PROCESSES),
        ("different kernels", kernels, _MOST_KERNELS),
    ):
        _check_count(what, len(np.unique(column)), _Allowance(most), file_bytes)
    largest = int(np.bincount(tensors.graph).max(initial=0))
    _check_count("tensors in one graph", largest, _Allowance(MOST_GRAPH_ROWS), file_bytes)
    if len(profile.events) > _OPS.at_least:
        _check_count("different ops", _different_ops(profile), _OPS, file_bytes)


def _different_ops(profile: ProfileData) -> int:
    """How many events of the first lane of a run differ in node, members or code."""
    events, runs = profile.events, profile.runs
    leads = events.lane == runs.lane[events.run]
    events = events.take(leads)
    nodes = np.cumsum(profile.graphs.n_nodes, dtype=np.int64)
    # One number for each node of all graphs, then for what runs of it.
    node = nodes[runs.graph[events.run]] - events.node
    member = node * (int(events.n_fused.max(initial=0)) + 1) + events.n_fused
    number = member * (len(profile.strings) + 1) + events.path + 1
    return len(np.unique(number))


def _check_count(what: str, n: int, allowance: _Allowance, file_bytes: int) -> None:
    most = allowance.of(file_bytes)
    if n > most:
        of_size = f" in a file of {file_bytes} bytes" if allowance.file_bytes else ""
        raise ProfileFormatError(f"it has {n} {what}; at most {most} are read{of_size}")
