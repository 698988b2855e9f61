"""slmprof's times against an independent witness: Linux perf.

The same steps are recorded by slmprof's hooks and, at the same time, sampled by `perf record -e
cpu-clock`. For each `impl`, the share of compute time that slmprof reports is compared with the
share of the samples whose functions belong to that path: ours are clock readings around ops,
labelled by hooks at ggml's branches; the witness knows neither ops nor hooks, only which function
the processor was in. See docs/accuracy.md.

    agreement = 1 - |share by slmprof - share by perf| / share by perf

A few samples lie in code that several paths share (the loop over the graph, the body of a product
around its kernel, the way into a barrier). They are given to the path that slmprof recorded at that
moment; the column `own` says which part of a path's samples did not need that. Of the others, `in
time` says which part slmprof had recorded under the same path at the very moment of the sample.
Waiting at barriers is left out of the shares and has a row of its own, whose share is of all time.

A timer of one period meets what repeats with about that period, as the layers of a model do, more
often at some places than at others. So there are several recordings, each at another frequency; the
shares are means over them, and `error` is the standard error of perf's mean.

Needs perf and a build that has its symbols; stops with status 3 where either is missing.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from perf_paths import SHARED, WAIT, path_of_impl, path_of_stack
from perf_samples import NoPerfError, Samples, check_perf, check_symbols, record, sampling
from reporting import Bar, add_models, model_text, parser, publish

import slmprof
from slmprof.models.resolve import resolve_model
from slmprof.profiles.vocabulary import PASS_WARMUP, PHASES

_LEAST_AGREEMENT = 0.98
_LEAST_PERCENT = 5.0
# Of the smaller paths the difference of the shares is held, in points.
_MOST_POINTS = 0.4
_LEAST_PERCENT_OF_POINTS = 1.0
_LOWEST_HZ, _HIGHEST_HZ = 4000, 12000
_SHOWN_PERCENT = 0.2
_LEAST_PRESENCE = 0.95
_LEAST_SECONDS = 1.0
_NO_WITNESS = 3

Times = npt.NDArray[np.int64]
Labels = npt.NDArray[np.object_]


def run_steps(
    model: str, threads: int, clock: str, seconds: float, output: Path, pipes: list[Path]
) -> None:
    """In the recorded process: prompts, then generations, each for so long; saves the profile."""
    n_prompt, n_gen = 64, 64
    settings = {"n_ctx": 256, "threads": threads, "clock": clock, "events": "all"}
    with slmprof.Session(model, **settings) as session:

        def prefill() -> None:
            session.rewind(0)
            session.prefill(n_prompt)

        def decode() -> None:
            session.rewind(n_prompt)
            session.decode(n_gen)

        prefill()
        decode()
        session.rewind(0)
        session.prefill(n_prompt, observe=False)
        # A few of each in turns, so that what disturbs the machine meets both.
        with sampling(*pipes):
            until = time.monotonic() + 2 * seconds
            while time.monotonic() < until:
                for run in (prefill, decode):
                    end = min(time.monotonic() + 1, until)
                    while time.monotonic() < end:
                        run()
        session.profile().save(output)


def undisturbed(profile: slmprof.Profile, samples: Samples, threads: int) -> slmprof.Profile:
    """The profile of those runs of the graph in which the threads ran all the time.

    While something else has a thread's core, slmprof's clock goes on and perf takes no samples. So
    runs with fewer samples than their duration calls for are left out of both.
    """
    runs, steps = profile.runs, profile.steps
    first, last = np.searchsorted(samples.time_ns, [runs.begin_ns, runs.end_ns])
    sampled_ns = (last - first) * samples.period_ns / threads
    kept = sampled_ns + samples.period_ns >= _LEAST_PRESENCE * (runs.end_ns - runs.begin_ns)
    is_kept = np.zeros(len(steps), bool)
    is_kept[runs.step[kept]] = True
    new_row = np.cumsum(kept, dtype=np.int32) - 1
    events = profile.events.take(kept[profile.events.run])
    masks = profile.masks.take(kept[profile.masks.run])
    passes = np.where(is_kept, steps.pass_, PASS_WARMUP).astype(np.uint8)
    return dataclasses.replace(
        profile,
        steps=steps.replace(**{"pass": passes}),
        runs=runs.take(kept),
        events=events.replace(run=new_row[events.run]),
        masks=masks.replace(run=new_row[masks.run]),
    )


class Recorded:
    """What slmprof recorded of the sampled steps: which path each thread was in at which time."""

    def __init__(self, profile: slmprof.Profile) -> None:
        names = np.array([*map(path_of_impl, profile.strings), ""], dtype=object)
        events = profile.events
        converted = events.begin_ns + events.convert_ns
        # Unless they told, all threads go on when the last one has converted its share.
        key = (events.run.astype(np.int64) << 32) | events.node
        _, group = np.unique(key, return_inverse=True)
        passed = np.zeros(int(group.max()) + 1, np.int64)
        np.maximum.at(passed, group, converted)
        passed_ns = np.where(events.convert_ns > 0, passed[group], events.begin_ns)
        passed_ns = np.where(events.resume_ns > 0, events.begin_ns + events.resume_ns, passed_ns)
        self._lanes = []
        for lane in range(int(events.lane.max()) + 1):
            rows = np.flatnonzero(events.lane == lane)
            rows = rows[np.argsort(events.begin_ns[rows], kind="stable")]
            self._lanes.append(
                _Lane(
                    begin_ns=events.begin_ns[rows],
                    converted_ns=converted[rows],
                    passed_ns=passed_ns[rows],
                    end_ns=events.end_ns[rows],
                    path=names[events.path[rows]],
                    conversion=names[events.convert[rows]],
                )
            )
        runs = profile.runs
        order = np.argsort(runs.begin_ns, kind="stable")
        self._run_begin, self._run_end = runs.begin_ns[order], runs.end_ns[order]
        self._run_phase = profile.steps.phase[runs.step[order]].astype(np.int64)

    def phase_at(self, time_ns: Times) -> npt.NDArray[np.int64]:
        """The phase whose graph ran at each time; -1 outside of the graphs."""
        run = np.searchsorted(self._run_begin, time_ns, side="right") - 1
        inside = (run >= 0) & (time_ns < self._run_end[run])
        phase: npt.NDArray[np.int64] = np.where(inside, self._run_phase[run], -1)
        return phase

    def state_at(
        self, time_ns: Times, system_thread: npt.NDArray[np.int32], seen: Labels
    ) -> tuple[Labels, npt.NDArray[np.bool_]]:
        """The path that each thread was in at each time, and whether it was waiting.

        The system's numbers of threads are not slmprof's, except that the first one is 0: each
        other is taken for the thread whose paths agree best with what was seen of it.
        """
        path = np.full(len(time_ns), "", dtype=object)
        waits = np.zeros(len(time_ns), bool)
        for number in set(system_thread.tolist()):
            mine = system_thread == number
            lanes = self._lanes[:1] if number == 0 else self._lanes[1:]
            states = [lane.state_at(time_ns[mine]) for lane in lanes]
            if states:
                path[mine], waits[mine] = max(states, key=lambda s: int((s[0] == seen[mine]).sum()))
        return path, waits


@dataclass(frozen=True, eq=False)
class _Lane:
    """The ops of one thread, in order of time: an element for each.

    Attributes:
        converted_ns: when it had converted its share of the activations; `begin_ns` for none.
        passed_ns: when all threads had.
        end_ns: its arrival at the barrier behind the op.
    """

    begin_ns: Times
    converted_ns: Times
    passed_ns: Times
    end_ns: Times
    path: Labels
    conversion: Labels

    def state_at(self, time_ns: Times) -> tuple[Labels, npt.NDArray[np.bool_]]:
        op = np.maximum(np.searchsorted(self.begin_ns, time_ns, side="right") - 1, 0)
        converted, passed = self.converted_ns[op], self.passed_ns[op]
        path: Labels = np.where(time_ns < converted, self.conversion[op], self.path[op])
        waits: npt.NDArray[np.bool_] = (time_ns >= self.end_ns[op]) | (
            (time_ns >= converted) & (time_ns < passed)
        )
        return path, waits


def compare(profile: slmprof.Profile, samples: Samples, phase: str) -> list[dict[str, Any]]:
    """A row for each path of a phase in one recording, and one for waiting."""
    ops = profile.ops()
    ops = ops[ops["phase"] == phase]
    ours = ops.groupby(ops["impl"].map(path_of_impl))["compute_ms"].sum()
    compute_ms, wait_ms = float(ops["compute_ms"].sum()), float(ops["wait_ms"].sum())

    recorded = Recorded(profile)
    mine = recorded.phase_at(samples.time_ns) == PHASES.index(phase)
    by_symbol = np.array([path_of_stack(stack) for stack in samples.stacks], dtype=object)
    seen = by_symbol[samples.stack[mine]]
    at_that_time, waited = recorded.state_at(samples.time_ns[mine], samples.thread[mine], seen)
    # A barrier is also where an op ends, and where it meets inside.
    waits = (seen == WAIT) & waited
    is_shared = (seen == SHARED) | ((seen == WAIT) & ~waited)
    final = np.where(is_shared, at_that_time, seen)

    n_compute = int((~waits).sum())
    rows = []
    for path in {*ours.index, *final[~waits]}:
        of_path = final == path
        own = of_path & ~is_shared
        n_samples, n_own = int(of_path.sum()), int(own.sum())
        row = _row(path, float(ours.get(path, 0.0)) / compute_ms, n_samples, n_compute)
        row["own"] = n_own / n_samples if n_samples else None
        row["in time"] = float((at_that_time[own] == path).mean()) if n_own else None
        rows.append(row)
    waiting = _row(WAIT, wait_ms / (compute_ms + wait_ms), int(waits.sum()), len(waits))
    return [*rows, {**waiting, "own": None, "in time": None}]


def _row(path: str, share: float, n_samples: int, n_all: int) -> dict[str, Any]:
    by_perf = 100 * n_samples / n_all
    return {"path": path, "slmprof %": 100 * share, "perf %": by_perf, "samples": n_samples}


def pool(recordings: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of several recordings as one row a path, the largest first and waiting last."""
    absent = {"slmprof %": 0.0, "perf %": 0.0, "samples": 0}
    found = [{row["path"]: row for row in rows} for rows in recordings]
    pooled = []
    for path in dict.fromkeys(path for rows in found for path in rows):
        rows = [of.get(path, absent) for of in found]
        ours, theirs = (np.array([row[name] for row in rows]) for name in ("slmprof %", "perf %"))
        mean, off = float(theirs.mean()), float((ours - theirs).mean())
        n = len(rows)
        pooled.append(
            {
                "path": path,
                "slmprof %": float(ours.mean()),
                "perf %": mean,
                "points off": off,
                "error": float(theirs.std(ddof=1)) / n**0.5 if n > 1 else None,
                "agreement": 1 - abs(off) / mean if mean else 0.0,
                "samples": sum(row["samples"] for row in rows),
                **{name: _mean(row.get(name) for row in rows) for name in ("own", "in time")},
            }
        )
    return sorted(pooled, key=lambda row: (row["path"] == WAIT, -row["perf %"]))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "tiny,qwen2-0.5b,qwen2-0.5b@Q8_0,qwen2-0.5b@F16")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--clocks", default="fast,exact", help="settings of --clock")
    arguments.add_argument("--seconds", type=float, default=2, help="of a phase in a recording")
    arguments.add_argument("--recordings", type=int, default=12)
    arguments.add_argument(
        "--run-steps", nargs=7, help=argparse.SUPPRESS,
        metavar=("MODEL", "THREADS", "CLOCK", "SECONDS", "OUTPUT", "CONTROL", "ACK"),
    )  # fmt: skip
    options = arguments.parse_args()
    if options.run_steps:
        model, n_threads, clock, seconds, *paths = options.run_steps
        output, *pipes = map(Path, paths)
        run_steps(model, int(n_threads), clock, float(seconds), output, pipes)
        return 0
    try:
        check_perf()
        from slmprof import _core

        check_symbols(Path(_core.__file__).resolve())
        rows, bars = [], []
        cases = itertools.product(
            options.models.split(","), map(int, options.threads.split(",")),
            options.clocks.split(","),
        )  # fmt: skip
        for model, threads, clock in cases:
            print(f"{model}, {threads} threads, {clock} clock ...", file=sys.stderr)
            more_rows, more_bars = _measure(model, threads, clock, options)
            rows += more_rows
            bars += more_bars
        if not rows:
            raise NoPerfError("something else kept the cores busy all the time")
    except NoPerfError as error:
        print(f"accuracy: there is no witness to compare with: {error}", file=sys.stderr)
        return _NO_WITNESS
    return publish("accuracy", rows, bars, options)


def _measure(
    model: str, threads: int, clock: str, options: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[Bar]]:
    """The rows of one model, number of threads and clock, and what they have to reach."""
    path = resolve_model(model_text(model))
    found: dict[str, list[list[dict[str, Any]]]] = {phase: [] for phase in PHASES}
    seconds = dict.fromkeys(PHASES, 0.0)
    for frequency in np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, options.recordings).astype(int):
        with TemporaryDirectory() as folder:
            output = Path(folder) / "steps.slmprof"
            samples = record(
                [sys.executable, __file__, "--run-steps", str(path), str(threads), clock,
                 str(options.seconds), str(output)],
                int(frequency),
            )  # fmt: skip
            profile = undisturbed(slmprof.load(output), samples, threads)
        for number, phase in enumerate(PHASES):
            mine = profile.steps.phase[profile.runs.step] == number
            duration_ns = profile.runs.end_ns[mine] - profile.runs.begin_ns[mine]
            if (lasted := float(duration_ns.sum()) / 1e9) >= _LEAST_SECONDS:
                seconds[phase] += lasted
                found[phase].append(compare(profile, samples, phase))
    rows, bars = [], []
    for phase, recordings in found.items():
        where = f"{model} {threads} threads {clock} {phase}"
        bars.append(
            Bar(f"{where}: seconds undisturbed", seconds[phase], _LEAST_SECONDS, is_most=False)
        )
        for row in pool(recordings):
            largest = max(row["perf %"], row["slmprof %"])
            if largest >= _SHOWN_PERCENT:
                place = {"model": model, "threads": threads, "clock": clock, "phase": phase}
                rows.append({**place, **row})
            if row["path"] != WAIT:
                bars += _bars_of(row, largest, f"{where} {row['path']}")
    return rows, bars


def _bars_of(row: dict[str, Any], largest: float, where: str) -> list[Bar]:
    bars = []
    if largest >= _LEAST_PERCENT_OF_POINTS:
        bars.append(Bar(f"{where}, points", abs(row["points off"]), _MOST_POINTS, is_most=True))
    if largest >= _LEAST_PERCENT:
        bars.append(Bar(where, row["agreement"], _LEAST_AGREEMENT, is_most=False))
    return bars


if __name__ == "__main__":
    sys.exit(main())
