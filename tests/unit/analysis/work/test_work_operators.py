"""The work of each of ggml's operators, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from work_builder import STATE, WorkGraph, bits

from slmprof.analysis.work.counts import Work


@pytest.mark.parametrize(
    ("op", "each"),
    [
        ("ADD", 1), ("SUB", 1), ("MUL", 1), ("DIV", 1), ("ADD1", 1), ("SQR", 1), ("SQRT", 1),
        ("LOG", 1), ("SIN", 1), ("COS", 1), ("CLAMP", 0), ("LEAKY_RELU", 1), ("CUMSUM", 1),
        ("ROLL", 0),
    ],
)  # fmt: skip
def test_elementwise(op: str, each: int) -> None:
    g = WorkGraph()
    row = g.op(op, (8, 4, 2), g.leaf("f32", 8, 4, 2))
    assert g.work(row) == Work(64 * each, 512, 0)


def test_a_broadcast_source_is_read_once() -> None:
    g = WorkGraph()
    row = g.op("MUL", (8, 4, 2), g.leaf("f32", 8, 4, 2), g.weight("f32", 8))
    assert g.work(row) == Work(64, 256 + 32 + 256, 32)


@pytest.mark.parametrize(
    ("detail", "each"),
    [
        ("ABS", 0), ("SGN", 0), ("NEG", 0), ("STEP", 0), ("RELU", 0), ("TANH", 1), ("ELU", 1),
        ("EXP", 1), ("EXPM1", 2), ("SIGMOID", 3), ("SILU", 3), ("HARDSIGMOID", 2),
        ("HARDSWISH", 3), ("SOFTPLUS", 3), ("GELU", 9), ("GELU_QUICK", 5), ("GELU_ERF", 5),
        ("XIELU", 5), ("FLOOR", 1), ("CEIL", 1), ("ROUND", 1), ("TRUNC", 1),
    ],
)  # fmt: skip
def test_unary(detail: str, each: int) -> None:
    g = WorkGraph()
    assert g.work(g.op("UNARY", (8, 4), g.leaf("f32", 8, 4), detail=detail)) == Work(
        32 * each, 256, 0
    )


@pytest.mark.parametrize(
    ("detail", "each"),
    [
        ("REGLU", 1), ("GEGLU", 10), ("SWIGLU", 4), ("SWIGLU_OAI", 6), ("GEGLU_ERF", 6),
        ("GEGLU_QUICK", 6), ("SWIGLU_CLAMP", 4),
    ],
)  # fmt: skip
def test_gated(detail: str, each: int) -> None:
    g = WorkGraph()
    # Gate and value as two tensors, as halves of one, and as two views of one.
    two = g.op("GLU", (8, 4), g.leaf("f32", 8, 4), g.leaf("f32", 8, 4), detail=detail)
    one = g.op("GLU", (8, 4), g.leaf("f32", 16, 4), detail=detail)
    both = g.leaf("f32", 16, 4)
    halves = [g.view(both, 8, 4, strides=(4, 64), offset=32 * i) for i in range(2)]
    split = g.op("GLU", (8, 4), *halves, detail=detail)
    for row in (two, one, split):
        assert g.work(row) == Work(32 * each, 128 + 128 + 128, 0)


@pytest.mark.parametrize(
    ("op", "shape", "expected"),
    [
        # 24 elements in 6 rows.
        ("NORM", (4, 3, 2), Work(5 * 24 + 5 * 6, 192, 0)),
        ("RMS_NORM", (4, 3, 2), Work(3 * 24 + 4 * 6, 192, 0)),
        ("L2_NORM", (4, 3, 2), Work(3 * 24 + 2 * 6, 192, 0)),
        ("SUM", (1,), Work(24, 96 + 4, 0)),
        ("SUM_ROWS", (1, 3, 2), Work(24, 96 + 24, 0)),
        ("MEAN", (1, 3, 2), Work(24 + 6, 96 + 24, 0)),
        ("ARGMAX", (6,), Work(0, 96 + 24, 0)),
        ("ARGSORT", (4, 3, 2), Work(0, 192, 0)),
        ("TOP_K", (2, 3, 2), Work(0, 96 + 48, 0)),
        ("CONT", (4, 3, 2), Work(0, 192, 0)),
        ("DUP", (4, 3, 2), Work(0, 192, 0)),
        ("REPEAT", (4, 3, 4), Work(0, 96 + 192, 0)),
        ("REPEAT_BACK", (4, 3), Work(24, 96 + 48, 0)),
        ("PAD", (4, 3, 3), Work(0, 96 + 144, 0)),
        ("PAD_REFLECT_1D", (6, 3, 2), Work(0, 96 + 144, 0)),
        ("UPSCALE", (8, 6, 2), Work(0, 96 + 384, 0)),
        ("FILL", (4, 3, 2), Work(0, 96, 0)),
        ("DIAG_MASK_INF", (4, 3, 2), Work(0, 192, 0)),
        ("WIN_PART", (4, 3, 2), Work(0, 192, 0)),
    ],
)
def test_one_source(op: str, shape: tuple[int, ...], expected: Work) -> None:
    g = WorkGraph()
    assert g.work(g.op(op, shape, g.leaf("f32", 4, 3, 2))) == expected


def test_scale_with_and_without_an_offset() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 8, 4)
    assert g.work(g.op("SCALE", (8, 4), x, params=(bits(2.0), 0))) == Work(32, 256, 0)
    assert g.work(g.op("SCALE", (8, 4), x, params=(bits(2.0), bits(1.0)))) == Work(64, 256, 0)


def test_group_norm() -> None:
    g = WorkGraph()
    row = g.op("GROUP_NORM", (4, 3, 6), g.leaf("f32", 4, 3, 6), params=(2,))
    assert g.work(row) == Work(5 * 72 + 5 * 2, 576, 0)


def test_rope_rotates_some_dimensions_and_copies_the_others() -> None:
    g = WorkGraph()
    x, positions = g.leaf("f32", 16, 4, 3), g.leaf("i32", 3)
    # 6 pairs of 12 rotated dimensions: 6 operations in each of 12 rows, 3 for each of 3 tokens.
    rope = g.op("ROPE", (16, 4, 3), x, positions, params=(0, 12, 2))
    assert g.work(rope) == Work(6 * (6 * 12 + 3 * 3), 768 + 12 + 768, 0)
    factors = g.op("ROPE", (16, 4, 3), x, positions, g.weight("f32", 6), params=(0, 12, 2))
    assert g.work(factors) == Work(6 * (6 * 12 + 4 * 3), 1_548 + 24, 24)
    # In vision mode all dimensions turn, though the parameter says half.
    vision = g.op("ROPE", (16, 4, 3), x, positions, params=(0, 8, 24))
    assert g.work(vision).flops == 8 * (6 * 12 + 3 * 3)
    assert g.work(g.op("ROPE", (16, 4, 3), x, positions, params=(0, 32, 0))).flops is None


def test_concatenation_and_ranges() -> None:
    g = WorkGraph()
    joined = g.op("CONCAT", (8, 5), g.leaf("f32", 8, 2), g.leaf("f32", 8, 3))
    assert g.work(joined) == Work(0, 64 + 96 + 160, 0)
    assert g.work(g.op("ARANGE", (10,))) == Work(20, 40, 0)


@pytest.mark.parametrize(("op", "flops", "reads_place"), [("SET", 0, 0), ("ACC", 6, 24)])
def test_setting_a_part_of_a_tensor(op: str, flops: int, reads_place: int) -> None:
    g = WorkGraph()
    base, part = g.leaf("f32", 8, 4), g.leaf("f32", 3, 2)
    # A copy of the whole, or the part alone in place.
    assert g.work(g.op(op, (8, 4), base, part)) == Work(flops, 128 + 24 + 128, 0)
    in_place = g.op(op, (8, 4), base, part, view_of=base)
    assert g.work(in_place) == Work(flops, 24 + reads_place + 24, 0)


@pytest.mark.parametrize(("kind", "kept"), [(0, 10), (1, 6), (2, 10), (3, 6)])
def test_triangles(kind: int, kept: int) -> None:
    g = WorkGraph()
    row = g.op("TRI", (4, 4, 2), g.leaf("f32", 4, 4, 2), params=(kind,))
    assert g.work(row) == Work(0, 2 * kept * 4 + 128, 0)


def test_diagonal() -> None:
    g = WorkGraph()
    assert g.work(g.op("DIAG", (4, 4), g.leaf("f32", 4))) == Work(0, 16 + 64, 0)


def test_triangular_system() -> None:
    # Row i of 4 costs 2·i, a subtraction and a division: 12 + 8, for each of 3 columns.
    g = WorkGraph()
    row = g.op("SOLVE_TRI", (3, 4), g.leaf("f32", 4, 4), g.leaf("f32", 3, 4))
    assert g.work(row) == Work(3 * 20, 10 * 4 + 48 + 48, 0)


def test_outer_product() -> None:
    g = WorkGraph()
    row = g.op("OUT_PROD", (4, 5), g.leaf("f32", 4, 3), g.leaf("f32", 5, 3))
    assert g.work(row) == Work(2 * 3 * 20, 48 + 60 + 80, 0)


def test_short_convolution() -> None:
    # A window of 4 over 6 channels, 3 tokens with the 3 before them, 2 sequences.
    g = WorkGraph()
    row = g.op("SSM_CONV", (6, 3, 2), g.leaf("f32", 6, 6, 2), g.weight("f32", 4, 6))
    assert g.work(row) == Work(2 * 4 * 36, 288 + 96 + 144, 96)


def _scan(g: WorkGraph, n_decay: int, n_kept: int = 5, n_slots: int = 1, n_tokens: int = 3) -> int:
    """2 heads of 4 with a state of 8, 1 group, 3 tokens of 1 sequence, of 5 kept."""
    states = g.leaf("f32", 8, 4, 2, n_kept, usage=STATE)
    x, dt = g.leaf("f32", 4, 2, n_tokens, 1), g.leaf("f32", 2, n_tokens, 1)
    decay = g.weight("f32", n_decay, 2)
    b, c = (g.leaf("f32", 8, 1, n_tokens, 1) for _ in "bc")
    n_result = 8 * n_tokens + 64 * n_slots
    sources = (states, x, dt, decay, b, c, g.leaf("i32", 1))
    return g.op("SSM_SCAN", (n_result,), *sources, params=(n_slots,))


def test_state_space_scan_with_one_decay_for_each_head() -> None:
    g = WorkGraph()
    # 6 heads and tokens: 5 of the head, then 4 rows of 1 + 5·8.
    work = g.work(_scan(g, 1))
    assert work.flops == 6 * (5 + 4 * (1 + 40))
    # One state of 64 in and out; x and y of 24, dt of 6, A of 2, B and C of 24, one id.
    assert (work.bytes, work.weight_bytes) == (4 * (64 + 64 + 24 + 24 + 6 + 2 + 48 + 1), 8)


def test_state_space_scan_with_a_decay_for_each_element() -> None:
    g = WorkGraph()
    work = g.work(_scan(g, 8))
    assert work.flops == 6 * (3 + 4 * (1 + 56))
    assert (work.bytes, work.weight_bytes) == (4 * (64 + 64 + 24 + 24 + 6 + 16 + 48 + 1), 64)


def test_a_scan_stores_no_more_states_than_there_are_tokens() -> None:
    g = WorkGraph()
    three, five = (g.work(_scan(g, 1, n_slots=n)).bytes for n in (3, 5))
    assert three == five == 4 * (64 + 3 * 64 + 24 + 24 + 6 + 2 + 48 + 1)


def _mixer(g: WorkGraph, op: str, n_inputs: int, n_vectors: int = 0, **given: object) -> int:
    """2 heads of 4, 3 tokens of one sequence: a state of 2·4·4."""
    inputs = [g.leaf("f32", 4, 2, 3) for _ in range(n_inputs)]
    weights = [g.weight("f32", 4, 2) for _ in range(n_vectors)]
    state = g.leaf("f32", 32, 1, usage=STATE)
    sources = inputs[:3] + weights + inputs[3:] + [state]
    return g.op(op, (8, 3 + 4), *sources, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "n_inputs", "n_vectors", "flops"),
    [
        # 3 tokens, 2 heads, 16 elements of a state: 96.
        ("RWKV_WKV6", 4, 1, 7 * 96),
        ("RWKV_WKV7", 6, 0, 9 * 96),
        # And 24 scaled queries.
        ("GATED_LINEAR_ATTN", 4, 0, 5 * 96 + 24),
    ],
)
def test_linear_attention(op: str, n_inputs: int, n_vectors: int, flops: int) -> None:
    g = WorkGraph()
    work = g.work(_mixer(g, op, n_inputs, n_vectors))
    assert work.flops == flops
    assert work.bytes == 4 * (24 * n_inputs + 8 * n_vectors + 32 + 24 + 32)
    assert work.weight_bytes == 4 * 8 * n_vectors


@pytest.mark.parametrize(("n_decay", "n_slots"), [(1, 1), (4, 1), (1, 6)])
def test_gated_delta_net(n_decay: int, n_slots: int) -> None:
    # 2 heads of 4, 3 tokens: for each head and token 7·16 + 3·4, and the exponentials.
    g = WorkGraph()
    query, key, value = (g.leaf("f32", 4, 2, 3, 1) for _ in "qkv")
    decay, beta = g.leaf("f32", n_decay, 2, 3, 1), g.leaf("f32", 1, 2, 3, 1)
    state = g.leaf("f32", 4, 4, 2, 1)
    sources = (query, key, value, decay, beta, state)
    row = g.op("GATED_DELTA_NET", (8, 3 + 4 * n_slots), *sources, params=(n_slots,))
    work = g.work(row)
    assert work.flops == 6 * (7 * 16 + 3 * 4 + n_decay)
    n_stored = min(n_slots, 3)
    assert work.bytes == 4 * (3 * 24 + 6 * n_decay + 6 + 32 + 24 + 32 * n_stored)


def test_lightning_indexer() -> None:
    # 3 queries with 2 heads of 8 over 16 keys; the mask is padded to 32 rows.
    g = WorkGraph()
    query, keys = g.leaf("f32", 8, 2, 3), g.leaf("f16", 8, 1, 16, usage=STATE)
    weights, mask = g.leaf("f32", 2, 3), g.leaf("f16", 16, 32)
    row = g.op("LIGHTNING_INDEXER", (16, 3), query, keys, weights, mask)
    assert g.work(row) == Work(48 * (2 * 18 + 1), 192 + 256 + 24 + 96 + 192, 0)


def test_hyper_connections() -> None:
    # 4 streams of 16, 3 tokens.
    g = WorkGraph()
    mixes, scale, base = g.leaf("f32", 24, 3), g.weight("f32", 3), g.weight("f32", 24)
    comb = g.op("DSV4_HC_COMB", (4, 4, 3), mixes, scale, base, params=(0, 20))
    # Soft max of 16: 7 each and 4 divisions; 39 sweeps of 4·(4 + 1 + 4).
    assert g.work(comb) == Work(3 * (116 + 39 * 36), 192 + 4 + 64 + 192, 68)
    x = g.leaf("f32", 16, 4, 3)
    pre = g.op("DSV4_HC_PRE", (16, 3), x, g.leaf("f32", 4, 3), params=(bits(1.0), 0))
    assert g.work(pre) == Work(48 * (4 * 2 + 1), 768 + 48 + 192, 0)
    gated = g.op("DSV4_HC_PRE", (16, 3), x, g.leaf("f32", 16, 4, 3), params=(bits(1.0), 1))
    assert g.work(gated) == Work(48 * (4 * 5 + 1), 768 + 768 + 192, 0)
    branch, post = g.leaf("f32", 16, 3), g.leaf("f32", 4, 3)
    mixed = g.op("DSV4_HC_POST", (16, 4, 3), branch, x, post, comb)
    assert g.work(mixed) == Work(192 * (1 + 8), 192 + 768 + 48 + 192 + 768, 0)
    kept = g.op("DSV4_HC_POST", (16, 4, 3), branch, x, post)
    assert g.work(kept) == Work(192 * 2, 192 + 768 + 48 + 768, 0)


def test_convolutions() -> None:
    g = WorkGraph()
    image = g.leaf("f32", 8, 8, 3)
    plain = g.op("CONV_2D", (6, 6, 4), g.weight("f16", 3, 3, 3, 4), image)
    assert g.work(plain) == Work(2 * 27 * 144, 216 + 768 + 576, 216)
    depth = g.op("CONV_2D_DW", (6, 6, 3), g.weight("f16", 3, 3, 1, 3), image)
    assert g.work(depth) == Work(2 * 9 * 108, 54 + 768 + 432, 54)
    # 2 channels in and 5 out, folded with the batch of 1.
    solid = g.op("CONV_3D", (3, 3, 3, 5), g.weight("f16", 2, 2, 2, 10), g.leaf("f32", 4, 4, 4, 2))
    assert g.work(solid) == Work(2 * 8 * 2 * 135, 160 + 512 + 540, 160)
    line = g.op("CONV_TRANSPOSE_1D", (22, 2), g.weight("f32", 4, 2, 3), g.leaf("f32", 10, 3))
    assert g.work(line) == Work(2 * 24 * 10, 96 + 120 + 176, 96)
    plane = g.op(
        "CONV_TRANSPOSE_2D", (8, 8, 2), g.weight("f16", 2, 2, 2, 3), g.leaf("f32", 4, 4, 3)
    )
    assert g.work(plane) == Work(2 * 24 * 16, 48 + 192 + 512, 48)


def test_unfolding_reads_no_kernel() -> None:
    g = WorkGraph()
    kernel, image = g.weight("f16", 3, 3, 3, 4), g.leaf("f32", 8, 8, 3)
    for op in ("IM2COL", "IM2COL_3D"):
        assert g.work(g.op(op, (27, 6, 6), kernel, image, kind="f16")) == Work(0, 768 + 1_944, 0)
    folded = g.op("COL2IM_1D", (12, 2), g.leaf("f32", 8, 5), params=(2, 2, 0))
    assert g.work(folded) == Work(40, 160 + 96, 0)
    cropped = g.op("COL2IM_1D", (10, 2), g.leaf("f32", 8, 5), params=(2, 2, 1))
    assert g.work(cropped) == Work(None, 160 + 80, 0)


@pytest.mark.parametrize(("kind", "flops"), [(0, 0), (1, 16 * 5), (7, None)])
def test_pooling(kind: int, flops: float | None) -> None:
    g = WorkGraph()
    image = g.leaf("f32", 8, 8)
    assert g.work(g.op("POOL_2D", (4, 4), image, params=(kind, 2, 2))).flops == flops
    line = g.work(g.op("POOL_1D", (2, 8), image, params=(kind, 4, 4)))
    assert (line.flops, line.bytes) == (flops, 256 + 64)


def test_interpolation_beyond_the_nearest_has_no_count() -> None:
    g = WorkGraph()
    row = g.op("UPSCALE", (8, 8), g.leaf("f32", 4, 4), params=(1,))
    assert g.work(row) == Work(None, 64 + 256, 0)


def test_timesteps_and_relative_positions() -> None:
    g = WorkGraph()
    steps = g.op("TIMESTEP_EMBEDDING", (10, 3), g.leaf("f32", 3), params=(10, 1_000))
    assert g.work(steps) == Work(7 * 3 * 5, 12 + 120, 0)
    # 4 by 4 positions look up 7 rows of 8.
    table = g.weight("f16", 8, 7)
    found = g.op("GET_REL_POS", (8, 4, 4), table, kind="f16")
    assert g.work(found) == Work(0, 112 + 256, 112)


def test_ops_that_profiles_of_inference_have_not_are_unknown() -> None:
    g = WorkGraph()
    x = g.leaf("f32", 8, 4)
    for op in ("CUSTOM", "MAP_CUSTOM1", "OPT_STEP_ADAMW", "CROSS_ENTROPY_LOSS", "FLASH_ATTN_BACK"):
        assert g.work(g.op(op, (8, 4), x)) == Work()
    masked = g.op("DIAG_MASK_INF", (8, 4), x, view_of=x)
    assert g.work(masked) == Work(0, None, None)
