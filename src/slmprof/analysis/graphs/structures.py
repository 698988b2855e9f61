"""What graphs have in common: edges and attribution, derived once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import ProfileFormatError
from ...profiles.tables import TensorTable
from .attribution import Attribution, attribute
from .edges import GraphEdges

if TYPE_CHECKING:
    # The planner, which has none, would wait for its decoder to load.
    from ...profiles.data import ProfileData


# Tensors of all graphs that differ in more than sizes. A run has a handful of such graphs.
_MOST_ROWS = 2**17


@dataclass(frozen=True, eq=False)
class Structure:
    """A graph without its sizes: who reads whom, and where each op belongs."""

    edges: GraphEdges
    attribution: Attribution


class KnownStructures:
    """Structures of graphs, made once for all that are equal.

    Graphs of one model mostly differ in the length of the cache that they see: in sizes, of which
    edges and attribution know nothing.

    Args:
        most_rows: of all graphs that differ otherwise; more are a ProfileFormatError.
    """

    def __init__(self, most_rows: float = math.inf) -> None:
        self._known: dict[bytes, Structure] = {}
        self._rows_left = most_rows

    def of(self, tensors: TensorTable, strings: Sequence[str]) -> Structure:
        """The structure of a graph's rows, whose texts are `strings`."""
        key = b"".join(
            column.tobytes()
            for column in (
                *(tensors.node, tensors.flags, tensors.usage, tensors.view_src),
                tensors.sources(),
            )
        )
        texts = (
            strings[i] if i >= 0 else "" for i in [*tensors.op.tolist(), *tensors.name.tolist()]
        )
        key += "\0".join(texts).encode()
        if key not in self._known:
            self._rows_left -= len(tensors)
            if self._rows_left < 0:
                raise ProfileFormatError(
                    "the profile's graphs differ too much to be those of one model"
                )
            edges = GraphEdges(tensors, strings)
            self._known[key] = Structure(edges, attribute(edges))
        return self._known[key]


class Structures:
    """The tables and structures of a profile's graphs, each made when it is first asked for.

    Attributes:
        types: the profile's tensor types by name.
    """

    def __init__(self, profile: ProfileData) -> None:
        self._profile = profile
        self.types = profile.types.by_name(profile.strings)
        self._tensors: dict[int, TensorTable] = {}
        self._by_graph: dict[int, Structure] = {}
        self._known = KnownStructures(_MOST_ROWS)

    def tensors(self, graph: int) -> TensorTable:
        """The rows of a graph."""
        if graph not in self._tensors:
            self._tensors[graph] = self._profile.tensors.of_graph(graph)
        return self._tensors[graph]

    def of(self, graph: int) -> Structure:
        """The structure of a graph."""
        if graph not in self._by_graph:
            self._by_graph[graph] = self._known.of(self.tensors(graph), self._profile.strings)
        return self._by_graph[graph]
