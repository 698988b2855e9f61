"""Ops that read no weight: inside a block, between two, or alone. The rules, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .edges import GraphEdges
from .placing import OTHER, Placing, Region
from .weight_roles import OUTER_BLOCKS, is_recurrent_state, state_layer


@dataclass(frozen=True)
class InnerOp:
    """A row that is not placed, and where the nearest placed rows before and after it are."""

    placing: Placing
    row: int
    before: Region | None
    after: Region | None

    @property
    def edges(self) -> GraphEdges:
        return self.placing.edges


InnerRule = Callable[[InnerOp], Region | None]


def place_inner_ops(placing: Placing) -> None:
    """Each op goes where the first of `INNER_RULES` that has an answer says."""
    for row in placing.executed():
        if row in placing.region:
            continue
        op = InnerOp(placing, row, placing.before(row), placing.after(row))
        if placing.edges.weight[row] >= 0 and op.before is None:
            continue  # Made of weights alone: it goes with what reads it.
        region = next((r for rule in INNER_RULES if (r := rule(op))), None)
        if region is not None:
            placing.region[row] = region


def place_lone_ops(placing: Placing) -> None:
    """What is left goes with its readers, or with the cache that it touches; the last first."""
    edges, region = placing.edges, placing.region
    owners: dict[int, Region] = {}
    left = []
    for row in placing.executed():
        if row not in region:
            left.append(row)
            continue
        for source in edges.sources[row]:
            if edges.state[source] >= 0:
                owners.setdefault(edges.state[source], region[row])
    for row in reversed(left):
        near = [reader for reader in edges.readers(row) if reader in region]
        region[row] = region[near[0]] if near else _by_state(placing, row, owners)


def made_of_inputs(op: InnerOp) -> Region | None:
    """What depends on inputs and states alone goes with its readers, but to no layer where several
    layers read it."""
    edges = op.edges
    if op.before is not None or op.after is None:
        return None
    if op.after[1] in OUTER_BLOCKS or any(edges.state[s] >= 0 for s in edges.sources[op.row]):
        return op.after
    if _starts_stream(op.placing, op.row):
        return (-1, "embedding")
    last = op.placing.last_after(op.row)
    return op.after if last is not None and last[0] == op.after[0] else (-1, op.after[1])


def pooling(op: InnerOp) -> Region | None:
    """Pooling of a whole sequence into one vector ends an embedding model."""
    edges = op.edges
    pools = any(
        edges.is_input[s] and edges.name[s] in ("inp_mean", "inp_cls")
        for s in edges.sources[op.row]
    )
    return OTHER if pools and op.before is not None and op.after is None else None


def inside_one_block(op: InnerOp) -> Region | None:
    """What comes from a block and leads back to it, or to nothing, is inside."""
    return op.before if op.after is None or op.before == op.after else None


def scale_named_for_the_next(op: InnerOp) -> Region | None:
    """A scale whose name gives the layer that comes next belongs to that layer."""
    role = op.placing.roles.get(op.row)
    if op.before is None or op.after is None or role is None or role.kind != "weak":
        return None
    return op.after if role.layer not in (-1, op.before[0]) and role.layer == op.after[0] else None


def made_of_chosen_rows(op: InnerOp) -> Region | None:
    """What works on the rows that the next block has chosen belongs to that block."""
    edges = op.edges
    chosen = any(
        edges.selects_rows(source) and op.placing.region.get(source) == op.after
        for source in map(edges.behind_views, edges.sources[op.row])
    )
    return op.after if chosen else None


def on_its_way_into_an_addition(op: InnerOp) -> Region | None:
    """Rows or scales that prepare one side of an addition go with the addition."""
    edges = op.edges
    if op.before is None or (op.row in edges.joins and not edges.selects_rows(op.row)):
        return None
    ends = edges.ends(op.row)
    if not ends or not edges.joins.issuperset(ends):
        return None
    joined = op.placing.before(max(ends)) or op.before
    streams = any(edges.behind_views(s) in edges.residuals for s in edges.sources[op.row])
    return op.before if op.before[0] == joined[0] and not streams else joined


def choice_of_rows(op: InnerOp) -> Region | None:
    """Between two blocks, fewer rows are the gain of the one that reads them."""
    return op.after if op.edges.selects_rows(op.row) else None


def behind_a_block(op: InnerOp) -> Region | None:
    """Anything else between two blocks, a residual addition say, ends the one before."""
    return op.before


INNER_RULES: tuple[InnerRule, ...] = (
    made_of_inputs,
    pooling,
    inside_one_block,
    scale_named_for_the_next,
    made_of_chosen_rows,
    on_its_way_into_an_addition,
    choice_of_rows,
    behind_a_block,
)


def _starts_stream(placing: Placing, row: int) -> bool:
    """Whether a row made of inputs alone is the stream: normed, or joined by residuals."""
    edges = placing.edges
    readers = edges.walk(row, lambda reader: reader not in placing.region)
    return any(reader in edges.residuals for reader in readers)


def _by_state(placing: Placing, row: int, owners: dict[int, Region]) -> Region:
    """Rows that stand alone around a cache, such as those that clear it."""
    edges = placing.edges
    for source in (row, *edges.sources[row]):
        leaf = edges.state[source]
        if leaf >= 0:
            name = edges.name[leaf]
            block = "recurrent" if is_recurrent_state(name) else "attention"
            return owners.get(leaf, (state_layer(name), block))
    return OTHER
