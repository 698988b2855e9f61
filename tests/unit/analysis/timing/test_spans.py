"""Events of threads to spans, and to the rows of `stats`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import DECODE, EXECUTED, MS, PREFILL, Builder, Rows, example_profile, with_conversion

from slmprof.analysis.timing.spans import op_spans, op_stats, reduce_spans
from slmprof.profiles.tables import EventTable, StatTable
from slmprof.views import Profile


def _by_hand() -> StatTable:
    """The statistics of the example as an aggregating recorder would have written them.

    Each graph runs twice; an op takes its span in a prefill step, half of it in a decode step. Of
    a span thread 0 works for 8 tenths and thread 1 for 6.
    """
    profile = example_profile()
    rows = Rows(StatTable)
    for graph, phase in ((0, PREFILL), (1, DECODE), (2, DECODE)):
        for node, n_fused, path, span_ms in EXECUTED:
            tenth = span_ms * MS // (10 if phase == PREFILL else 20)
            rows.add(
                phase=phase,
                depth=0,
                graph=graph,
                lane=0,
                node=node,
                n_fused=n_fused,
                stage=0,
                path=profile.strings.index(path) if path else -1,
                calls=2,
                span_sum_ns=20 * tenth,
                span_min_ns=10 * tenth,
                span_max_ns=10 * tenth,
                span_sq_sum=2 * (10.0 * tenth) ** 2,
                compute_sum_ns=2 * 7 * tenth,
                compute_max_sum_ns=2 * 8 * tenth,
                wait_sum_ns=2 * 3 * tenth,
                n_experts_sum=0,
            )
    table: StatTable = rows.build()
    return table


def test_spans_of_one_run_tile_it() -> None:
    profile = example_profile()
    spans = op_spans(profile)
    of_run = spans.run == 0
    assert spans.node[of_run].tolist() == [0, 1, 3, 5, 6]
    assert spans.n_fused[of_run].tolist() == [0, 1, 0, 0, 0]
    assert spans.span_ns[of_run].tolist() == [1 * MS, 2 * MS, 10 * MS, 4 * MS, 3 * MS]
    durations = profile.runs.end_ns - profile.runs.begin_ns
    assert np.bincount(spans.run, spans.span_ns).tolist() == durations.tolist()


def test_compute_and_wait_are_means_over_threads() -> None:
    spans = op_spans(example_profile())
    # Thread 0 works for 80 % of a span and thread 1 for 60 %.
    np.testing.assert_allclose(spans.compute_ns, 0.7 * spans.span_ns)
    np.testing.assert_allclose(spans.wait_ns, 0.3 * spans.span_ns)


def test_path_of_another_thread_counts_where_thread_0_has_none() -> None:
    profile = example_profile()
    path = profile.events.path.copy()
    path[(profile.events.lane == 0) & (profile.events.node == 3)] = -1
    changed = replace(profile, events=profile.events.replace(path=path))
    assert op_spans(changed).path.tolist() == op_spans(profile).path.tolist()


def test_reduced_rows() -> None:
    stats = op_stats(example_profile())
    # Five ops in the prefill graph and in each of two decode graphs.
    assert len(stats) == 15
    assert stats.calls.tolist() == [2] * 15
    row = np.flatnonzero((stats.phase == 0) & (stats.node == 3))
    assert stats.span_sum_ns[row].tolist() == [20 * MS]
    assert stats.span_min_ns[row].tolist() == stats.span_max_ns[row].tolist() == [10 * MS]
    assert stats.span_sq_sum[row].tolist() == [2 * (10.0 * MS) ** 2]
    assert stats.compute_sum_ns[row] == pytest.approx([14 * MS])
    assert stats.wait_sum_ns[row] == pytest.approx([6 * MS])


def test_events_add_up_to_what_was_worked_out_by_hand() -> None:
    found, expected = op_stats(example_profile()).columns(), _by_hand().columns()
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-15, err_msg=name)


def test_aggregate_and_all_events_give_the_same_tables(profile: Profile) -> None:
    meta = profile.meta.replace_run(events="aggregate")
    reduced = replace(profile, meta=meta, events=EventTable.empty(), stats=_by_hand())
    pd.testing.assert_frame_equal(reduced.ops(), profile.ops())
    pd.testing.assert_frame_equal(reduced.blocks(), profile.blocks())
    pd.testing.assert_frame_equal(reduced.phases(), profile.phases())


def test_no_events_no_spans() -> None:
    profile = replace(example_profile(), events=EventTable.empty())
    assert len(op_spans(profile)) == 0
    assert len(reduce_spans(profile, op_spans(profile))) == 0
    assert len(op_stats(profile)) == 0


def test_runs_outside_op_passes_are_left_out() -> None:
    profile = example_profile()
    pass_ = profile.steps.pass_.copy()
    pass_[profile.runs.step[0]] = 0
    changed = replace(profile, steps=profile.steps.replace(**{"pass": pass_}))
    stats = op_stats(changed)
    assert stats.calls[(stats.phase == 0)].tolist() == [1] * 5


def test_one_thread_has_all_compute() -> None:
    profile = Builder().fill().build()
    alone = profile.events.take(profile.events.lane == 0)
    runs = profile.runs.replace(n_threads=np.ones(len(profile.runs), np.int32))
    spans = op_spans(replace(profile, events=alone, runs=runs))
    np.testing.assert_allclose(spans.compute_ns + spans.wait_ns, spans.span_ns)
    np.testing.assert_allclose(spans.compute_ns, 0.8 * spans.span_ns)


def test_empty_stats_merge_to_nothing() -> None:
    profile = replace(
        example_profile(),
        meta=example_profile().meta.replace_run(events="aggregate"),
        stats=StatTable.empty(),
    )
    assert len(op_stats(profile)) == 0


def test_a_conversion_ends_when_the_last_thread_has_converted_its_share() -> None:
    spans = op_spans(with_conversion(example_profile()))
    n_ops = 5 * 6
    assert len(spans) == n_ops + 6
    conversion = slice(n_ops, None)
    assert set(spans.stage[:n_ops].tolist()) == {0}
    assert set(spans.stage[conversion].tolist()) == {1}
    # The first run is a prefill: the op has 10 ms, thread 1 arrives after 2 ms of them.
    assert spans.span_ns[n_ops] == 2 * MS
    assert spans.compute_ns[n_ops] == 1.5 * MS
    assert spans.slowest_ns[n_ops] == 2 * MS
    assert spans.wait_ns[n_ops] == 0.5 * MS
    product = np.flatnonzero((spans.run == 0) & (spans.node == 3) & (spans.stage == 0))[0]
    assert spans.begin_ns[product] == spans.begin_ns[n_ops] + 2 * MS
    assert spans.span_ns[product] == 8 * MS
    # From 2 ms on, thread 0 works until 8 ms and thread 1 until 6 ms.
    assert spans.compute_ns[product] == 5 * MS
    assert spans.slowest_ns[product] == 6 * MS
    assert spans.wait_ns[product] == 3 * MS


def test_a_thread_that_tells_when_it_went_on_is_believed() -> None:
    profile = with_conversion(example_profile())
    events = profile.events
    chosen = (events.node == 3) & (events.run == 0)
    # Thread 0 was late: it went on after 2.5 ms, thread 1, the last to arrive, at once.
    resume = np.where(chosen, np.where(events.lane == 0, 5 * MS // 2, 2 * MS), 0)
    spans = op_spans(replace(profile, events=events.replace(resume_ns=resume)))
    conversion = np.flatnonzero((spans.run == 0) & (spans.stage == 1))[0]
    product = np.flatnonzero((spans.run == 0) & (spans.node == 3) & (spans.stage == 0))[0]
    assert spans.span_ns[conversion] == 2.5 * MS
    assert spans.compute_ns[conversion] == 1.5 * MS
    assert spans.wait_ns[conversion] == 0.75 * MS
    assert spans.span_ns[product] == 7.5 * MS
    assert spans.compute_ns[product] == (5.5 * MS + 4 * MS) / 2


def test_conversions_take_nothing_from_the_whole() -> None:
    profile = example_profile()
    before, after = op_spans(profile), op_spans(with_conversion(profile))
    assert np.bincount(after.run, after.span_ns).tolist() == (
        np.bincount(before.run, before.span_ns).tolist()
    )
    stats = op_stats(with_conversion(profile))
    assert stats.calls[stats.stage == 1].tolist() == [2, 2, 2]


def test_experts_are_those_of_the_thread_that_counted_them() -> None:
    profile = example_profile()
    events = profile.events
    n_experts = np.where((events.node == 3) & (events.lane == 0), 6, 0).astype(np.int32)
    changed = replace(profile, events=events.replace(n_experts=n_experts))
    spans = op_spans(changed)
    assert set(spans.n_experts[spans.node == 3].tolist()) == {6}
    stats = op_stats(changed)
    assert stats.n_experts_sum[stats.node == 3].tolist() == [12, 12, 12]
