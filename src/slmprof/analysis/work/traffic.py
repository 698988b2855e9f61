"""What ggml's operators read and write, each byte once.

Most read their sources whole and write their result whole. The others stand here: what looks up,
scatters or routes touches some rows of a tensor, and some sources lend only their shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .operation import Operation
from .storage import Tensor, UnknownWorkError, distinct_bytes

_SCALAR_BYTES = 4


@dataclass(frozen=True)
class Traffic:
    """The memory that one call touches.

    Attributes:
        whole: tensors of which every element is read.
        parts: tensors of which some bytes are read, with how many.
        written_bytes: what the call stores.
    """

    whole: tuple[Tensor, ...]
    parts: tuple[tuple[Tensor, float], ...]
    written_bytes: float


def trace_traffic(op: Operation) -> Traffic:
    """What one call reads and writes.

    Raises:
        UnknownWorkError: no rule knows this operator, or what the rule needs is not there.
    """
    rule = _RULES.get(op.op)
    if rule is None and op.op not in _WHOLE:
        raise UnknownWorkError
    return rule(op) if rule is not None else _everything(op)


# Every element of every source is read, every element of the result written.
_WHOLE = frozenset(
    {
        "ADD", "ADD1", "SUB", "MUL", "DIV", "SQR", "SQRT", "LOG", "SIN", "COS", "SCALE", "CLAMP",
        "LEAKY_RELU", "UNARY", "GLU", "SUM", "SUM_ROWS", "MEAN", "CUMSUM", "COUNT_EQUAL", "REPEAT",
        "REPEAT_BACK", "CONCAT", "NORM", "RMS_NORM", "L2_NORM", "GROUP_NORM", "ROPE", "ROPE_BACK",
        "PAD", "PAD_REFLECT_1D", "ROLL", "DIAG", "ARGSORT", "TOP_K", "ARGMAX", "OUT_PROD",
        "SSM_CONV", "RWKV_WKV6", "RWKV_WKV7", "GATED_LINEAR_ATTN", "DSV4_HC_PRE", "DSV4_HC_POST",
        "CONV_2D", "CONV_2D_DW", "CONV_3D", "CONV_TRANSPOSE_1D", "CONV_TRANSPOSE_2D", "COL2IM_1D",
        "POOL_1D", "POOL_2D", "UPSCALE", "TIMESTEP_EMBEDDING", "WIN_PART", "WIN_UNPART",
        "ADD_REL_POS",
    }
)  # fmt: skip


def _everything(op: Operation) -> Traffic:
    return _reads(op, *(place for place in range(len(op.sources)) if op.has(place)))


def _reads(op: Operation, *places: int) -> Traffic:
    """Some sources whole, and the whole result."""
    return Traffic(tuple(op.source(place) for place in places), (), op.result.stored_bytes)


def _writes_only(op: Operation) -> Traffic:
    return Traffic((), (), op.result.stored_bytes)


def _copy(op: Operation) -> Traffic:
    # The second source of a copy is where it goes to: the result is a view of it.
    return _reads(op, 0)


def _product(op: Operation) -> Traffic:
    if op.is_hadamard:
        # The transform needs no matrix.
        return _reads(op, 1)
    return _reads(op, 0, 1)


def _routed_product(op: Operation) -> Traffic:
    """The matrices of the experts that some token is routed to."""
    matrices, x, ids = op.source(0), op.source(1), op.source(2)
    read = _routed(op, matrices, matrices.ne[2], ids)
    return Traffic((x, ids), ((matrices, read),), op.result.stored_bytes)


def _add_routed(op: Operation) -> Traffic:
    """The biases of the experts that some token is routed to."""
    x, biases, ids = op.source(0), op.source(1), op.source(2)
    read = _routed(op, biases, biases.ne[1], ids)
    return Traffic((x, ids), ((biases, read),), op.result.stored_bytes)


def _routed(op: Operation, of_experts: Tensor, n_all: int, ids: Tensor) -> float:
    n_experts = op.n_experts
    if n_experts is None and ids.n_rows == 1:
        # The experts chosen for one token differ from each other.
        n_experts = ids.ne[0]
    if n_experts is None or not 0 <= n_experts <= n_all:
        raise UnknownWorkError
    return of_experts.stored_bytes / n_all * n_experts if n_all else 0.0


def _flash_attention(op: Operation) -> Traffic:
    """Queries and sinks; the keys and values that some query sees; the mask's rows of the queries.

    Values that are stored within the keys, as in a low-rank attention, are there once.
    """
    query, key, value = op.source(0), op.source(1), op.source(2)
    whole = (query, op.source(4)) if op.has(4) else (query,)
    n_kept = key.ne[1] * key.ne[3]
    if n_kept <= 0 or value.ne[1] != key.ne[1]:
        raise UnknownWorkError
    # A mask of which nothing is known hides the number of keys, but not what sinks weigh.
    unseen = math.nan if op.has(3) else n_kept
    n_keys = op.attended.n_keys if op.attended is not None else unseen
    if not 0 <= n_keys <= n_kept and not math.isnan(n_keys):
        raise UnknownWorkError
    stored = distinct_bytes((key, value))
    parts = [
        (tensor, stored[tensor.root] / n_kept * n_keys)
        for tensor in {tensor.root: tensor for tensor in (key, value)}.values()
    ]
    if op.has(3):
        parts.append((op.source(3), _mask_bytes(op.source(3), query.ne[1])))
    return Traffic(whole, tuple(parts), op.result.stored_bytes)


def _mask_bytes(mask: Tensor, n_queries: int) -> float:
    # Masks are padded to more rows than there are queries.
    n_rows = min(n_queries, mask.ne[1]) * mask.ne[2] * mask.ne[3]
    return mask.rows_bytes(n_rows)


def _soft_max(op: Operation) -> Traffic:
    scores = op.source(0)
    whole = (scores, op.source(2)) if op.has(2) else (scores,)
    parts = ((op.source(1), _mask_bytes(op.source(1), scores.ne[1])),) if op.has(1) else ()
    return Traffic(whole, parts, op.result.stored_bytes)


def _lightning_indexer(op: Operation) -> Traffic:
    query, mask = op.source(0), op.source(3)
    return Traffic(
        (query, op.source(1), op.source(2)),
        ((mask, _mask_bytes(mask, query.ne[2])),),
        op.result.stored_bytes,
    )


def _get_rows(op: Operation) -> Traffic:
    """One row for each id; where there are more ids than rows, all of them once."""
    table, ids = op.source(0), op.source(1)
    read = table.rows_bytes(op.result.n_rows)
    return Traffic((ids,), ((table, read),), op.result.stored_bytes)


def _set_rows(op: Operation) -> Traffic:
    """The rows that are written, and nothing of the tensor that they are written into."""
    rows, ids = op.source(0), op.source(1)
    return Traffic((rows, ids), (), op.result.rows_bytes(rows.n_rows))


def _set(op: Operation) -> Traffic:
    """A second tensor over a part of the first, which is copied first unless it is there already.

    An accumulation reads the part too.
    """
    base, over = op.source(0), op.source(1)
    n_bytes = float(over.stored_bytes)
    if op.in_place:
        read = ((base, n_bytes),) if op.op == "ACC" else ()
        return Traffic((over,), read, n_bytes)
    return Traffic((base, over), (), op.result.stored_bytes)


def _triangle(op: Operation) -> Traffic:
    """Only the elements that are kept are read; the others become zero."""
    matrix, kind = op.source(0), op.integer(0)
    n, n_rows = matrix.ne[0], matrix.ne[1]
    # Upper and lower triangle, each with the diagonal or without.
    if n != n_rows or not 0 <= kind <= 3:
        raise UnknownWorkError
    n_kept = n * (n + 1) // 2 if kind in (0, 2) else n * (n - 1) // 2
    share = n_kept / (n * n) if n else 0.0
    return Traffic((), ((matrix, matrix.stored_bytes * share),), op.result.stored_bytes)


def _solve_triangular(op: Operation) -> Traffic:
    matrix, right = op.source(0), op.source(1)
    n = matrix.ne[0]
    share = (n + 1) / (2 * n) if n else 0.0
    return Traffic((right,), ((matrix, matrix.stored_bytes * share),), op.result.stored_bytes)


def _ssm_scan(op: Operation) -> Traffic:
    """The states of the sequences at hand, of all that are kept; and the states that are stored.

    Where states of earlier tokens are wanted too, as many are stored as there are tokens.
    """
    states, x, ids = op.source(0), op.source(1), op.source(6)
    n_sequences = x.ne[3]
    one_state = states.ne[0] * states.ne[1] * states.ne[2] * _SCALAR_BYTES
    read = min(n_sequences * one_state, states.stored_bytes)
    skipped = _unwritten_slots(op, x.ne[2]) * one_state * n_sequences
    whole = (x, *(op.source(place) for place in (2, 3, 4, 5)), ids)
    return Traffic(whole, ((states, read),), max(0, op.result.stored_bytes - skipped))


def _gated_delta_net(op: Operation) -> Traffic:
    value = op.source(2)
    one_state = value.ne[0] * value.ne[0] * value.ne[1] * _SCALAR_BYTES
    skipped = _unwritten_slots(op, value.ne[2]) * one_state * value.ne[3]
    everything = _everything(op)
    return Traffic(everything.whole, (), max(0, op.result.stored_bytes - skipped))


def _unwritten_slots(op: Operation, n_tokens: int) -> int:
    return max(0, op.integer(0) - n_tokens)


def _hyper_mix(op: Operation) -> Traffic:
    """The last square of each token's numbers, the same of the base, and one scale."""
    mixes, scale, base = op.source(0), op.source(1), op.source(2)
    square = op.result.ne[0] * op.result.ne[1] * _SCALAR_BYTES
    parts = ((mixes, float(square * mixes.ne[1])), (scale, float(_SCALAR_BYTES)), (base, square))
    return Traffic((), parts, op.result.stored_bytes)


def _relative_positions(op: Operation) -> Traffic:
    table = op.source(0)
    read = table.rows_bytes(op.result.ne[1] + op.result.ne[2] - 1)
    return Traffic((), ((table, read),), op.result.stored_bytes)


def _masked_diagonal(op: Operation) -> Traffic:
    # In place, only what lies beyond the diagonal is touched; how much, the past decides.
    if op.in_place:
        raise UnknownWorkError
    return _reads(op, 0)


_RULES: dict[str, Callable[[Operation], Traffic]] = {
    "MUL_MAT": _product, "MUL_MAT_ID": _routed_product, "ADD_ID": _add_routed,
    "FLASH_ATTN_EXT": _flash_attention, "SOFT_MAX": _soft_max,
    "LIGHTNING_INDEXER": _lightning_indexer, "GET_ROWS": _get_rows, "SET_ROWS": _set_rows,
    "DUP": _copy, "CPY": _copy, "CONT": _copy, "SET": _set, "ACC": _set,
    "FILL": _writes_only, "ARANGE": _writes_only, "TRI": _triangle, "SOLVE_TRI": _solve_triangular,
    "SSM_SCAN": _ssm_scan, "GATED_DELTA_NET": _gated_delta_net, "DSV4_HC_COMB": _hyper_mix,
    "GET_REL_POS": _relative_positions,
    "DIAG_MASK_INF": _masked_diagonal, "DIAG_MASK_ZERO": _masked_diagonal,
    # The kernel lends its shape alone.
    "IM2COL": lambda op: _reads(op, 1), "IM2COL_3D": lambda op: _reads(op, 1),
}  # fmt: skip


def add_up(
    whole: tuple[Tensor, ...], parts: tuple[tuple[Tensor, float], ...], written_bytes: float
) -> tuple[float | None, float | None]:
    """All bytes, and those of weights read among them; what is read twice counts once.

    A part that is not a number is not known, and with it not the sum that it would go into.
    """
    total = weights = 0.0
    roots = {tensor.root: tensor for tensor in whole}
    for root, n_bytes in distinct_bytes(whole).items():
        total += n_bytes
        if roots[root].is_weight:
            weights += n_bytes
    read = {tensor.row for tensor in whole}
    for tensor, part in parts:
        if tensor.row in read:
            continue
        total += part
        if tensor.is_weight:
            weights += part
    return _if_finite(total + written_bytes), _if_finite(weights)


def _if_finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
