"""Each phase as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import DECODE, MS, Builder, example_profile

from slmprof.analysis.timing.phases import ops_total_ns, phase_record, summarize_phases
from slmprof.profiles.tables import RunTable, SegmentTable
from slmprof.profiles.vocabulary import PASS_TIMING, SEGMENTS
from slmprof.views import Profile


def test_headline_comes_from_the_timing_pass_alone() -> None:
    prefill, decode = summarize_phases(example_profile())
    assert prefill.latency_ms is not None and decode.latency_ms is not None
    assert (prefill.phase, prefill.n_tokens, prefill.n_samples) == ("prefill", 16, 2)
    assert (prefill.latency_ms.median, prefill.latency_ms.min) == (26.0, 25.0)
    assert prefill.tokens_per_s == pytest.approx(16 / 0.026)
    assert (decode.phase, decode.n_tokens, decode.n_samples) == ("decode", 2, 4)
    assert (decode.latency_ms.median, decode.latency_ms.mad) == (15.0, 1.0)
    assert decode.tokens_per_s == pytest.approx(1 / 0.015)


def test_warmup_is_apart() -> None:
    prefill, decode = summarize_phases(example_profile())
    for summary in (prefill, decode):
        assert summary.warmup_ms is not None and summary.warmup_ms.median == 99.0
        assert summary.latency_ms is not None and summary.latency_ms.max < 99.0


def test_overhead_is_the_ratio_of_medians() -> None:
    prefill, _ = summarize_phases(example_profile())
    assert prefill.overhead is not None
    assert prefill.overhead.ratio == pytest.approx(26.1 / 26)


def test_conservation() -> None:
    for summary, ops in zip(summarize_phases(example_profile()), (20.0, 10.0), strict=True):
        segments, profiled = summary.segments_ms, summary.profiled_latency_ms
        assert segments is not None and profiled is not None
        assert segments.host_prepare == pytest.approx(5.0)
        assert segments.ops == pytest.approx(ops)
        assert segments.copies == 0.0
        assert segments.host_finish == pytest.approx(1.0)
        assert segments.unattributed == pytest.approx(0.1)
        parts = segments.host_prepare + segments.ops + segments.copies + segments.host_finish
        assert parts + segments.unattributed == pytest.approx(profiled.mean)
        assert summary.attributed_share == pytest.approx(1 - 0.1 / profiled.mean)


def test_time_of_copies_is_a_segment_of_its_own() -> None:
    profile = example_profile()
    kind = profile.segments.kind.copy()
    # Of each step, what was its inputs is now called copies: a millisecond.
    kind[kind == SEGMENTS.index("inputs")] = SEGMENTS.index("copies")
    changed = replace(profile, segments=profile.segments.replace(kind=kind))
    for summary in summarize_phases(changed):
        segments = summary.segments_ms
        assert segments is not None
        assert segments.copies == pytest.approx(1.0)
        assert segments.host_prepare == pytest.approx(4.0)
        assert segments.unattributed == pytest.approx(0.1)


def test_time_that_two_lanes_of_a_step_share_counts_once(profile: Profile) -> None:
    runs = profile.runs
    before = ops_total_ns(profile, DECODE)
    # A second lane that begins in the middle of each run and ends 1 ms after it.
    late = runs.replace(begin_ns=(runs.begin_ns + runs.end_ns) // 2, end_ns=runs.end_ns + MS)
    both = replace(profile, runs=RunTable.concatenate([late, runs]))
    n_runs = int(np.sum(profile.steps.phase[runs.step] == DECODE))
    assert ops_total_ns(both, DECODE) == before + n_runs * MS
    # A lane that is busy only while the other is adds nothing; runs that follow each other all.
    within = replace(profile, runs=RunTable.concatenate([runs, runs.replace(end_ns=runs.end_ns)]))
    assert ops_total_ns(within, DECODE) == before
    apart = runs.replace(begin_ns=runs.end_ns + MS, end_ns=runs.end_ns + 3 * MS)
    both = replace(profile, runs=RunTable.concatenate([apart, runs]))
    assert ops_total_ns(both, DECODE) == before + n_runs * 2 * MS


def test_copies_are_a_segment_of_their_own() -> None:
    profile = example_profile()
    segments = profile.segments
    kind = segments.kind.copy()
    kind[kind == 6] = 5
    changed = replace(profile, segments=segments.replace(kind=kind))
    prefill, _ = summarize_phases(changed)
    assert prefill.segments_ms is not None
    assert (prefill.segments_ms.copies, prefill.segments_ms.host_finish) == (1.0, 0.0)


def test_a_phase_without_op_pass_has_a_headline_only() -> None:
    builder = Builder()
    builder.step(0, PASS_TIMING, 0, 0, 10 * MS)
    profile = builder.build()
    (prefill,) = summarize_phases(profile)
    assert prefill.latency_ms is not None and prefill.latency_ms.median == 10.0
    assert prefill.profiled_latency_ms is None
    assert prefill.overhead is None and prefill.segments_ms is None
    record = phase_record(prefill)
    assert record["overhead_ci95"] == [None, None]
    assert record["segments_ms"]["ops"] is None
    assert profile.phases()["latency_ms.median"].tolist() == [10.0]
    assert len(profile.ops()) == 0 and len(profile.layers()) == 0


def test_a_profile_of_nothing_has_no_phase() -> None:
    profile = Builder().build()
    assert summarize_phases(profile) == ()
    assert len(profile.phases()) == 0
    assert len(profile.segments) == 0 and isinstance(profile.segments, SegmentTable)
