"""The rule by which a bound is named, and what each defect that it was made for looks like now."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pandas as pd
import pytest
from ceilings_builder import MIB, example_ceilings, example_instructions

from slmprof.analysis.work.bounds import Evidence, Shares, bound_of, scales_like_arithmetic
from slmprof.analysis.work.roofline import add_bounds
from slmprof.profiles.records.bandwidth import BandwidthSample, RunBandwidth
from slmprof.profiles.records.ceilings import MEMORY


def word(memory: float, compute: float, kernel: float, **evidence: Any) -> str | None:
    known = {"is_waiting": False, "is_in_memory": True, "has_own_rate": True, **evidence}
    return bound_of(Shares(memory, compute, kernel), Evidence(**known))


@pytest.mark.parametrize(
    ("memory", "compute", "kernel", "wanted"),
    [
        (0.70, 0.30, 0.50, "memory"),
        (0.69, 0.30, 0.50, "unexplained"),
        (0.95, 0.30, 0.85, "memory"),
        # Within 10 % of each other: either could be the cause.
        (0.95, 0.30, 0.86, "unexplained"),
        (0.80, 0.78, 0.79, "unexplained"),
        (0.30, 0.75, 0.80, "compute"),
        (0.30, 0.25, 0.95, "kernel"),
        (0.30, 0.25, 0.69, "unexplained"),
        # Its best is the hardware's, of which it reaches too little.
        (0.30, 0.66, 0.72, "unexplained"),
        (0.65, 0.30, 0.72, "unexplained"),
        (0.30, 0.30, 1.20, "kernel"),
        (1.20, 0.30, 0.40, "memory"),
        # No roof that is exceeded by so much is one.
        (0.01, 0.60, 2.46, "unexplained"),
        (1.21, 0.30, 0.40, "unexplained"),
    ],
)
def test_a_roof_is_named_where_it_is_near_and_no_other_is(
    memory: float, compute: float, kernel: float, wanted: str
) -> None:
    assert word(memory, compute, kernel) == wanted


def test_what_is_not_known_is_not_named() -> None:
    assert word(math.nan, 0.5, 0.9) is None
    assert word(0.9, math.nan, math.nan) is None
    assert word(0.0, 0.0, 0.0) is None
    # Ceilings of version 1 have no compute roof.
    assert word(0.3, math.nan, 0.9) == "kernel"
    assert word(0.9, math.nan, 0.3) == "memory"
    # A kernel that is compared with another one's rate is not known to be at its best.
    assert word(0.3, 0.2, 0.9, has_own_rate=False) == "unexplained"
    assert word(0.3, 0.8, 0.8, has_own_rate=False) == "compute"


def test_waiting_comes_first_unless_a_roof_contradicts_it() -> None:
    assert word(0.5, 0.1, 0.3, is_waiting=True) == "sync"
    assert word(math.nan, math.nan, math.nan, is_waiting=True) == "sync"
    assert word(0.8, 0.1, 0.3, is_waiting=True) == "unexplained"
    assert word(0.8, 0.1, 0.3, is_in_memory=False) == "cache"


@pytest.mark.parametrize("step", [0.01, 0.03, 0.05])
def test_a_small_change_of_the_shares_never_turns_one_certain_word_into_another(
    step: float,
) -> None:
    """What differs from run to run is the time, and with it all shares, or memory alone."""
    grid = [i / 20 for i in range(1, 26)]
    for memory, compute, kernel, waits in itertools.product(grid, grid, grid, (False, True)):
        if compute > kernel:
            continue
        words = {word(memory, compute, kernel, is_waiting=waits)}
        for factor in (1 - step, 1 + step):
            words.add(word(memory * factor, compute * factor, kernel * factor, is_waiting=waits))
            words.add(word(memory * factor, compute, kernel, is_waiting=waits))
        assert len(words - {"unexplained"}) <= 1, (memory, compute, kernel, words)


def test_what_does_not_get_faster_with_more_threads_is_not_arithmetic() -> None:
    assert scales_like_arithmetic(1.6, 2) and not scales_like_arithmetic(1.59, 2)
    assert scales_like_arithmetic(5.2, 8) and not scales_like_arithmetic(5.1, 8)
    for shares in ((0.3, 0.8, 0.8), (0.3, 0.2, 0.9)):
        assert word(*shares, scales=True) == word(*shares)
        assert word(*shares, scales=False) == "unexplained"
    assert word(0.9, 0.2, 0.3, scales=False) == "memory"


# From rows, ceilings, and bandwidth as it was during the run.

# A product of a decode step: 4 MB and 14 MFLOP, of kernels that reach 40 GFLOP/s.
DECODE: dict[str, Any] = {
    "phase": "decode", "op": "MUL_MAT", "kernel": "mul_mat_vec_q", "impl": "repack gemv",
    "part": "head", "dtypes": "q4_K,f32->f32", "shape": [1000], "calls": 1.0, "time_ms": 0.37,
    "wait_ms": 0.0, "slowest_ms": 0.37, "flops": 14e6, "bytes": 20e6, "weight_bytes": 20e6,
}  # fmt: skip


def bandwidth(*read_gbps: float, n_threads: int = 2) -> RunBandwidth:
    samples = (BandwidthSample("repeat", gbps, gbps / 2) for gbps in read_gbps)
    return RunBandwidth(n_threads, 256 * MIB, tuple(samples))


def judged(row: dict[str, Any], **more: Any) -> Any:
    memory = {"read": 98.0, "copy": 49.0}
    ceilings = example_ceilings(instructions=example_instructions()).with_gbps(MEMORY, memory)
    arguments = {
        "ceilings": ceilings, "n_threads": 2, "step_bytes": {"decode": 100.0 * MIB}, **more
    }  # fmt: skip
    return add_bounds(pd.DataFrame([row]), **arguments).iloc[0]


def test_a_cached_bandwidth_of_another_hour_does_not_decide() -> None:
    """98 GB/s in the cache made this \"arithmetic, 95 %\"; minutes later memory had 55 GB/s."""
    cached = judged(DECODE)
    assert cached.kernel_share == pytest.approx(0.946, abs=1e-3)
    assert cached.memory_share == pytest.approx(0.552, abs=1e-3)
    assert cached.compute_share == pytest.approx(0.095, abs=1e-3)
    # What was measured beside the passes counts: both roofs are near, so neither is named.
    beside = judged(DECODE, bandwidth=bandwidth(55.0, 54.0, 56.0))
    assert beside.memory_share == pytest.approx(20e6 / 55e9 / 0.37e-3)
    assert beside.bound == "unexplained"


def test_a_bandwidth_that_moved_names_only_what_holds_at_both_ends() -> None:
    moving = bandwidth(55.0, 98.0, 60.0)
    assert not moving.is_steady and moving.gbps() == 60.0 and moving.range_gbps() == (55.0, 98.0)
    assert judged({**DECODE, "flops": 4e6}, bandwidth=moving).bound == "unexplained"
    slow = {**DECODE, "time_ms": 0.29, "slowest_ms": 0.29, "flops": 1e6}
    assert judged(slow, bandwidth=bandwidth(60.0, 90.0, 70.0)).bound == "memory"
    # Below 15 % the median stands for the run.
    steady = bandwidth(55.0, 60.0, 52.0)
    assert steady.is_steady
    assert judged({**DECODE, "flops": 4e6}, bandwidth=steady).bound == "memory"


def test_bandwidth_of_other_threads_is_not_that_of_the_run() -> None:
    one = judged(DECODE, bandwidth=bandwidth(10.0, n_threads=1))
    assert one.memory_share == judged(DECODE).memory_share


def test_the_roof_of_arithmetic_is_the_hardware_and_not_the_kernel() -> None:
    alone = {**DECODE, "bytes": 1e6, "weight_bytes": 1e6}
    assert judged(alone).bound == "kernel"
    # On one thread "limited by arithmetic", though twice the cores changed nothing.
    key = ("decode", "mul_mat_vec_q", "repack gemv")
    assert judged(alone, scales={key: True}).bound == "kernel"
    assert judged(alone, scales={key: False}).bound == "unexplained"
    assert judged(alone, scales={("prefill", *key[1:]): False}).bound == "kernel"
    # f32 products reach 100 of the 120 GFLOP/s of an FMA loop.
    floats = {**alone, "dtypes": "f32,f32->f32", "shape": [1000, 64], "kernel": "mul_mat_f"}
    best = judged({**floats, "flops": 36e6})
    assert best.kernel_share == pytest.approx(0.973, abs=1e-3)
    assert best.compute_share == pytest.approx(0.811, abs=1e-3)
    assert best.bound == "kernel"


def test_no_hardware_is_slower_than_what_runs_on_it() -> None:
    # A loop of SSE2 alone, of a build whose products nevertheless reach 200 GFLOP/s.
    rows = tuple(row.replace(gflops=20.0, is_built=True) for row in example_instructions())
    ceilings = example_ceilings(instructions=rows)
    many = {**DECODE, "shape": [1000, 64], "kernel": "mul_mat_q", "flops": 66e6, "bytes": 1e6}
    judgement = judged({**many, "weight_bytes": 1e6}, ceilings=ceilings)
    assert judgement.compute_share == judgement.kernel_share
    assert judgement.bound == "compute"


def test_no_call_costs_more_than_the_cheapest_op_of_the_run() -> None:
    """Measured on a busy machine, an empty op took a millisecond: then every op would wait."""
    busy = example_ceilings(op_ns=1e6)
    quick = {**DECODE, "kernel": "rope", "op": "ROPE", "time_ms": 0.004, "slowest_ms": 0.004,
             "dtypes": "f32,i32->f32", "flops": 1e3, "bytes": 1e3, "weight_bytes": 0.0}  # fmt: skip
    memory = {**DECODE, "time_ms": 2.5, "slowest_ms": 2.5, "flops": 1e6}
    arguments = {"n_threads": 2, "step_bytes": {"decode": 100.0 * MIB}}
    result = add_bounds(pd.DataFrame([memory, quick]), busy, **arguments)
    assert result.bound.tolist() == ["memory", "sync"]
    calm = add_bounds(pd.DataFrame([memory, quick]), example_ceilings(op_ns=500.0), **arguments)
    assert calm.bound.tolist() == ["memory", "unexplained"]
