"""The floating-point operations of ggml's operators.

The convention (docs/measurement.md): each addition, subtraction, multiplication, division, root
and rounding, and each exponential, logarithm or other transcendental counts as one. Comparisons,
selections, changes of sign, integer arithmetic and conversions between number formats count
nothing. A sum of n numbers counts n additions. Where the arithmetic depends on the data, the longer
branch is counted for all elements. The formulas are those of ggml's CPU backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .operation import Operation
from .storage import UnknownWorkError

_ROPE_VISION = 24
_POOL_MAX = 0
_POOL_AVERAGE = 1

# For each element.
_UNARY: dict[str, int] = {
    "ABS": 0, "SGN": 0, "NEG": 0, "STEP": 0, "RELU": 0,
    "FLOOR": 1, "CEIL": 1, "ROUND": 1, "TRUNC": 1, "TANH": 1, "EXP": 1, "ELU": 1, "EXPM1": 2,
    "SIGMOID": 3,  # 1 / (1 + exp(-x))
    "SILU": 3,  # x / (1 + exp(-x))
    "HARDSIGMOID": 2, "HARDSWISH": 3,  # (x + 3) / 6, times x
    "SOFTPLUS": 3,  # log(1 + exp(x))
    "GELU": 9,  # 0.5 x (1 + tanh(a x (1 + b x x)))
    "GELU_QUICK": 5,  # x (1 / (1 + exp(a x)))
    "GELU_ERF": 5,  # 0.5 x (1 + erf(a x))
    "XIELU": 5,  # (expm1(x) - x) a + b x
}  # fmt: skip

# For each element of the result: the gate's function, and the product with the other half.
_GATED: dict[str, int] = {
    "REGLU": 1, "GEGLU": 10, "SWIGLU": 4, "GEGLU_ERF": 6, "GEGLU_QUICK": 6, "SWIGLU_CLAMP": 4,
    "SWIGLU_OAI": 6,  # x / (1 + exp(a x)) (y + 1)
}  # fmt: skip

# For each element of the result, or of the first source, which is as large.
_ELEMENTWISE: dict[str, int] = {
    "ADD": 1, "ADD1": 1, "ADD_ID": 1, "SUB": 1, "MUL": 1, "DIV": 1, "SQR": 1, "SQRT": 1, "LOG": 1,
    "SIN": 1, "COS": 1, "LEAKY_RELU": 1, "CLAMP": 0, "CUMSUM": 1, "ARANGE": 2, "ADD_REL_POS": 2,
}  # fmt: skip

# Nothing but copies, comparisons and counts.
_NOTHING = frozenset(
    {
        "DUP", "CPY", "CONT", "SET", "SET_ROWS", "GET_ROWS", "CONCAT", "REPEAT", "PAD", "ROLL",
        "PAD_REFLECT_1D", "FILL", "TRI", "DIAG", "DIAG_MASK_INF", "DIAG_MASK_ZERO", "ARGSORT",
        "TOP_K", "ARGMAX", "COUNT_EQUAL", "IM2COL", "IM2COL_3D", "WIN_PART", "WIN_UNPART",
        "GET_REL_POS",
    }
)  # fmt: skip


def count_flops(op: Operation) -> float:
    """Floating-point operations of one call.

    Raises:
        UnknownWorkError: no rule counts this operator, or what the rule needs is not there.
    """
    if op.op in _NOTHING:
        return 0
    each = _ELEMENTWISE.get(op.op)
    if each is not None:
        return each * op.result.n_elements
    rule = _RULES.get(op.op)
    if rule is None:
        raise UnknownWorkError
    return rule(op)


def _of(table: dict[str, int], name: str) -> int:
    if name not in table:
        raise UnknownWorkError
    return table[name]


def _sum(op: Operation) -> float:
    return op.source(0).n_elements


def _product(op: Operation) -> float:
    matrix = op.source(0)
    if op.is_hadamard:
        # A fast Walsh-Hadamard transform: a scale, and log2(K) passes of additions.
        return op.result.n_elements * (1 + math.log2(max(1, matrix.ne[0])))
    # The result of routed experts holds one column for each token and chosen expert.
    return 2 * matrix.ne[0] * op.result.n_elements


def _flash_attention(op: Operation) -> float:
    """Two products for each pair of query and key, and its soft max; then one scale of the result.

    Of the soft max a pair costs its scale, subtraction of the maximum, exponential, addition to the
    sum; with a mask one addition more, with ALiBi one multiplication more, with soft-capping two
    operations more. What a new maximum rescales is not counted: it depends on the data.
    """
    query, key, value = op.source(0), op.source(1), op.source(2)
    n_head, n_queries = query.ne[2], query.ne[1] * query.ne[3]
    n_all = n_queries * key.ne[1]
    if op.attended is None and op.has(3):
        raise UnknownWorkError
    n_pairs = op.attended.n_pairs if op.attended is not None else n_all
    if not 0 <= n_pairs <= n_all:
        raise UnknownWorkError
    pair = 2 * key.ne[0] + 2 * value.ne[0] + 4
    if op.has(3):
        pair += 2 if op.is_set(1) else 1
    if op.is_set(2):
        pair += 2
    last = value.ne[0] + 1 + (3 if op.has(4) else 0)
    return n_head * (n_pairs * pair + n_queries * last)


def _soft_max(op: Operation) -> float:
    """Each element, masked or not: scale, (slope,) mask, maximum, exponential, sum, division."""
    scores = op.source(0)
    each = 5
    if op.has(1):
        each += 2 if op.is_set(1) else 1
    return each * scores.n_elements + (1 + (3 if op.has(2) else 0)) * scores.n_rows


def _norm(op: Operation) -> float:
    """Sum, subtraction of the mean, squares and their sum, scale; mean, variance, root, inverse."""
    return 5 * op.source(0).n_elements + 5 * op.source(0).n_rows


def _group_norm(op: Operation) -> float:
    return 5 * op.source(0).n_elements + 5 * max(0, op.integer(0)) * op.source(0).ne[3]


def _rope(op: Operation) -> float:
    """Six operations for each rotated pair; for each token and pair an angle, its sine and cosine.

    Angles count once, though every thread computes them; the corrections of YaRN are left out.
    """
    x = op.source(0)
    n_dims, mode = op.integer(1), op.integer(2)
    if n_dims <= 0:
        # Files of the first format version have no such parameter.
        raise UnknownWorkError
    if mode == _ROPE_VISION:
        n_dims = x.ne[0]
    if not 0 < n_dims <= x.ne[0]:
        raise UnknownWorkError
    angle = 4 if op.has(2) else 3
    return n_dims // 2 * (6 * x.n_rows + angle * x.ne[2] * x.ne[3])


def _ssm_scan(op: Operation) -> float:
    """s = s exp(dt A) + (dt x) B; y = s C, with dt = log(1 + exp(dt)).

    With one decay for each head (Mamba-2) its exponential stands outside the state, with one for
    each element (Mamba-1) inside.
    """
    state, x, decay = op.source(0), op.source(1), op.source(3)
    n_heads = x.n_rows
    if decay.ne[0] == 1:
        return n_heads * (5 + state.ne[1] * (1 + 5 * state.ne[0]))
    return n_heads * (3 + state.ne[1] * (1 + 7 * state.ne[0]))


def _linear_attention(each: int, scaled: bool = False) -> Callable[[Operation], float]:
    """Recurrences that visit each element of a square state once a token, for each head."""

    def count(op: Operation) -> float:
        keys = op.source(1)
        n_channels, n_heads, n_tokens = op.result.ne[0], keys.ne[1], keys.ne[2]
        if n_heads <= 0:
            raise UnknownWorkError
        n = n_tokens * n_channels
        return each * n * (n_channels // n_heads) + (n if scaled else 0)

    return count


def _gated_delta_net(op: Operation) -> float:
    """Decay; the state times k; the correction (v - s k) b; its outer product with k; times q."""
    value, decay = op.source(2), op.source(3)
    size = value.ne[0]
    n_exponentials = size if decay.ne[0] == size else 1
    return value.n_rows * (7 * size * size + 3 * size + n_exponentials)


def _lightning_indexer(op: Operation) -> float:
    """For each query and key: a dot product, and its weighted sum, over all heads; the mask."""
    query = op.source(0)
    return op.result.n_elements * (query.ne[1] * (2 * query.ne[0] + 2) + 1)


def _hyper_mix(op: Operation) -> float:
    """A soft max of a square of scaled, shifted numbers; then columns and rows made to add to 1."""
    n, n_iterations = op.result.ne[0], op.integer(1)
    soft_max = 7 * n * n + n
    sweep = n * (2 * n + 1)
    return op.source(0).ne[1] * (soft_max + max(0, 2 * n_iterations - 1) * sweep)


def _hyper_pre(op: Operation) -> float:
    each = 5 if op.integer(1) else 2
    return op.result.n_elements * (op.source(0).ne[1] * each + 1)


def _hyper_post(op: Operation) -> float:
    mixing = 2 * op.source(1).ne[1] if op.has(3) else 1
    return op.result.n_elements * (1 + mixing)


def _solve_triangular(op: Operation) -> float:
    n = op.source(0).ne[0]
    n_columns = op.source(1).ne[0] * op.source(1).ne[2] * op.source(1).ne[3]
    return n_columns * (n * n + n)


def _convolution_3d(op: Operation) -> float:
    # Channels in and out are folded with each other, and with the batch: IC OC, IC N, OC N.
    kernel, data, result = op.source(0), op.source(1), op.result
    if result.ne[3] <= 0:
        raise UnknownWorkError
    square, rest = divmod(kernel.ne[3] * data.ne[3], result.ne[3])
    n_in = math.isqrt(square)
    if rest or n_in * n_in != square:
        raise UnknownWorkError
    return 2 * math.prod(kernel.ne[:3]) * n_in * result.n_elements


def _convolution_transposed(op: Operation) -> float:
    kernel, data = op.source(0), op.source(1)
    if op.op == "CONV_TRANSPOSE_1D":
        return 2 * kernel.n_elements * data.ne[0]
    return 2 * kernel.n_elements * data.ne[0] * data.ne[1] * data.ne[3]


def _fold_columns(op: Operation) -> float:
    if op.integer(2) != 0:
        raise UnknownWorkError
    return op.source(0).n_elements


def _pool(op: Operation) -> float:
    kind = op.integer(0)
    if kind == _POOL_MAX:
        return 0
    if kind != _POOL_AVERAGE:
        raise UnknownWorkError
    window = op.integer(1) * (op.integer(2) if op.op == "POOL_2D" else 1)
    return op.result.n_elements * (max(0, window) + 1)


def _upscale(op: Operation) -> float:
    if op.integer(0) & 0xFF:
        raise UnknownWorkError
    return 0


def _timestep_embedding(op: Operation) -> float:
    """cos and sin of t exp(log(p) j / half): seven operations for each pair."""
    return 7 * op.source(0).ne[0] * (max(0, op.integer(0)) // 2)


_RULES: dict[str, Callable[[Operation], float]] = {
    "UNARY": lambda op: _of(_UNARY, op.detail) * op.result.n_elements,
    "GLU": lambda op: _of(_GATED, op.detail) * op.result.n_elements,
    "SCALE": lambda op: (2 if op.is_set(1) else 1) * op.result.n_elements,
    "ACC": lambda op: op.source(1).n_elements,
    "SUM": _sum, "SUM_ROWS": _sum, "REPEAT_BACK": _sum,
    "MEAN": lambda op: op.source(0).n_elements + op.result.n_elements,
    "MUL_MAT": _product, "MUL_MAT_ID": _product,
    "OUT_PROD": lambda op: 2 * op.source(0).ne[1] * op.result.n_elements,
    "FLASH_ATTN_EXT": _flash_attention, "SOFT_MAX": _soft_max, "NORM": _norm,
    "RMS_NORM": lambda op: 3 * op.source(0).n_elements + 4 * op.source(0).n_rows,
    "L2_NORM": lambda op: 3 * op.source(0).n_elements + 2 * op.source(0).n_rows,
    "GROUP_NORM": _group_norm, "ROPE": _rope, "ROPE_BACK": _rope,
    "SSM_CONV": lambda op: 2 * op.source(1).ne[0] * op.result.n_elements,
    "SSM_SCAN": _ssm_scan,
    # (v k) u + s, times r, summed; s w + v k
    "RWKV_WKV6": _linear_attention(7),
    # s a, summed; s w + v k + (s a) b; times r, summed
    "RWKV_WKV7": _linear_attention(9),
    # s g + v k; times the scaled q, summed
    "GATED_LINEAR_ATTN": _linear_attention(5, scaled=True),
    "GATED_DELTA_NET": _gated_delta_net, "LIGHTNING_INDEXER": _lightning_indexer,
    "DSV4_HC_COMB": _hyper_mix, "DSV4_HC_PRE": _hyper_pre, "DSV4_HC_POST": _hyper_post,
    "SOLVE_TRI": _solve_triangular,
    # As a product with the unfolded input, where elements of the padding count like others.
    "CONV_2D": lambda op: 2 * math.prod(op.source(0).ne[:3]) * op.result.n_elements,
    "CONV_2D_DW": lambda op: 2 * math.prod(op.source(0).ne[:2]) * op.result.n_elements,
    "CONV_3D": _convolution_3d, "CONV_TRANSPOSE_1D": _convolution_transposed,
    "CONV_TRANSPOSE_2D": _convolution_transposed, "COL2IM_1D": _fold_columns,
    "POOL_1D": _pool, "POOL_2D": _pool, "UPSCALE": _upscale,
    "TIMESTEP_EMBEDDING": _timestep_embedding,
}  # fmt: skip
