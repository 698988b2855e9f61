"""Runs on a GPU whose kernels are recorded: what counts as op time, and what is said of it."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from builders import DECODE, MS, PREFILL
from gpu_builder import (
    COPIED_BYTES,
    DEVICE_GAP_NS,
    GAPS_NS,
    HOST_NS,
    LAUNCH_NS,
    N_KERNELS,
    NAME,
    STRAY_NS,
    gpu_profile,
    kernels_ms,
)

from slmprof.analysis.comparison.comparison import summarize_all
from slmprof.analysis.comparison.setup import obstacles
from slmprof.analysis.tables.ops import op_table
from slmprof.analysis.timing.devices import as_run_pass, devices, serialized_devices, traced
from slmprof.analysis.timing.phases import summarize_phases
from slmprof.analysis.timing.spans import op_spans, reduce_spans
from slmprof.analysis.timing.traces import summarize_traces
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.errors import ProfileFormatError
from slmprof.profiles.merging import merge_processes
from slmprof.profiles.selection import select_repeat
from slmprof.profiles.validation import check_profile
from slmprof.profiles.vocabulary import PASS_OP
from slmprof.reporters.documents.runs.run import run_document
from slmprof.reporters.renderers import render
from slmprof.views import Profile

pytestmark = pytest.mark.usefixtures("by_name")


@pytest.fixture
def gpu() -> Profile:
    made: Profile = gpu_profile()
    check_profile(made)
    return made


def test_a_gpu_is_no_device_that_runs_ops_one_by_one(gpu: Profile) -> None:
    assert serialized_devices(gpu) == ()
    assert traced(gpu) and devices(gpu) == ("CPU", NAME)
    assert as_run_pass(gpu) == PASS_OP


def test_kernels_gaps_and_host_are_the_whole_step(gpu: Profile) -> None:
    for summary in summarize_phases(gpu):
        parts = summary.segments_ms
        assert parts is not None and summary.profiled_latency_ms is not None
        assert parts.gaps == pytest.approx(GAPS_NS / MS)
        whole = (
            parts.host_prepare + parts.ops + parts.gaps + parts.copies + parts.host_finish
            + parts.unattributed
        )  # fmt: skip
        assert whole == pytest.approx(summary.profiled_latency_ms.mean)
        ops = op_table(gpu)
        mine = ops[ops["phase"] == summary.phase]
        assert mine["time_ms"].sum() == pytest.approx(parts.ops)
        # A kernel of no op is device time, and time of no op.
        rest = mine[mine["op"] == "STRAY_KERNELS"]
        assert rest["time_ms"].tolist() == pytest.approx([STRAY_NS / MS])


def test_each_kernel_of_an_op_has_a_row(gpu: Profile) -> None:
    ops = op_table(gpu)
    mine = ops[(ops["device"] == NAME) & (ops["phase"] == "decode")]
    found = mine.set_index("kernel")[["op", "tensor", "impl", "part", "calls"]].to_dict("index")
    assert set(found) == {"mul_mat_vec_f", "quantize_q8", "mul_mat_vec_q"}
    product = found["mul_mat_vec_q"]
    assert (product["tensor"], product["impl"]) == ("result_output", "mul_mat_vec_q<Q6_K, 1>")
    assert found["quantize_q8"]["tensor"] == "result_output"
    assert found["quantize_q8"]["part"] == "quantize_q8"
    assert {row["calls"] for row in found.values()} == {1.0}
    # The op's work is that of the kernel that takes longest, and counted once.
    work = mine.set_index("kernel")["flops"]
    assert work["mul_mat_vec_q"] > 0 and np.isnan(work["quantize_q8"])


def test_kernels_that_overlap_count_once(gpu: Profile) -> None:
    first, second = (int(row) for row in np.flatnonzero(gpu.events.lane == 2)[:2])
    begin = gpu.events.begin_ns.copy()
    begin[second] = gpu.events.begin_ns[first] + 1  # on another stream
    overlapping = replace(gpu, events=gpu.events.replace(begin_ns=begin))
    spans = op_spans(overlapping)
    kernels = np.flatnonzero(np.isin(spans.begin_ns, begin[[first, second]]))
    took = gpu.events.end_ns - begin
    assert spans.span_ns[kernels].sum() == gpu.events.end_ns[second] - begin[first]
    assert spans.compute_ns[kernels].sum() == took[first] + took[second]


def test_statistics_of_kernels_are_those_of_their_events(gpu: Profile) -> None:
    counted = reduce_spans(gpu, op_spans(gpu))
    kept = replace(
        gpu, stats=counted, events=gpu.events.empty(),
        meta=gpu.meta.replace_run(events="aggregate"),
    )  # fmt: skip
    columns = ["phase", "op", "kernel", "impl", "tensor", "calls", "time_ms"]
    assert op_table(kept)[columns].equals(op_table(gpu)[columns])


def test_what_the_records_tell(gpu: Profile) -> None:
    for summary, phase in zip(summarize_traces(gpu), (PREFILL, DECODE), strict=True):
        assert summary.joined_share == pytest.approx(
            kernels_ms(phase) / (kernels_ms(phase) + STRAY_NS / MS)
        )
        assert set(summary.ways) - {name for name, n in summary.ways.items() if n == 0} == {"clone"}
        assert summary.gaps_ms["host"] == pytest.approx(HOST_NS / MS)
        assert summary.gaps_ms["launch"] == pytest.approx(LAUNCH_NS / MS)
        assert summary.gaps_ms["device"] == pytest.approx((N_KERNELS - 1) * DEVICE_GAP_NS / MS)
        assert [(s.kernel, s.calls) for s in summary.strays] == [("set_up", 1.0)]
        assert summary.clock_error_ns == 1500


def test_copies_and_fills_are_listed_by_kind(gpu: Profile) -> None:
    for summary in summarize_traces(gpu):
        (copied,) = summary.transfers
        assert (copied.kind, copied.calls, copied.n_joined) == ("host_to_device", 2.0, 1.0)
        assert copied.bytes == COPIED_BYTES and copied.time_ms == pytest.approx(1 / 50)
    shown = break_down(gpu)
    text = _text(shown)
    assert "Copies and fills of the GPU" in text and "host to device" in text
    assert run_document(shown, is_full=False).data()["traces"][0]["transfers"][0]["calls"] == 2.0


def test_more_copies_of_ops_than_copies_are_refused(gpu: Profile) -> None:
    with pytest.raises(ProfileFormatError, match=r"transfers\.n_joined"):
        check_profile(
            replace(gpu, transfers=gpu.transfers.replace(n_joined=gpu.transfers.calls + 1))
        )


def test_a_comparison_says_that_a_join_is_not_whole(gpu: Profile) -> None:
    whole = replace(gpu, traces=gpu.traces.replace(joined_ns=gpu.traces.kernel_ns))
    low = replace(gpu, traces=gpu.traces.replace(joined_ns=gpu.traces.kernel_ns * 9 // 10))
    one, other, third = summarize_all({"a": [whole], "b": [low], "c": [whole]})
    said = [obstacle.reason for obstacle in obstacles(one, other, [])]
    assert "b: 90.0% of the time of decode's kernels is joined to ops" in said
    assert not any("joined" in obstacle.reason for obstacle in obstacles(one, third, []))


def test_a_join_that_is_not_whole_is_said_with_every_table(gpu: Profile) -> None:
    low = gpu.traces.replace(joined_ns=gpu.traces.kernel_ns * 9 // 10)
    made = break_down(replace(gpu, traces=low))
    assert any("90.0% of the time of decode's kernels" in text for text in made.caveats)
    text = _text(made)
    assert "90.0% of prefill's and 90.0% of decode's is joined to ops" in " ".join(text.split())
    whole = _text(
        break_down(replace(gpu, traces=gpu.traces.replace(joined_ns=gpu.traces.kernel_ns)))
    )
    assert "is joined to ops" not in whole
    assert "100.00% of their time joined to ops" in whole


def test_shares_are_withheld_where_recording_changes_the_run(gpu: Profile) -> None:
    steps = gpu.steps
    slower = steps.end_ns - steps.begin_ns
    is_op = steps.pass_ == PASS_OP
    for part, expected in ((0.04, False), (0.15, True)):
        timed = steps.pass_ == 1
        end = steps.end_ns.copy()
        for phase in (PREFILL, DECODE):
            mine = steps.phase == phase
            wall = int(slower[is_op & mine].mean() / (1 + part))
            end[timed & mine] = steps.begin_ns[timed & mine] + wall
        made = break_down(replace(gpu, steps=steps.replace(end_ns=end)))
        assert [s.withholds_shares for s in made.phases] == [expected] * 2
        said = [text for text in made.caveats if "longer" in text or "slowed" in text]
        assert len(said) == int(expected)
        assert not expected or "decode 15 %" in said[0]


def test_three_latencies(gpu: Profile) -> None:
    for summary in summarize_phases(gpu):
        assert summary.as_run is None
        assert summary.graphs_latency_ms is not None and summary.profiled_latency_ms is not None
        assert summary.graphs_latency_ms.median == pytest.approx(summary.profiled_latency_ms.median)
    text = _text(break_down(gpu))
    for name in ("unobserved", "with records of graphs", "with records of kernels"):
        assert name in text


def test_processes_and_repeats_keep_their_kernels(gpu: Profile) -> None:
    both = merge_processes([gpu, gpu])
    assert len(both.launches) == 2 * len(gpu.launches)
    n = len(gpu.launches)
    assert np.array_equal(both.launches.run[n:], gpu.launches.run + len(gpu.runs))
    one = select_repeat(gpu, 0)
    check_profile(one)
    assert 0 < len(one.launches) < n
    assert summarize_traces(one)[0].joined_share == summarize_traces(gpu)[0].joined_share


def test_a_stray_kernel_may_have_no_run(gpu: Profile) -> None:
    is_stray = gpu.launches.node < 0
    run = np.where(is_stray, -1, gpu.launches.run)
    alone = replace(gpu, launches=gpu.launches.replace(run=run))
    check_profile(alone)
    assert (merge_processes([gpu, alone]).launches.run == -1).sum() == is_stray.sum()
    assert (select_repeat(alone, 1).launches.run == -1).any()


def test_launches_that_lead_nowhere_are_refused(gpu: Profile) -> None:
    launches = gpu.launches
    n = len(launches)
    wrong = {
        "node": np.full(n, 7),
        "n_fused": np.full(n, 3),
        "run": np.full(n, -1),
        "way": np.full(n, 7),
    }
    for name, values in wrong.items():
        with pytest.raises(ProfileFormatError, match="launches"):
            check_profile(replace(gpu, launches=launches.replace(**{name: values})))
    with pytest.raises(ProfileFormatError, match="gap"):
        check_profile(
            replace(gpu, runs=gpu.runs.replace(gap_host_ns=np.full(len(gpu.runs), 2**40)))
        )


def _text(made: object) -> str:
    stream = io.StringIO()
    render(run_document(made, is_full=True), "table", stream)  # type: ignore[arg-type]
    return stream.getvalue()
