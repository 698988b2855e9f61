"""Graphs whose tensors have real types, shapes and strides, for the tests of an op's work."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any

from slmprof.analysis.work.counts import GraphWork, Work
from slmprof.profiles.storage.history import known_types
from slmprof.profiles.tables import TensorTable, TensorType

INPUT, WEIGHT, COMPUTE, STATE = 0, 1, 2, 3
# ggml's, and one of a custom scheme.
_GGML, _NAMES = known_types(0)
TYPES = {**_GGML.by_name(_NAMES), "q5_X": TensorType(48, 34, True)}
VIEWS = ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE")


def bits(number: float) -> int:
    """A float as the 32-bit integer that a parameter is stored as."""
    value: int = struct.unpack("<i", struct.pack("<f", number))[0]
    return value


@dataclass
class WorkGraph:
    """A graph in the making; rows are numbered as they are added, and sorted by `work`."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def leaf(self, type_name: str, *shape: int, usage: int = INPUT, **given: Any) -> int:
        return self._add("NONE", type_name, shape, [], usage, given)

    def weight(self, type_name: str, *shape: int) -> int:
        return self.leaf(type_name, *shape, usage=WEIGHT)

    def op(
        self, op: str, shape: tuple[int, ...], *sources: int, kind: str = "f32", **given: Any
    ) -> int:
        """A node. `given`: detail, params, strides, view_of, offset, size; a source of -1 is none.

        The result of a view lies in its first source unless `view_of` says where.
        """
        if op in VIEWS:
            given.setdefault("view_of", self._root(sources[0]))
        return self._add(op, kind, shape, list(sources), COMPUTE, given)

    def view(self, of: int, *shape: int, strides: tuple[int, ...], offset: int = 0) -> int:
        """Some elements of a row; strides of the dimensions of the shape, fastest first."""
        kind = self.rows[of]["type"]
        return self.op("VIEW", shape, of, kind=kind, strides=strides, offset=offset)

    def work(self, row: int, n_fused: int = 0, **asked: Any) -> Work:
        """What GraphWork says of a row."""
        graph, place = self.graph()
        return graph.of(place[row], n_fused, **asked)

    def graph(self) -> tuple[GraphWork, list[int]]:
        """The work of the graph, and for each row its row in the graph's table."""
        table, texts, place = self.table()
        return GraphWork(table, texts, TYPES), place

    def table(self) -> tuple[TensorTable, list[str], list[int]]:
        order = [i for i, row in enumerate(self.rows) if row["op"] != "NONE"]
        n_nodes = len(order)
        order += [i for i, row in enumerate(self.rows) if row["op"] == "NONE"]
        place = {row: i for i, row in enumerate(order)}
        place[-1] = -1
        texts: list[str] = [""]

        def text(value: str) -> int:
            if value not in texts:
                texts.append(value)
            return texts.index(value)

        columns: dict[str, list[int]] = {name: [] for name in TensorTable.schema()}
        for position, number in enumerate(order):
            row = self.rows[number]
            given = {
                "node": position if position < n_nodes else -1,
                "op": text(row["op"]),
                "op_detail": text(row["detail"]),
                "type": text(row["type"]),
                "usage": row["usage"],
                "flags": 16 if position < n_nodes else (1 if row["usage"] == INPUT else 0),
                "view_src": place[row["view_of"]],
                "view_offset": row["offset"],
                "size_bytes": row["size"],
                "buffer_type": -1,
                "name": text(f"t{number}"),
            }
            for i in range(4):
                given[f"ne{i}"] = row["shape"][i]
                given[f"nb{i}"] = row["strides"][i]
                given[f"param{i}"] = row["params"][i]
            for i in range(10):
                given[f"src{i}"] = place[row["sources"][i]] if i < len(row["sources"]) else -1
            for name, column in columns.items():
                column.append(given.get(name, 0))
        return TensorTable.from_columns(columns), texts, [place[i] for i in range(len(self.rows))]

    def _root(self, row: int) -> int:
        view_of: int = self.rows[row]["view_of"]
        return view_of if view_of >= 0 else row

    def _add(
        self,
        op: str,
        type_name: str,
        shape: tuple[int, ...],
        sources: list[int],
        usage: int,
        given: dict[str, Any],
    ) -> int:
        n_block, block_bytes, _ = TYPES.get(type_name, TYPES["f32"])
        full = (*shape, 1, 1, 1, 1)[:4]
        strides = list(given.get("strides", ()))
        if not strides:
            strides = [block_bytes, full[0] // n_block * block_bytes]
        while len(strides) < 4:
            strides.append(strides[-1] * full[len(strides) - 1])
        # As ggml_nbytes: from the first byte to behind the last.
        size = sum((n - 1) * step for n, step in zip(full[1:], strides[1:], strict=True))
        size += (full[0] - n_block) // n_block * strides[0] + block_bytes
        self.rows.append(
            {
                "op": op,
                "type": type_name,
                "shape": full,
                "strides": strides,
                "size": given.get("size", size if math.prod(full) else 0),
                "sources": sources,
                "usage": usage,
                "detail": given.get("detail", ""),
                "params": (*given.get("params", ()), 0, 0, 0, 0)[:4],
                "view_of": given.get("view_of", -1),
                "offset": given.get("offset", 0),
            }
        )
        return len(self.rows) - 1
