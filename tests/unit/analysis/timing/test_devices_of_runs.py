"""Steps that run on several devices: what counts as op time, and what is shown of which passes."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from builders import DECODE, MS, PREFILL, example_profile
from device_builder import COPY_NS, DEVICE, TOLD_NS, device_profile

from slmprof.analysis.comparison.comparison import summarize_all
from slmprof.analysis.comparison.matching import matched
from slmprof.analysis.comparison.setup import obstacles
from slmprof.analysis.tables.ops import op_table
from slmprof.analysis.tables.splits import copy_table, split_table
from slmprof.analysis.timing.coverage import Coverage
from slmprof.analysis.timing.devices import devices, on_cpu, serialized_devices
from slmprof.analysis.timing.phases import op_steps, summarize_phases
from slmprof.analysis.timing.spans import op_spans, reduce_spans
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.analysis.verdicts.sweep import summarize_point
from slmprof.profiles.merging import merge_processes
from slmprof.profiles.vocabulary import PASS_OP, PASS_SPLIT
from slmprof.reporters.documents.sweep import sweep_document
from slmprof.reporters.renderers import render
from slmprof.views import Profile

pytestmark = pytest.mark.usefixtures("by_name")


@pytest.fixture
def remote() -> Profile:
    made: Profile = device_profile()
    return made


def test_a_device_is_named_where_splits_ran_on_it(remote: Profile) -> None:
    assert serialized_devices(remote) == (DEVICE,)
    assert devices(remote) == ("CPU", DEVICE)
    assert serialized_devices(example_profile()) == ()
    assert devices(example_profile()) == ("CPU",)


def test_steps_as_they_run_and_op_by_op(remote: Profile) -> None:
    prefill, decode = summarize_phases(remote)
    assert prefill.as_run is not None and decode.as_run is not None
    # The example's spans are 20 ms, and an empty graph takes one for each of two ops.
    assert prefill.as_run.segments_ms.ops == pytest.approx(20)
    assert decode.as_run.segments_ms.ops == pytest.approx(10)
    assert prefill.segments_ms is not None and prefill.segments_ms.ops == pytest.approx(22)
    for segments in (prefill.segments_ms, prefill.as_run.segments_ms):
        assert segments.host_prepare == pytest.approx(5)
        assert segments.copies == pytest.approx(COPY_NS / MS)
        # The device ran while the host had its outputs before it.
        assert segments.host_finish == pytest.approx(1)
        assert segments.unattributed == pytest.approx(TOLD_NS / MS)
    assert prefill.recorded_ms == prefill.as_run.latency_ms
    assert prefill.overhead is not None and prefill.latency_ms is not None
    assert prefill.overhead.ratio == pytest.approx(26.6 / prefill.latency_ms.median)


def test_the_table_of_phases_has_a_column_for_each_figure(remote: Profile) -> None:
    table = remote.phases().set_index("phase")
    assert table.loc["prefill", "as_run.segments_ms.ops"] == pytest.approx(20)
    assert table.loc["prefill", "as_run.n_samples"] == 2
    assert table.loc["decode", "as_run.latency_ms.median"] == pytest.approx(16.6)
    plain = example_profile().phases()
    assert plain.dtypes.to_dict() == remote.phases().dtypes.to_dict()
    assert plain["as_run.latency_ms.median"].isna().all()


def test_a_comparison_gives_no_verdict_on_ops_that_ran_one_by_one(remote: Profile) -> None:
    a, b = summarize_all({"a": [remote], "b": [remote]})
    reasons = [one.reason for one in obstacles(a, b, matched(a, b))]
    assert f"serialized: {DEVICE} ran the ops of a one by one, not as they run" in reasons


def test_a_sweep_says_so_at_its_blocks(remote: Profile) -> None:
    stream = io.StringIO()
    render(sweep_document([summarize_point("p.slmprof", remote)], ()), "table", stream)
    assert "profiled, serialized" in stream.getvalue() or "blocks, serialized" in stream.getvalue()


def test_ops_of_a_device_are_without_what_an_empty_graph_takes(remote: Profile) -> None:
    ops = op_table(remote)
    prefill = ops[ops["phase"] == "prefill"].set_index("tensor")["time_ms"]
    assert prefill["kq-0"] == pytest.approx(4)
    assert prefill["result_output"] == pytest.approx(3)
    rest = ops[ops["op"] == "SERIALIZATION"].set_index("phase")
    assert rest.loc["prefill", "time_ms"] == pytest.approx(2)
    assert rest.loc["prefill", "kernel"] == "serialization"
    for summary in summarize_phases(remote):
        assert summary.segments_ms is not None
        mine = ops[ops["phase"] == summary.phase]
        assert mine["time_ms"].sum() == pytest.approx(summary.segments_ms.ops)
    on_device = ops[ops["device"] == DEVICE]
    assert set(on_device["tensor"]) == {"kq-0", "result_output"}
    assert set(on_device["backend"]) == {DEVICE}
    assert (on_device["wait_ms"] == 0).all()


def test_kept_statistics_say_the_same(remote: Profile) -> None:
    stats = reduce_spans(remote, op_spans(remote))
    kept = replace(
        remote,
        meta=remote.meta.replace_run(events="aggregate"),
        stats=stats,
        events=remote.events.take(slice(0, 0)),
    )
    columns = ["phase", "op", "tensor", "time_ms", "device"]
    assert op_table(kept)[columns].equals(op_table(remote)[columns])


def test_splits_are_of_steps_as_they_run(remote: Profile) -> None:
    splits = split_table(remote).set_index(["phase", "device"])
    assert splits.loc[("prefill", "CPU"), "time_ms"] == pytest.approx(13)
    assert splits.loc[("prefill", DEVICE), "time_ms"] == pytest.approx(7)
    assert splits.loc[("decode", DEVICE), "time_ms"] == pytest.approx(3.5)
    assert splits["n_nodes"].tolist() == [5, 2, 5, 2]
    assert splits.loc[("prefill", "CPU"), "first_layer"] == 0
    copies = copy_table(remote)
    assert copies["bytes"].tolist() == [1024.0, 1024.0]
    assert copies["time_ms"].tolist() == [0.5, 0.5]
    assert copies["source"].tolist() == ["CPU", "CPU"]


def test_a_profile_of_one_device_has_one_split_a_graph() -> None:
    splits = split_table(example_profile())
    assert splits["device"].tolist() == ["CPU", "CPU"]
    assert splits["calls"].tolist() == [1.0, 1.0]
    assert copy_table(example_profile()).empty


def test_two_processes_have_the_splits_of_one(remote: Profile) -> None:
    merged = Profile.of(merge_processes([remote, remote]))
    assert len(merged.splits) == len(remote.splits)
    assert len(merged.lanes) == len(remote.lanes)
    assert merged.runs.split.tolist() == 2 * remote.runs.split.tolist()
    assert split_table(merged).equals(split_table(remote))


def test_splits_of_graphs_that_only_the_second_process_had(remote: Profile) -> None:
    first = replace(
        remote,
        **{
            name: getattr(remote, name).take(slice(0, 0))
            for name in ("runs", "copies", "events", "segments")
        },
        graphs=remote.graphs.take(slice(0, 1)),
        splits=remote.splits.take(slice(0, 2)),
        tensors=remote.tensors.take(remote.tensors.graph == 0),
    )
    merged = merge_processes([first, remote])
    assert merged.splits.graph.tolist() == [0, 0, 1, 1, 2, 2]
    assert merged.runs.split.tolist() == remote.runs.split.tolist()


def test_what_lanes_do_at_once_counts_once(remote: Profile) -> None:
    chosen = op_steps(remote, PREFILL)
    runs = remote.runs
    # The device begins a millisecond before the CPU is done.
    begin = np.where(on_cpu(remote), runs.begin_ns, runs.begin_ns - COPY_NS - MS)
    overlapping = replace(remote, runs=runs.replace(begin_ns=begin))
    n_steps = int(chosen.sum())
    before, after = Coverage(remote, chosen), Coverage(overlapping, chosen)
    assert after.total_ns == before.total_ns + n_steps * COPY_NS


def test_within_a_span_there_is_no_more_than_its_length(remote: Profile) -> None:
    chosen = op_steps(remote, DECODE)
    coverage = Coverage(remote, chosen)
    rows = np.flatnonzero(chosen)
    begin, end = remote.steps.begin_ns[rows], remote.steps.end_ns[rows]
    assert coverage.within(rows, begin, end).sum() == coverage.total_ns
    assert (coverage.within(rows, begin, begin) == 0).all()
    nothing = Coverage(remote, np.zeros(len(remote.steps), bool))
    assert nothing.total_ns == 0
    assert nothing.within(rows, begin, end).tolist() == [0] * len(rows)


def test_the_report_says_of_which_run_its_times_are(remote: Profile) -> None:
    breakdown = break_down(remote)
    assert breakdown.serialized == (DEVICE,)
    assert breakdown.contradictions[-1].startswith(f"serialized: {DEVICE} ran ops one by one")
    assert "prefill 28.6 for 26.6 ms" in breakdown.contradictions[-1]
    assert set(remote.steps.pass_.tolist()) >= {PASS_OP, PASS_SPLIT}
    assert break_down(example_profile()).serialized == ()
