"""From the events of threads to what each op cost: span, compute and wait (docs/measurement.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..profiles.data import Profile
from ..profiles.reduction import merge_stats
from ..profiles.tables import Float64, Int32, Int64, StatTable, UInt16
from ..profiles.vocabulary import PASS_OP


@dataclass(frozen=True, eq=False)
class OpSpans:
    """One element for each execution of an op, in order of run and node.

    Attributes:
        run, node, n_fused, path: as in the profile's `events`; `path` is thread 0's, or where it
            says none, the path of any other thread.
        begin_ns, span_ns: thread 0's begin, and the time to its next begin or the run's end.
        compute_ns, wait_ns: mean over the run's threads of the time in the op, and from its end
            to the thread's next begin or the run's end.
    """

    run: Int32
    node: Int32
    n_fused: UInt16
    path: Int32
    begin_ns: Int64
    span_ns: Int64
    compute_ns: Float64
    wait_ns: Float64

    def __len__(self) -> int:
        return len(self.run)


def op_spans(profile: Profile) -> OpSpans:
    """Derives the spans of all executed ops from the events of all threads."""
    events, runs = profile.events, profile.runs
    n = len(events)
    if n == 0:
        empty = np.empty(0, np.int64)
        return OpSpans(
            empty.astype(np.int32),
            empty.astype(np.int32),
            empty.astype(np.uint16),
            empty.astype(np.int32),
            empty,
            empty,
            empty.astype(np.float64),
            empty.astype(np.float64),
        )
    # Events are sorted by run, thread, begin: the next begin of a thread is the next row's.
    following = np.empty(n, np.int64)
    following[:-1] = events.begin_ns[1:]
    is_last = np.ones(n, bool)
    is_last[:-1] = (events.run[1:] != events.run[:-1]) | (events.thread[1:] != events.thread[:-1])
    following[is_last] = runs.end_ns[events.run[is_last]]

    # A node is executed once in a run: (run, node) names the execution for every thread.
    # Sorting by thread within it brings thread 0 to the front.
    lane = (events.run.astype(np.int64) << 32) | events.node
    order = np.lexsort((events.thread, lane))
    lane = lane[order]
    is_first = np.ones(n, bool)
    is_first[1:] = lane[1:] != lane[:-1]
    starts = np.flatnonzero(is_first)
    lead = order[starts]

    run = events.run[lead]
    begin = events.begin_ns[lead]
    has_thread_0 = events.thread[lead] == 0
    span = np.where(has_thread_0, np.maximum(following[lead] - begin, 0), 0)
    n_threads = runs.n_threads[run]
    duration = (events.end_ns - events.begin_ns)[order]
    waiting = np.maximum(following - events.end_ns, 0)[order]
    path = events.path[lead]
    return OpSpans(
        run=run,
        node=events.node[lead],
        n_fused=events.n_fused[lead],
        path=np.where(path >= 0, path, np.maximum.reduceat(events.path[order], starts)),
        begin_ns=begin,
        span_ns=span,
        compute_ns=np.add.reduceat(duration, starts) / n_threads,
        wait_ns=np.add.reduceat(waiting, starts) / n_threads,
    )


def reduce_spans(profile: Profile, spans: OpSpans) -> StatTable:
    """Adds up the spans of the op passes to the rows that `stats` would have, sorted by key."""
    step = profile.runs.step[spans.run]
    keep = profile.steps.pass_[step] == PASS_OP
    span = spans.span_ns[keep]
    one_row_each = StatTable.from_columns(
        {
            "phase": profile.steps.phase[step][keep],
            "graph": profile.runs.graph[spans.run][keep],
            "node": spans.node[keep],
            "n_fused": spans.n_fused[keep],
            "path": spans.path[keep],
            "calls": np.ones(len(span), np.int64),
            "span_sum_ns": span,
            "span_min_ns": span,
            "span_max_ns": span,
            "span_sq_sum": span.astype(np.float64) ** 2,
            "compute_sum_ns": spans.compute_ns[keep],
            "wait_sum_ns": spans.wait_ns[keep],
        }
    )
    return merge_stats(one_row_each)


def op_stats(profile: Profile) -> StatTable:
    """The `stats` rows of a profile: stored ones, or those that its events give."""
    if profile.meta.run["events"] == "aggregate" or len(profile.events) == 0:
        return profile.stats
    return reduce_spans(profile, op_spans(profile))
