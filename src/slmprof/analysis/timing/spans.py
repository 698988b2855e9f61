"""From the events of lanes to what each op cost: span, compute and wait (docs/measurement.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.reduction import merge_stats
from ...profiles.schema import Float64, Int32, Int64, UInt8, UInt16
from ...profiles.tables import EventTable, RunTable, StatTable
from ...profiles.vocabulary import CPU_THREAD, GPU, PASS_OP, STAGE_CONVERSION, STAGE_OP
from .devices import lanes_of_kind
from .disturbance import keeps_statistics, undisturbed

Flags = npt.NDArray[np.bool_]

_LONGEST_RUN_NS = np.int64(2**42)  # more than an hour; so many runs still fit 64 bits


@dataclass(frozen=True, eq=False)
class OpSpans:
    """One element for each execution of an op, and one for the conversion of activations in it.

    Executions stand first, in order of run and node; conversions follow in the same order.

    Attributes:
        run, node, n_fused: as in the profile's `events`.
        stage: of `vocabulary.STAGES`.
        path: the code that ran: the leading lane's, or where it says none, that of any other lane.
        begin_ns, span_ns: the leading lane's begin (the run's first lane), and the time to its next
            begin or the run's end. A conversion ends, and the product proper begins, when the last
            lane has converted its share. A device's op lasts until its end was seen, less what an
            empty graph takes (`runs.empty_ns`). An op that the leading lane has no event of has no
            span: its time is in the spans of that lane's ops. Each kernel of a GPU is an execution
            of its own; what it shares with kernels that began before it is theirs.
        compute_ns, wait_ns: mean over the lanes that have the op of the time at work, and from its
            end to the lane's next begin or the run's end.
        slowest_ns: time at work of the slowest lane.
        n_experts: experts that the op read; 0 where it routes nothing.
    """

    run: Int32
    node: Int32
    n_fused: UInt16
    stage: UInt8
    path: Int32
    begin_ns: Int64
    span_ns: Int64
    compute_ns: Float64
    wait_ns: Float64
    slowest_ns: Float64
    n_experts: Int32

    def __len__(self) -> int:
        return len(self.run)


def op_spans(profile: ProfileData) -> OpSpans:
    """Derives the spans of all executed ops from the events of all lanes."""
    on_gpu = lanes_of_kind(profile, GPU)[profile.events.lane]
    kernels = _kernel_spans(profile.events.take(on_gpu))
    if np.all(on_gpu):
        return kernels
    on_device = ~lanes_of_kind(profile, CPU_THREAD)
    spans = _Executions(profile.events.take(~on_gpu), profile.runs, on_device).spans()
    return _joined(spans, kernels) if len(kernels) else spans


def _kernel_spans(kernels: EventTable) -> OpSpans:
    """The spans of kernels, of which each one is an execution."""
    n = len(kernels)
    took = kernels.end_ns - kernels.begin_ns
    span = took
    if n:
        is_first = np.diff(kernels.run, prepend=-1) != 0
        number = np.cumsum(is_first) - 1
        origin = kernels.begin_ns[is_first][number]
        end = np.minimum(kernels.end_ns - origin, _LONGEST_RUN_NS)
        # Each run on a stretch of time of its own: until when kernels have covered it so far.
        stretch = number * (end.max() + 1)
        covered = np.maximum.accumulate(end + stretch) - stretch
        before = np.where(is_first, 0, np.concatenate([[0], covered[:-1]]))
        span = np.maximum(end - np.maximum(kernels.begin_ns - origin, before), 0)
    return OpSpans(
        run=kernels.run,
        node=kernels.node,
        n_fused=kernels.n_fused,
        stage=np.full(n, STAGE_OP, np.uint8),
        path=kernels.path,
        begin_ns=kernels.begin_ns,
        span_ns=span,
        compute_ns=took.astype(np.float64),
        wait_ns=np.zeros(n),
        slowest_ns=took.astype(np.float64),
        n_experts=np.zeros(n, np.int32),
    )


class _Executions:
    """The events grouped by execution: by run and node, lanes in their order.

    Every per-event array below is in that order; `starts` is where each execution begins.
    """

    def __init__(self, events: EventTable, runs: RunTable, on_device: Flags) -> None:
        n = len(events)
        # Events are sorted by run, lane, begin: the next begin of a lane is the next row's.
        following = np.empty(n, np.int64)
        following[:-1] = events.begin_ns[1:]
        is_last = np.ones(n, bool)
        is_last[:-1] = (events.run[1:] != events.run[:-1]) | (events.lane[1:] != events.lane[:-1])
        following[is_last] = runs.end_ns[events.run[is_last]]
        # A device waits for nobody; what an empty graph takes there is not the op's.
        ended = np.maximum(events.end_ns - runs.empty_ns[events.run], events.begin_ns)
        following = np.where(on_device[events.lane], ended, following)
        events = events.replace(end_ns=np.where(on_device[events.lane], ended, events.end_ns))

        # A node is executed once in a run: (run, node) names the execution for every lane. The
        # rows of a lane are in order already, of which a stable sort makes good use.
        execution = (events.run.astype(np.int64) << 32) | events.node
        order = np.argsort(execution, kind="stable")
        execution = execution[order]
        is_first = np.ones(n, bool)
        is_first[1:] = execution[1:] != execution[:-1]
        self.starts = np.flatnonzero(is_first)
        self.group = np.cumsum(is_first) - 1
        self.events = events.take(order)
        self.following = following[order]
        self.run = self.events.run[self.starts]
        self.n_lanes = np.diff(self.starts, append=n)
        self.leading_lane = runs.lane[self.run]

    def spans(self) -> OpSpans:
        events, starts = self.events, self.starts
        begin = events.begin_ns[starts]
        span = np.maximum(self.following[starts] - begin, 0)
        span[events.lane[starts] != self.leading_lane] = 0

        converting = events.convert_ns > 0
        # Unless they tell, all lanes pass the barrier after the conversion when the last one
        # arrives there.
        arrival = np.where(converting, events.begin_ns + events.convert_ns, 0)
        passed = np.maximum.reduceat(arrival, starts)[self.group]
        passed = np.where(events.resume_ns > 0, events.begin_ns + events.resume_ns, passed)
        converted = np.clip(passed[starts] - begin, 0, span) * (passed[starts] > 0)
        resumed = np.where(
            converting, np.clip(passed, events.begin_ns, events.end_ns), events.begin_ns
        )
        ops = self._rows(
            STAGE_OP, slice(None), events.path, begin + converted, span - converted,
            events.end_ns - resumed, np.maximum(self.following - events.end_ns, 0),
        )  # fmt: skip
        chosen = np.flatnonzero(converted > 0)
        if len(chosen) == 0:
            return ops
        conversions = self._rows(
            STAGE_CONVERSION, chosen, events.convert, begin, converted, events.convert_ns,
            np.maximum(resumed - events.begin_ns - events.convert_ns, 0),
        )  # fmt: skip
        return _joined(ops, conversions)

    def _rows(
        self,
        stage: int,
        chosen: slice | npt.NDArray[np.intp],
        path: Int32,
        begin_ns: Int64,
        span_ns: Int64,
        busy_ns: Int64,
        waiting_ns: Int64,
    ) -> OpSpans:
        """The chosen executions; path, busy and waiting time are given for each event."""
        events, starts = self.events, self.starts
        run = self.run[chosen]
        lead = path[starts]
        return OpSpans(
            run=run,
            node=events.node[starts][chosen],
            n_fused=events.n_fused[starts][chosen],
            stage=np.full(len(run), stage, np.uint8),
            path=np.where(lead >= 0, lead, np.maximum.reduceat(path, starts))[chosen],
            begin_ns=begin_ns[chosen],
            span_ns=span_ns[chosen],
            compute_ns=(np.add.reduceat(busy_ns, starts) / self.n_lanes)[chosen],
            wait_ns=(np.add.reduceat(waiting_ns, starts) / self.n_lanes)[chosen],
            slowest_ns=np.maximum.reduceat(busy_ns, starts)[chosen].astype(np.float64),
            n_experts=np.maximum.reduceat(events.n_experts, starts)[chosen],
        )


def _joined(first: OpSpans, second: OpSpans) -> OpSpans:
    names = OpSpans.__dataclass_fields__
    return OpSpans(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    )


def reduce_spans(
    profile: ProfileData, spans: OpSpans, counted: npt.NDArray[np.bool_] | None = None
) -> StatTable:
    """Adds up the spans of the op passes to the rows that `stats` would have, sorted by key.

    Args:
        counted: bool[n_steps]: the steps to add up, where not all are.
    """
    if counted is None:
        counted = profile.steps.pass_ == PASS_OP
    step = profile.runs.step[spans.run]
    keep = counted[step]
    span = spans.span_ns[keep]
    one_row_each = StatTable.from_columns(
        {
            "phase": profile.steps.phase[step][keep],
            "depth": profile.steps.depth[step][keep],
            "graph": profile.runs.graph[spans.run][keep],
            "lane": profile.runs.lane[spans.run][keep],
            **{n: getattr(spans, n)[keep] for n in ("node", "n_fused", "stage", "path")},
            "calls": np.ones(len(span), np.int64),
            "span_sum_ns": span,
            "span_min_ns": span,
            "span_max_ns": span,
            "span_sq_sum": span.astype(np.float64) ** 2,
            "compute_sum_ns": spans.compute_ns[keep],
            "compute_max_sum_ns": spans.slowest_ns[keep],
            "wait_sum_ns": spans.wait_ns[keep],
            "n_experts_sum": spans.n_experts[keep].astype(np.int64),
        }
    )
    return merge_stats(one_row_each)


def op_stats(profile: ProfileData) -> StatTable:
    """The `stats` rows of a profile, of undisturbed steps: stored ones, or of its events."""
    if keeps_statistics(profile):
        return profile.stats
    counted = (profile.steps.pass_ == PASS_OP) & undisturbed(profile)
    return reduce_spans(profile, op_spans(profile), counted)
