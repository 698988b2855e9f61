"""The first rules of attribution: ops that read a weight, and which layer a weight runs for."""

from __future__ import annotations

from collections.abc import Iterator

from .edges import RECURRENT_OPS
from .placing import Placing, Region
from .weight_roles import WeightRole, is_recurrent_state, role_of_name, state_layer
from .weight_uses import roles_from_use


def weights_by_name(placing: Placing) -> None:
    """An op that reads a weight of a known name stands where the name says.

    A norm's name settles its role alone: where it stands is for the graph to say.
    """
    for row in placing.executed():
        chosen: WeightRole | None = None
        for role in _roles_of_weights(placing, row):
            if role and role.kind != "shared" and (chosen is None or chosen.kind != "use"):
                chosen = role
        if chosen is not None:
            _take_role(placing, row, chosen)


def weights_by_use(placing: Placing) -> None:
    """An op that reads a weight of an unknown name stands where its use says."""
    unknown = [
        row
        for row in placing.executed()
        if row not in placing.roles and None in _roles_of_weights(placing, row)
    ]
    if unknown:
        for row, role in roles_from_use(placing.edges, unknown).items():
            _take_role(placing, row, role)


def recurrent_mixers(placing: Placing) -> None:
    """A layer that runs a recurrent op, and no attention, has a recurrent mixer, although its
    weights may bear attention's names."""
    edges, region = placing.edges, placing.region
    around = {row: placing.around(row) for row in edges.attention_cores}
    attention = {-1 if place is None else place[0] for place in around.values()}
    recurrent: set[int] = set()
    for row in range(edges.n_nodes):
        if edges.op[row] in RECURRENT_OPS or (
            edges.writes_state(row) and is_recurrent_state(edges.name[edges.state[row]])
        ):
            place = placing.around(row)
            if place is not None and place[1] in ("attention", "recurrent"):
                recurrent.add(place[0])
    for row, (layer, block) in region.items():
        if block == "attention" and layer in recurrent and layer not in attention:
            region[row] = (layer, "recurrent")


def repeated_layers(placing: Placing) -> None:
    """Where one layer's weights run several times in a graph, its caches number the layers.

    Each run has a cache of its own then, and the model counts as many layers as caches.
    """
    edges, region = placing.edges, placing.region
    writes: dict[int, list[tuple[int, int]]] = {}
    for row in range(edges.n_nodes):
        if edges.writes_state(row):
            place = placing.before(row)
            layer = state_layer(edges.name[edges.state[row]])
            if place is not None and place[0] >= 0 and layer >= 0:
                writes.setdefault(place[0], []).append((edges.depth(row), layer))
    repeated = {
        layer: sorted(set(found))
        for layer, found in writes.items()
        if len({slot for _, slot in found}) > 1
    }
    for row, (layer, block) in region.items():
        if layer in repeated:
            depth = edges.depth(row)
            reached = [slot for begin, slot in repeated[layer] if begin <= depth]
            region[row] = (reached[-1] if reached else repeated[layer][0][1], block)


def _roles_of_weights(placing: Placing, row: int) -> Iterator[WeightRole | None]:
    """What the names of the weights that a row reads say; None for a name that says nothing."""
    edges = placing.edges
    return (
        role_of_name(edges.name[edges.weight[source]])
        for source in edges.sources[row]
        if edges.weight[source] >= 0
    )


def _take_role(placing: Placing, row: int, role: WeightRole) -> None:
    if role.block == "embedding" and role.part == "embed" and placing.edges.is_linear(row):
        # One matrix for both ends of the model: multiplied with, it is the head.
        role = WeightRole("lm_head", "head", -1)
    placing.roles[row] = role
    if role.kind not in ("norm", "weak"):
        placing.region[row] = _of_product(placing, row, role) or (role.layer, role.block)


def _of_product(placing: Placing, row: int, role: WeightRole) -> Region | None:
    """The region of the product that a bias or scale is applied to, where it is of the block that
    the name says: its layer counts where layers share matrices but not scales."""
    edges = placing.edges
    if edges.op[row] not in ("MUL", "ADD"):
        return None
    for source in edges.sources[row]:
        region = placing.region.get(edges.behind_views(source))
        if edges.weight[source] < 0 and region is not None and region[1] == role.block:
            return region
    return None
