"""Where the rows of a graph are placed so far, and what stands around those that are not."""

from __future__ import annotations

from collections.abc import Iterator

from .edges import GraphEdges
from .weight_roles import WeightRole

Region = tuple[int, str]
"""A layer (-1 outside the layers) and a block."""

OTHER: Region = (-1, "other")


class Placing:
    """What the rules of attribution read and write.

    Attributes:
        edges: the graph.
        roles: row -> what the weight that it reads is for.
        region: row -> where it is placed.
    """

    def __init__(self, edges: GraphEdges) -> None:
        self.edges = edges
        self.roles: dict[int, WeightRole] = {}
        self.region: dict[int, Region] = {}
        self._n_seen = -1
        self._nearest_before: list[int] = []
        self._nearest_after: list[int] = []
        self._last_after: list[int] = []

    def executed(self) -> Iterator[int]:
        """The executed rows, in their order."""
        return (row for row in range(self.edges.n_nodes) if self.edges.executed[row])

    def look_around(self) -> None:
        """Finds the nearest placed rows of each row, through rows that are not placed.

        `before`, `after` and `last_after` answer from the last look, so that what a rule places
        does not change what it sees.
        """
        edges, region = self.edges, self.region
        if len(region) == self._n_seen:
            return
        self._n_seen = len(region)
        nothing = edges.n_rows
        before = [-1] * edges.n_rows
        for row in range(edges.n_nodes):
            latest = -1
            for source in edges.sources[row]:
                if source < edges.n_nodes:
                    near = source if source in region else before[source]
                    latest = max(latest, near)
            before[row] = latest
        after = [nothing] * edges.n_rows
        last_after = [-1] * edges.n_rows
        for row in range(edges.n_nodes - 1, -1, -1):
            first, last = nothing, -1
            for reader in edges.consumers[row]:
                if reader in region:
                    first, last = min(first, reader), max(last, reader)
                else:
                    first, last = min(first, after[reader]), max(last, last_after[reader])
            after[row], last_after[row] = first, last
        self._nearest_before, self._nearest_after = before, after
        self._last_after = last_after

    def before(self, row: int) -> Region | None:
        """Where the latest placed row that a row comes from is."""
        return self.region.get(self._nearest_before[row])

    def after(self, row: int) -> Region | None:
        """Where the first placed row that comes from a row is."""
        return self.region.get(self._nearest_after[row])

    def last_after(self, row: int) -> Region | None:
        """Where the last placed row that comes from a row is."""
        return self.region.get(self._last_after[row])

    def around(self, row: int) -> Region | None:
        """Where the nearest placed row is: before it, else after it."""
        return self.before(row) or self.after(row)
