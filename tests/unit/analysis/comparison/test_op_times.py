"""Times of ops, repeat by repeat: medians of steps, and what is left out of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from disturbance_builder import N_REPEATS, At, disturbed_profile

from slmprof.analysis.comparison.op_times import OpTimes, _typical
from slmprof.analysis.comparison.places import BLOCK, KERNEL, LATENCY, Place
from slmprof.analysis.comparison.samples import summarize_subject
from slmprof.analysis.timing.disturbance import keeps_statistics, split_repeats, undisturbed
from slmprof.analysis.timing.spans import op_stats
from slmprof.profiles.data import ProfileData
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING
from slmprof.views import Profile

ATTENTION = {phase: Place(BLOCK, phase, "attention", block="attention")
             for phase in ("prefill", "decode")}  # fmt: skip


def quiet() -> Profile:
    return disturbed_profile(lambda _: 0.0)


def slow(at: At, repeats: tuple[int, ...], extra_ms: float) -> float:
    """One phase of an op pass, in whole repeats."""
    return extra_ms if at.pass_ == PASS_OP and at.repeat in repeats else 0.0


def test_steps_that_are_alike_have_the_times_of_the_op_table() -> None:
    profile = quiet()
    times = OpTimes(profile.data).of(profile.data)
    blocks = profile.blocks()
    expected = {
        (row.phase, row.block): row.time_ms for row in blocks.itertuples() if row.time_ms > 0
    }
    found = {(p.phase, p.name): ms for p, ms in times.items() if p.what == BLOCK}
    assert found == pytest.approx(expected)
    # Of several codes each has a row.
    kernels = profile.kernels().groupby(["phase", "kernel"])["time_ms"].sum().to_dict()
    summed = {(p.phase, p.name): ms for p, ms in times.items() if p.what == KERNEL and not p.impl}
    assert {key: summed[key] for key in kernels} == pytest.approx(kernels)


def test_each_repeat_has_its_own_time() -> None:
    subject = summarize_subject("a", [disturbed_profile(lambda at: slow(at, (1,), 0.1))], 0)
    usual = summarize_subject("a", [quiet()], 0)
    times, expected = subject.times[ATTENTION["decode"]], usual.times[ATTENTION["decode"]]
    assert times.shape == expected.shape == (1, N_REPEATS)
    assert (times - expected)[0] == pytest.approx([0, 0.1, 0, 0, 0], abs=1e-9)
    latency = Place(LATENCY, "decode", "decode")
    assert subject.times[latency] == pytest.approx(usual.times[latency])


def test_a_few_long_steps_do_not_count() -> None:
    # Not by so much that they would be disturbed.
    often = disturbed_profile(lambda at: 0.1 if at.pass_ == PASS_OP and at.index % 5 == 0 else 0.0)
    found = summarize_subject("a", [often], 0).times[ATTENTION["decode"]]
    assert found == pytest.approx(summarize_subject("a", [quiet()], 0).times[ATTENTION["decode"]])


def test_a_repeat_alone_does_not_tell_what_disturbed_it() -> None:
    """A prompt of one repeat is long beside those of the others."""
    profile = disturbed_profile(lambda at: slow(at, (3,), 1e3) if at.phase == 0 else 0.0)
    parts = split_repeats(profile.data)
    flags, of_op = undisturbed(profile.data), profile.steps.pass_ == PASS_OP
    chosen = of_op & (profile.steps.phase == 0)
    assert flags[chosen].tolist() == [True, True, True, False, True]
    kept = [undisturbed(part)[(part.steps.pass_ == PASS_OP) & (part.steps.phase == 0)]
            for part in parts]  # fmt: skip
    assert [of.tolist() for of in kept] == [[True], [True], [True], [False], [True]]
    times = summarize_subject("a", [profile], 0).times[ATTENTION["prefill"]][0]
    assert np.isnan(times).tolist() == [False, False, False, True, False]


def test_kept_statistics_are_those_of_all_repeats() -> None:
    data = quiet().data
    run = data.meta.run.replace(events="aggregate")
    kept: ProfileData = replace(
        data, meta=data.meta.replace(run=run), stats=op_stats(data), events=data.events.take([])
    )
    assert keeps_statistics(kept)
    subject = summarize_subject("a", [Profile.of(kept)], 0)
    times = subject.times[ATTENTION["decode"]][0]
    assert times[0] == pytest.approx(OpTimes(data).of(data)[ATTENTION["decode"]])
    assert np.isnan(times[1:]).all() and len(times) == N_REPEATS


def test_nothing_may_be_left_to_compare() -> None:
    """Statistics of two processes together, and no step without hooks."""
    data = quiet().data
    run = data.meta.run.replace(events="aggregate")
    steps = data.steps
    half = np.where(np.arange(len(steps)) % 2, 1, 0).astype(np.int32)
    hooked = np.where(steps.pass_ == PASS_TIMING, PASS_OP, steps.pass_).astype(np.uint8)
    kept: ProfileData = replace(
        data,
        meta=data.meta.replace(run=run),
        steps=steps.replace(**{"process": half, "pass": hooked}),
        stats=op_stats(data),
        events=data.events.take([]),
    )
    subject = summarize_subject("a", [Profile.of(kept)], 0)
    assert (subject.times, subject.has_ops, subject.n_processes) == ({}, False, 2)


def test_what_runs_in_some_steps_counts_for_its_share() -> None:
    nan = np.nan
    rows = np.array([[1.0, 2.0, 3.0, 9.0], [4.0, nan, 6.0, nan], [nan, nan, nan, 8.0]])
    assert _typical(rows).tolist() == [2.5, 5.0 * 2 / 4, 8.0 / 4]
