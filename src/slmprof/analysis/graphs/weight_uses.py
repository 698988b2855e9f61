"""What weights with unknown names are for, judged by their place in the graph alone.

A fork may name its weights as it likes. What the ops lead to, and what they come from, still says
which of them are projections of an attention, of an FFN or of a recurrent mixer.
"""

from __future__ import annotations

from collections.abc import Iterable

from .edges import NORM_OPS, RECURRENT_OPS, GraphEdges
from .weight_roles import OUTER_BLOCKS, WeightRole, stem_and_layer


def roles_from_use(edges: GraphEdges, rows: Iterable[int]) -> dict[int, WeightRole]:
    """A role for each row that reads a weight of unknown name, where its place gives one.

    Rows that add a bias or multiply with a scale get none: they follow the op that feeds them.
    """
    roles: dict[int, WeightRole] = {}
    # The last first: a product that feeds a projection of queries is told by that projection.
    for row in sorted(rows, reverse=True):
        role = _role(edges, row, roles)
        if role is not None:
            roles[row] = role
    layers = _layers_by_counting(edges, roles)
    for row, role in roles.items():
        if role.block not in OUTER_BLOCKS:
            leaf = next(edges.weight[s] for s in edges.sources[row] if edges.weight[s] >= 0)
            named = stem_and_layer(edges.name[leaf])[1]
            layer = named if named >= 0 else layers[row]
            roles[row] = WeightRole(role.block, role.part, layer, role.kind)
    return roles


def _role(edges: GraphEdges, row: int, known: dict[int, WeightRole]) -> WeightRole | None:
    op = edges.op[row]
    if op == "GET_ROWS":
        ids = edges.sources[row][1]
        if edges.is_input[edges.behind_views(ids)]:
            position = any(c in _sums_of_rows(edges) for c in edges.readers(row)) and row > 0
            first = min(r for r in range(edges.n_nodes) if edges.op[r] == "GET_ROWS")
            return WeightRole("embedding", "position" if position and row > first else "embed", -1)
        return None
    if op in RECURRENT_OPS:
        return WeightRole("recurrent", "conv" if op == "SSM_CONV" else "scan", -1)
    if op in ("MUL", "ADD"):
        return _norm_role(edges, row)
    if edges.is_linear(row):
        return _linear_role(edges, row, known)
    return None


def _sums_of_rows(edges: GraphEdges) -> set[int]:
    """Additions of two looked-up embeddings."""
    return {
        row
        for row in range(edges.n_nodes)
        if edges.op[row] == "ADD"
        and all(edges.op[edges.behind_views(s)] == "GET_ROWS" for s in edges.sources[row])
    }


def _norm_role(edges: GraphEdges, row: int) -> WeightRole | None:
    activation = next((s for s in edges.sources[row] if edges.weight[s] < 0), None)
    if activation is None:
        return None
    behind = edges.behind_views(activation)
    if edges.op[row] == "ADD" and edges.op[behind] == "MUL":
        behind = next((edges.behind_views(s) for s in edges.sources[behind]), behind)
    if edges.op[behind] in NORM_OPS:
        return WeightRole("", "norm", -1, "norm")
    return None


def _linear_role(edges: GraphEdges, row: int, known: dict[int, WeightRole]) -> WeightRole:
    ahead, products, ends = _reach_forward(edges, row)
    behind = _reach_backward(edges, row)
    if any(edges.op[r] in RECURRENT_OPS for r in ahead):
        return WeightRole("recurrent", "in_proj", -1)
    if any(edges.op[r] in RECURRENT_OPS for r in behind):
        return WeightRole("recurrent", "out_proj", -1)
    core = edges.attention_cores | edges.value_rows
    if ahead & core or any(edges.writes_state(r) for r in ahead):
        return WeightRole("attention", "qkv", -1)
    if behind & core:
        return WeightRole("attention", "out_proj", -1)
    if edges.op[row] == "MUL_MAT_ID":
        return WeightRole("ffn", "experts", -1)
    if any(edges.op[r] in ("ARGSORT", "TOP_K") for r in ahead):
        return WeightRole("ffn", "router", -1)
    if ends:
        return WeightRole("lm_head", "head", -1)
    led = known.get(min(products, default=-1))
    if led is not None and led.block in ("attention", "recurrent"):
        part = "gate" if led.part == "out_proj" else led.part
        return WeightRole(led.block, part, -1)
    gated = any(edges.op[r] in ("GLU", "UNARY") for r in behind)
    return WeightRole("ffn", "down" if gated else "gate_up", -1)


def _reach_forward(edges: GraphEdges, row: int) -> tuple[set[int], set[int], bool]:
    """Rows that a product leads to before the next product or residual addition, those next
    products, and whether it leads to nothing but the end of the graph."""
    reached = set(edges.walk(row, lambda r: _is_within(edges, r)))
    found = {r for r in reached if _is_within(edges, r)}
    products = {r for r in reached if edges.is_linear(r)}
    goes_on = bool(products) or not reached.isdisjoint(edges.residuals)
    return found, products, not goes_on and not any(edges.writes_state(r) for r in found)


def _reach_backward(edges: GraphEdges, row: int) -> set[int]:
    """Rows that a product comes from, back to the last product or residual addition."""
    reached = edges.walk(row, lambda r: _is_within(edges, r), back=True)
    return {r for r in reached if r < edges.n_nodes and _is_within(edges, r)}


def _is_within(edges: GraphEdges, row: int) -> bool:
    """Whether a row is neither a product with a weight nor a residual addition."""
    return not edges.is_linear(row) and row not in edges.residuals


def _layers_by_counting(edges: GraphEdges, roles: dict[int, WeightRole]) -> dict[int, int]:
    """Layers numbered by their mixers: an attention or recurrent block opens one, an FFN belongs to
    the one before it. How many residual additions lie before a row says which block it is in."""
    depth = {row: edges.depth(row) for row in roles}
    opened = sorted(
        {depth[row] for row, role in roles.items() if role.block in ("attention", "recurrent")}
    )
    return {row: max(0, sum(1 for d in opened if d <= depth[row]) - 1) for row in roles}
