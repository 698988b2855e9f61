"""Which layer, block and part every executed op of a graph belongs to.

The ops that read a weight are known first, by the weight; everything else follows from who feeds
it and who reads it. docs/attribution.md has the rules and their reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .edges import NORM_OPS, RECURRENT_OPS, GraphEdges
from .parts import assign_parts
from .weight_roles import OUTER_BLOCKS, WeightRole, is_recurrent_state, role_of_name, state_layer
from .weight_uses import roles_from_use

if TYPE_CHECKING:
    import numpy.typing as npt

Region = tuple[int, str]
"""A layer (-1 outside the layers) and a block."""

_OTHER: Region = (-1, "other")


@dataclass(frozen=True, eq=False)
class Attribution:
    """Where each row of a graph belongs; arrays are aligned with the graph's tensor rows.

    Attributes:
        layer: int32, -1 outside the layers and for rows that are not executed.
        block: text, "" for rows that are not executed.
        part: text, "" for rows that are not executed.
    """

    layer: npt.NDArray[np.int32]
    block: npt.NDArray[np.str_]
    part: npt.NDArray[np.str_]


def attribute(edges: GraphEdges) -> Attribution:
    """Attributes every executed op of one graph to a layer, a block and a part."""
    regions, roles = _Placing(edges).run()
    parts = assign_parts(edges, regions, roles)
    layer = np.full(edges.n_rows, -1, np.int32)
    block = [""] * edges.n_rows
    part = [""] * edges.n_rows
    for row in range(edges.n_nodes):
        if edges.executed[row]:
            layer[row], block[row] = regions.get(row, _OTHER)
            part[row] = parts[row]
    width = "U16"
    return Attribution(layer, np.array(block, width), np.array(part, width))


def _alike(named: str, block: str) -> bool:
    """Whether a weight named for one block stands in the other: a recurrent mixer bears attention's
    names in some models."""
    return named == block or {named, block} == {"attention", "recurrent"}


class _Placing:
    """Finds the region of every executed row, in passes from the surest to the least sure."""

    def __init__(self, edges: GraphEdges) -> None:
        self.edges = edges
        self.roles: dict[int, WeightRole] = {}
        self.weak: dict[int, WeightRole] = {}
        self.region: dict[int, Region] = {}
        self.before: list[int] = []
        self.after: list[int] = []
        self.last_after: list[int] = []

    def run(self) -> tuple[dict[int, Region], dict[int, WeightRole]]:
        norms = self._anchor_weights()
        self._look_around()
        self._call_mixers_recurrent()
        self._unroll_repeated_layers()
        self._place_norms(norms)
        self._look_around()
        self._place_rest()
        return self.region, self.roles

    # Pass 1: ops that read a weight.

    def _anchor_weights(self) -> list[int]:
        """Anchors rows by the weights that they read; returns those that read a norm's weight."""
        edges = self.edges
        norms: list[int] = []
        unknown: list[int] = []
        for row in range(edges.n_nodes):
            if not edges.executed[row]:
                continue
            chosen: WeightRole | None = None
            strange = False
            for source in edges.sources[row]:
                leaf = edges.weight[source]
                if leaf < 0:
                    continue
                role = role_of_name(edges.name[leaf])
                if role is None:
                    strange = True
                elif role.kind != "shared" and (chosen is None or chosen.kind != "use"):
                    chosen = role
            if chosen is not None:
                self._take_role(row, chosen, norms)
            elif strange:
                unknown.append(row)
        if unknown:
            for row, role in roles_from_use(edges, unknown).items():
                self._take_role(row, role, norms)
        return sorted(norms)

    def _take_role(self, row: int, role: WeightRole, norms: list[int]) -> None:
        if role.block == "embedding" and role.part == "embed" and self.edges.is_linear(row):
            # One matrix for both ends of the model: multiplied with, it is the head.
            role = WeightRole("lm_head", "head", -1)
        self.roles[row] = role
        if role.kind == "norm":
            norms.append(row)
        elif role.kind == "weak":
            self.weak[row] = role
        else:
            self.region[row] = self._of_product(row, role) or (role.layer, role.block)

    def _of_product(self, row: int, role: WeightRole) -> Region | None:
        """The region of the product that a bias or scale is applied to, where it is of the block
        that the name says: its layer counts where layers share matrices but not scales."""
        edges = self.edges
        if edges.op[row] not in ("MUL", "ADD"):
            return None
        for source in edges.sources[row]:
            region = self.region.get(edges.behind_views(source))
            if edges.weight[source] < 0 and region is not None and region[1] == role.block:
                return region
        return None

    # What stands around a row: the nearest rows with a region, through those that have none.

    def _look_around(self) -> None:
        edges, region = self.edges, self.region
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
        self.before, self.after, self.last_after = before, after, last_after

    def _before(self, row: int) -> Region | None:
        return self.region.get(self.before[row])

    def _after(self, row: int) -> Region | None:
        return self.region.get(self.after[row])

    # Pass 2: layers whose mixer is recurrent although its weights bear attention's names.

    def _call_mixers_recurrent(self) -> None:
        edges = self.edges
        attention = {self._layer_around(row) for row in edges.attention_cores}
        recurrent: set[int] = set()
        for row in range(edges.n_nodes):
            if edges.op[row] in RECURRENT_OPS or (
                edges.writes_state(row) and is_recurrent_state(edges.name[edges.state[row]])
            ):
                around = self._before(row) or self._after(row)
                if around is not None and around[1] in ("attention", "recurrent"):
                    recurrent.add(around[0])
        for row, (layer, block) in self.region.items():
            if block == "attention" and layer in recurrent and layer not in attention:
                self.region[row] = (layer, "recurrent")

    def _layer_around(self, row: int) -> int:
        around = self._before(row) or self._after(row)
        return around[0] if around is not None else -1

    def _unroll_repeated_layers(self) -> None:
        """Numbers layers by their caches where one layer's weights run several times in a graph.

        Each run has a cache of its own then, and the model counts as many layers as caches.
        """
        edges = self.edges
        writes: dict[int, list[tuple[int, int]]] = {}
        for row in range(edges.n_nodes):
            if edges.writes_state(row):
                around = self._before(row)
                layer = state_layer(edges.name[edges.state[row]])
                if around is not None and around[0] >= 0 and layer >= 0:
                    writes.setdefault(around[0], []).append((edges.depth(row), layer))
        repeated = {
            layer: sorted(set(found))
            for layer, found in writes.items()
            if len({slot for _, slot in found}) > 1
        }
        if not repeated:
            return
        for row, (layer, block) in self.region.items():
            if layer in repeated:
                depth = edges.depth(row)
                slot = next(
                    (s for d, s in reversed(repeated[layer]) if d <= depth), repeated[layer][0][1]
                )
                self.region[row] = (slot, block)

    # Pass 3: norms, which belong to the block that they feed.

    def _place_norms(self, readers: list[int]) -> None:
        edges = self.edges
        chains: list[list[int]] = []
        taken: set[int] = set()
        for row in range(edges.n_nodes):
            if edges.op[row] in NORM_OPS and edges.executed[row] and row not in self.region:
                chain = self._norm_chain(row)
                chains.append(chain)
                taken.update(chain)
        chains.extend([row] for row in readers if row not in taken)
        placed: dict[int, Region] = {}
        for chain in sorted(chains):
            region = self._norm_region(chain)
            if region is not None:
                placed.update(dict.fromkeys(chain, region))
        self.region.update(placed)

    def _norm_chain(self, norm: int) -> list[int]:
        """A norm with the multiplication by its weight and the addition of its bias."""
        edges = self.edges
        chain = [norm]
        while True:
            readers = edges.readers(chain[-1])
            if len(readers) != 1 or edges.op[readers[0]] not in ("MUL", "ADD"):
                return chain
            row = readers[0]
            role = self.roles.get(row)
            if row in self.region or role is None or role.kind != "norm":
                return chain
            chain.append(row)

    def _norm_region(self, chain: list[int]) -> Region | None:
        role = next((self.roles[row] for row in chain if row in self.roles), None)
        producer = self._before(chain[0])
        first, carried = self._fed_by(chain[-1])
        fed = self.region.get(first)
        if fed is None:
            named = None if role is None or not role.block else (role.layer, role.block)
            if named is not None and (named[1] in OUTER_BLOCKS or not carried):
                return named
            return producer if producer is not None else named
        if producer is not None and self._is_only_added(chain[-1]):
            return producer
        if carried and producer is not None:
            # The normed stream itself goes on to the next blocks: a norm of what came before,
            # unless its name says that it stands before the block that it feeds.
            if role is not None and role.layer == fed[0] and _alike(role.block, fed[1]):
                return fed
            return producer
        return fed

    def _is_only_added(self, end: int) -> bool:
        """Whether a norm's output goes into additions alone: it stands after a block then."""
        edges = self.edges
        ends = edges.ends(end)
        return bool(ends) and all(
            edges.op[row] == "ADD" and all(edges.weight[s] < 0 for s in edges.sources[row])
            for row in ends
        )

    def _fed_by(self, end: int) -> tuple[int, bool]:
        """The first anchored row that reads a norm, not through a residual addition, and whether a
        residual addition reads the norm too."""
        edges = self.edges
        first = edges.n_rows
        joined: list[int] = []
        # With each row: whether it is still the norm's output, only scaled or with rows chosen.
        queue = [(end, True)]
        seen = {end}
        while queue:
            row, straight = queue.pop()
            for reader in edges.consumers[row]:
                if reader in seen:
                    continue
                seen.add(reader)
                if reader in edges.residuals:
                    if straight:
                        joined.append(reader)
                elif reader in self.region:
                    first = min(first, reader)
                else:
                    queue.append((reader, straight and edges.carries(reader)))
        fed = self.region.get(first)
        carried = any(self._after(row) != fed or fed is None for row in joined)
        return first, carried

    # Pass 4: everything else lies inside a block, or between two.

    def _place_rest(self) -> None:
        edges = self.edges
        later: list[int] = []
        for row in range(edges.n_nodes):
            if not edges.executed[row] or row in self.region:
                continue
            found = self._inside_or_between(row)
            if found is None or (edges.weight[row] >= 0 and self._before(row) is None):
                later.append(row)
            else:
                self.region[row] = found
        owners: dict[int, Region] = {}
        for row in range(edges.n_nodes):
            if edges.executed[row] and row in self.region:
                for source in edges.sources[row]:
                    if edges.state[source] >= 0:
                        owners.setdefault(edges.state[source], self.region[row])
        for row in reversed(later):
            near = [r for r in edges.readers(row) if r in self.region]
            self.region[row] = self.region[near[0]] if near else self._by_state(row, owners)

    def _inside_or_between(self, row: int) -> Region | None:
        edges = self.edges
        before, after = self._before(row), self._after(row)
        if before is None and after is None:
            return None
        if before is None:
            return self._of_reader(row)
        if after is None or before == after:
            return self._pooled(row) or before
        weak = self.weak.get(row)
        if weak is not None and weak.layer not in (-1, before[0]) and weak.layer == after[0]:
            return after
        if any(
            edges.selects_rows(source) and self.region.get(source) == after
            for source in map(edges.behind_views, edges.sources[row])
        ):
            return after
        selects = edges.selects_rows(row)
        ends = edges.ends(row) if selects or row not in edges.joins else set()
        if ends and edges.joins.issuperset(ends):
            # On its way into an addition: its rows are chosen, or it is scaled, for that addition.
            joined = self._before(max(ends)) or before
            streams = any(edges.behind_views(s) in edges.residuals for s in edges.sources[row])
            return before if before[0] == joined[0] and not streams else joined
        if selects:
            # Between two blocks, fewer rows are the gain of the one that reads them.
            return after
        return before

    def _of_reader(self, row: int) -> Region | None:
        """The region of a row that depends on inputs and states alone: its readers', but of no
        layer where several layers read it."""
        edges = self.edges
        after = self._after(row)
        if after is None:
            return None
        if after[1] in OUTER_BLOCKS:
            return after
        if any(edges.state[source] >= 0 for source in edges.sources[row]):
            return after
        if self._starts_stream(row):
            return (-1, "embedding")
        if self.region[self.last_after[row]][0] == after[0]:
            return after
        return (-1, after[1])

    def _starts_stream(self, row: int) -> bool:
        """Whether a row made of inputs alone is the stream: normed, or joined by residuals."""
        edges = self.edges
        queue, seen = [row], {row}
        while queue:
            for reader in edges.consumers[queue.pop()]:
                if reader in edges.residuals:
                    return True
                if reader not in seen and reader not in self.region:
                    seen.add(reader)
                    queue.append(reader)
        return False

    def _pooled(self, row: int) -> Region | None:
        """Pooling of a whole sequence into one vector, at the end of an embedding model."""
        edges = self.edges
        pools = any(
            edges.is_input[s] and edges.name[s] in ("inp_mean", "inp_cls")
            for s in edges.sources[row]
        )
        return _OTHER if pools and self._after(row) is None else None

    def _by_state(self, row: int, owners: dict[int, Region]) -> Region:
        """Rows that stand alone around a cache, such as those that clear it."""
        edges = self.edges
        for source in (row, *edges.sources[row]):
            leaf = edges.state[source]
            if leaf >= 0:
                if leaf in owners:
                    return owners[leaf]
                name = edges.name[leaf]
                block = "recurrent" if is_recurrent_state(name) else "attention"
                return (state_layer(name), block)
        return _OTHER
