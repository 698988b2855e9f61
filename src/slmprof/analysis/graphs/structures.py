"""What the graphs of a profile have in common: edges and attribution, derived once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ...profiles.data import Profile
from ...profiles.tables import TensorTable
from .attribution import Attribution, attribute
from .edges import GraphEdges


@dataclass(frozen=True, eq=False)
class Structure:
    """A graph without its sizes: who reads whom, and where each op belongs."""

    edges: GraphEdges
    attribution: Attribution


class Structures:
    """The graphs' tables and structures, each made when it is first asked for.

    Graphs of one model mostly differ in the length of the cache that they see: in sizes, of which
    edges and attribution know nothing.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._tensors: dict[int, TensorTable] = {}
        self._by_graph: dict[int, Structure] = {}
        self._by_digest: dict[bytes, Structure] = {}

    def tensors(self, graph: int) -> TensorTable:
        """The rows of a graph."""
        if graph not in self._tensors:
            self._tensors[graph] = self._profile.tensors.of_graph(graph)
        return self._tensors[graph]

    def of(self, graph: int) -> Structure:
        """The structure of a graph."""
        if graph not in self._by_graph:
            tensors = self.tensors(graph)
            digest = _digest(tensors)
            if digest not in self._by_digest:
                edges = GraphEdges(tensors, self._profile.strings)
                self._by_digest[digest] = Structure(edges, attribute(edges))
            self._by_graph[graph] = self._by_digest[digest]
        return self._by_graph[graph]


def _digest(tensors: TensorTable) -> bytes:
    """Everything that a structure depends on, as a key."""
    digest = hashlib.blake2b(digest_size=16)
    for column in (
        *(tensors.node, tensors.op, tensors.name, tensors.flags, tensors.usage, tensors.view_src),
        tensors.sources(),
    ):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.digest()
