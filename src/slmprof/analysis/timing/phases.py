"""Each phase as a whole: latency, overhead, and where the wall time of a step went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from msgspec import UNSET

from ...profiles.data import ProfileData
from ...profiles.schema import Float64, Int64
from ...profiles.vocabulary import (
    PASS_OP,
    PASS_SPLIT,
    PASS_TIMING,
    PASS_WARMUP,
    PHASES,
    SEGMENTS,
)
from .coverage import Coverage
from .devices import as_run_pass, serialized_devices, traced
from .disturbance import undisturbed
from .segments import NS_PER_MS, Segments, gaps_ns, step_segments
from .statistics import (
    Between,
    Overhead,
    Samples,
    Summary,
    between_processes,
    median_interval,
    overhead,
    summarize,
)

# The mean profiled step over the median unprofiled one: beyond the first the two contradict each
# other, beyond the second the shares of ops are those of another run.
MAX_DIFFERENCE = 0.10
MAX_DIFFERENCE_OF_SHARES = 0.20
# Where the kernels of a device are recorded, which slows it down, less is too much.
MAX_DIFFERENCE_OF_TRACED_SHARES = 0.10
# Threads that had no core for more of their time were not disturbed now and then, but throughout.
MAX_OFF_CORE = 0.07
# CPU time of other threads is that of the system's last tick: 25 of them tell well enough.
_LEAST_WALL_NS = 100_000_000


@dataclass(frozen=True)
class AsRun:
    """Steps that were recorded as they run unobserved, beside op passes in which a device ran its
    ops one by one.

    Attributes:
        n_samples, n_disturbed: how many there were, and how many of them count nowhere.
        latency_ms: of an undisturbed one.
        attributed_share, segments_ms: as `PhaseSummary` has them; `ops` is the time of all splits.
    """

    n_samples: int
    n_disturbed: int
    latency_ms: Summary
    attributed_share: float
    segments_ms: Segments


@dataclass(frozen=True)
class PhaseSummary:
    """One phase of a run.

    Attributes:
        phase: `prefill` or `decode`.
        n_tokens: tokens of the phase in one repeat.
        n_samples, n_profiled_samples: steps of the timing passes and of the op passes.
        n_disturbed: steps of the op passes that count nowhere, because something disturbed them.
        latency_ms: of a step with every hook off: the headline. None without a timing pass.
        latency_ci95: bootstrap interval of its median; None with fewer than two repeats.
        between_processes: how the medians of the processes differ; None where there was one.
        tokens_per_s: tokens of a step over the median latency.
        profiled_latency_ms: of an undisturbed step of the op passes.
        overhead: median profiled latency over median latency, of undisturbed steps; as the next
            one of those of `as_run` where there are such.
        difference: the mean of profiled_latency_ms over the median of latency_ms, less one.
        off_core_share: see `off_core_share`.
        attributed_share: (ops + host segments) / profiled wall time.
        segments_ms: see `Segments`.
        host_segments_ms: each kind of host segment by name, mean milliseconds per step.
        warmup_ms: latency of the warm-up's steps, which count nowhere else.
        as_run: of the steps that were recorded with nothing run one by one; None where all are.
        graphs_latency_ms: where kernels of a device are recorded, latency of an undisturbed step of
            which only whole replays of CUDA graphs are; None elsewhere.
        max_difference: beyond this `difference` shares are withheld.
    """

    phase: str
    n_tokens: int = 0
    n_samples: int = 0
    n_profiled_samples: int = 0
    n_disturbed: int = 0
    latency_ms: Summary | None = None
    latency_ci95: tuple[float, float] | None = None
    between_processes: Between | None = None
    tokens_per_s: float | None = None
    profiled_latency_ms: Summary | None = None
    overhead: Overhead | None = None
    difference: float | None = None
    off_core_share: float | None = None
    attributed_share: float | None = None
    segments_ms: Segments | None = None
    host_segments_ms: Mapping[str, float] = field(default_factory=dict)
    warmup_ms: Summary | None = None
    as_run: AsRun | None = None
    graphs_latency_ms: Summary | None = None
    max_difference: float = MAX_DIFFERENCE_OF_SHARES

    @property
    def recorded_ms(self) -> Summary | None:
        """Latency of the recorded steps that are as unobserved ones."""
        return self.as_run.latency_ms if self.as_run is not None else self.profiled_latency_ms

    @property
    def contradicts(self) -> bool:
        """Whether what the ops add up to is not what a step takes."""
        return _exceeds(self.difference, MAX_DIFFERENCE)

    @property
    def is_slowed_by_tracing(self) -> bool:
        """Whether shares are withheld because recording the kernels of a device changed the run."""
        is_traced = self.graphs_latency_ms is not None
        return is_traced and self.difference is not None and self.difference > self.max_difference

    @property
    def lacks_cores(self) -> bool:
        """Whether another process had its cores throughout, in steps that look undisturbed."""
        return _exceeds(self.off_core_share, MAX_OFF_CORE)

    @property
    def withholds_shares(self) -> bool:
        """Whether shares of ops would tell of another run than the headline does."""
        return tells_another_run(self.difference, self.off_core_share, self.max_difference)


def summarize_phases(profile: ProfileData) -> tuple[PhaseSummary, ...]:
    """The phases that have a step in a timing or op pass, prefill first."""
    steps = profile.steps
    counted = steps.phase[steps.pass_ != PASS_WARMUP]
    return tuple(
        _summarize_phase(profile, number)
        for number in range(len(PHASES))
        if np.any(counted == number)
    )


def op_steps(profile: ProfileData, phase: int) -> npt.NDArray[np.bool_]:
    """bool[n_steps]: the undisturbed steps of the op passes of a phase, which per-op figures are
    means over."""
    steps = profile.steps
    is_op: npt.NDArray[np.bool_] = (steps.pass_ == PASS_OP) & (steps.phase == phase)
    return is_op & undisturbed(profile)


def as_run_steps(profile: ProfileData, phase: int) -> npt.NDArray[np.bool_]:
    """bool[n_steps]: the undisturbed recorded steps of a phase that ran as unobserved ones do."""
    steps = profile.steps
    chosen: npt.NDArray[np.bool_] = (steps.pass_ == as_run_pass(profile)) & (steps.phase == phase)
    return chosen & undisturbed(profile)


def step_difference(profile: ProfileData, phase: int) -> float | None:
    """As `difference_of`, of the steps of a phase."""
    return difference_of(*step_walls(profile, phase))


def step_walls(
    profile: ProfileData, phase: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Nanoseconds of each unprofiled step of a phase, and of each of `as_run_steps`."""
    steps = profile.steps
    wall = steps.end_ns - steps.begin_ns
    timed = (steps.pass_ == PASS_TIMING) & (steps.phase == phase)
    return wall[timed], wall[as_run_steps(profile, phase)]


def difference_of(timed: npt.NDArray[np.int64], profiled: npt.NDArray[np.int64]) -> float | None:
    """The mean profiled step over the median unprofiled one, less one; None without both."""
    if len(timed) == 0 or len(profiled) == 0 or np.median(timed) <= 0:
        return None
    return float(profiled.mean() / np.median(timed)) - 1


def off_core_share(profile: ProfileData, phase: int) -> float | None:
    """Share of the time in which threads had work, but no core, in the steps of `op_steps`.

    While a graph runs all its threads have work, for they spin at its barriers; between the runs
    one has. Where the steps are too short to tell by their CPU time, those of all phases and passes
    do; where these are, too, it is what others took of the cores during the whole run, as far as no
    idle core made up for it. None where neither is known.
    """
    steps, runs, chosen = profile.steps, profile.runs, op_steps(profile, phase)
    environment = profile.meta.environment
    n_threads = int(runs.n_threads[chosen[runs.step]].max(initial=0))
    # Threads that share a core by their own number wait for each other, not for another process.
    n_busy = min(n_threads, environment.n_cores or n_threads)
    # While another process or a GPU computes, how many threads have work is not known.
    if n_busy == 0 or serialized_devices(profile) or traced(profile):
        return None
    walls = steps.end_ns - steps.begin_ns
    # OpenMP's threads may sleep at a barrier.
    if not profile.meta.slmprof.build.get("openmp"):
        shared = ops_total_ns(profile, phase) / max(1, _total(walls[chosen]))
        for tells in (chosen, steps.pass_ != PASS_WARMUP):
            wall, cpu = _total(walls[tells]), _total(steps.cpu_ns[tells])
            if cpu > 0 and wall >= _LEAST_WALL_NS:
                return max(0.0, 1.0 - cpu / (wall * (1 + (n_busy - 1) * shared)))
    load, n_cores = environment.load, environment.n_cores
    if load is UNSET or n_cores is None:
        return None
    taken = (load.others_share + load.stolen_share) * n_cores
    return min(1.0, max(0.0, n_busy + taken - n_cores) / n_busy)


def withholds_shares(profile: ProfileData, phase: int) -> bool:
    """As `PhaseSummary.withholds_shares`."""
    limit = max_difference_of(profile)
    return tells_another_run(step_difference(profile, phase), off_core_share(profile, phase), limit)


def max_difference_of(profile: ProfileData) -> float:
    """Beyond what `step_difference` the shares of a profile are withheld."""
    return MAX_DIFFERENCE_OF_TRACED_SHARES if traced(profile) else MAX_DIFFERENCE_OF_SHARES


def tells_another_run(
    difference: float | None,
    off_core: float | None,
    max_difference: float = MAX_DIFFERENCE_OF_SHARES,
) -> bool:
    """Whether ops of a phase are those of another run than the headline is of, by
    `step_difference` and `off_core_share`."""
    return _exceeds(difference, max_difference) or _exceeds(off_core, MAX_OFF_CORE)


def _exceeds(value: float | None, limit: float) -> bool:
    return value is not None and abs(value) > limit


def ops_total_ns(profile: ProfileData, phase: int) -> int:
    """Nanoseconds in which a graph ran on any lane, in the undisturbed op-pass steps of a phase,
    without the gaps between kernels."""
    chosen = op_steps(profile, phase)
    return max(0, Coverage(profile, chosen).total_ns - gaps_ns(profile, chosen))


def phase_table(summaries: tuple[PhaseSummary, ...]) -> pd.DataFrame:
    """One row a phase, in the columns of the JSON, nested keys joined by dots."""
    rows = [_flatten(phase_record(summary)) for summary in summaries]
    whole = {**phase_record(PhaseSummary("")), "as_run": _as_run_record(None)}
    columns = _flatten(whole).keys()
    dtypes = {
        name: "Int64" if _is_count(name.rpartition(".")[2]) else "float64" for name in columns
    }
    plain = pd.DataFrame(rows, columns=list(columns))
    others = {"phase": "object", "shares_withheld": "boolean"}
    table: pd.DataFrame = plain.astype({**dtypes, **others})
    return table


def _is_count(name: str) -> bool:
    return name == "n" or name.startswith("n_")


def phase_record(summary: PhaseSummary) -> dict[str, Any]:
    """A phase as the nested record of `breakdown --format json`."""
    over = summary.overhead
    return {
        "phase": summary.phase,
        "n_tokens": summary.n_tokens,
        "n_samples": summary.n_samples,
        "n_profiled_samples": summary.n_profiled_samples,
        "n_disturbed": summary.n_disturbed,
        "latency_ms": _record(summary.latency_ms, Summary),
        "latency_ci95": list(summary.latency_ci95 or (None, None)),
        "between_processes": _record(summary.between_processes, Between),
        "tokens_per_s": summary.tokens_per_s,
        "profiled_latency_ms": _record(summary.profiled_latency_ms, Summary),
        "overhead_ratio": over.ratio if over else None,
        "overhead_ci95": list(over.ci95) if over and over.ci95 else [None, None],
        "difference": summary.difference,
        "off_core_share": summary.off_core_share,
        "shares_withheld": summary.withholds_shares,
        "attributed_share": summary.attributed_share,
        "segments_ms": _record(summary.segments_ms, Segments),
        "host_segments_ms": {name: summary.host_segments_ms.get(name) for name in SEGMENTS},
        "warmup_ms": _record(summary.warmup_ms, Summary),
        "as_run": _as_run_record(summary.as_run) if summary.as_run is not None else None,
        "graphs_latency_ms": _record(summary.graphs_latency_ms, Summary),
    }


def _as_run_record(as_run: AsRun | None) -> dict[str, Any]:
    return {
        **_record(as_run, AsRun),
        "latency_ms": _record(as_run.latency_ms if as_run else None, Summary),
        "segments_ms": _record(as_run.segments_ms if as_run else None, Segments),
    }


def _summarize_phase(profile: ProfileData, number: int) -> PhaseSummary:
    steps = profile.steps
    of_phase = steps.phase == number
    timing = of_phase & (steps.pass_ == PASS_TIMING)
    observed = of_phase & (steps.pass_ == PASS_OP)
    warmup = of_phase & (steps.pass_ == PASS_WARMUP)
    quiet = undisturbed(profile)
    wall_ms = (steps.end_ns - steps.begin_ns) / NS_PER_MS
    latency = summarize(wall_ms[timing])
    samples = Samples.of(wall_ms, steps.repeat, steps.process)
    timed = samples.take(timing)
    segments, host = step_segments(profile, op_steps(profile, number))
    recorded = as_run_pass(profile)
    as_run = of_phase & (steps.pass_ == recorded)
    profiled = summarize(wall_ms[observed & quiet])
    share = None
    if segments is not None and profiled is not None and profiled.mean > 0:
        share = 1.0 - segments.unattributed / profiled.mean
    counted = timing if np.any(timing) else observed
    tokens_of_step = float(np.median(steps.n_tokens[counted]))
    return PhaseSummary(
        phase=PHASES[number],
        n_tokens=_tokens_per_repeat(profile, counted),
        n_samples=int(timing.sum()),
        n_profiled_samples=int(observed.sum()),
        n_disturbed=int((observed & ~quiet).sum()),
        latency_ms=latency,
        latency_ci95=median_interval(timed),
        between_processes=between_processes(timed),
        tokens_per_s=(
            tokens_of_step / latency.median * 1e3 if latency and latency.median > 0 else None
        ),
        profiled_latency_ms=profiled,
        overhead=overhead(samples.take(timing & quiet), samples.take(as_run & quiet)),
        difference=step_difference(profile, number),
        off_core_share=off_core_share(profile, number),
        attributed_share=share,
        segments_ms=segments,
        host_segments_ms=host,
        warmup_ms=summarize(wall_ms[warmup]),
        as_run=_as_run(profile, number, wall_ms),
        graphs_latency_ms=summarize(
            wall_ms[of_phase & (steps.pass_ == PASS_SPLIT) & quiet]
            if traced(profile)
            else wall_ms[:0]
        ),
        max_difference=max_difference_of(profile),
    )


def _as_run(profile: ProfileData, number: int, wall_ms: Float64) -> AsRun | None:
    if as_run_pass(profile) == PASS_OP:
        return None
    chosen = as_run_steps(profile, number)
    segments, latency = step_segments(profile, chosen)[0], summarize(wall_ms[chosen])
    if segments is None or latency is None:
        return None
    of_pass = (profile.steps.pass_ == PASS_SPLIT) & (profile.steps.phase == number)
    n_samples = int(of_pass.sum())
    n_disturbed = n_samples - int(chosen.sum())
    return AsRun(
        n_samples, n_disturbed, latency, 1.0 - segments.unattributed / latency.mean, segments
    )


def _tokens_per_repeat(profile: ProfileData, chosen: npt.NDArray[np.bool_]) -> int:
    repeat, tokens = profile.steps.repeat[chosen], profile.steps.n_tokens[chosen]
    first = repeat == repeat.min()
    return int(tokens[first].sum(dtype=np.int64))


def _total(durations: Int64) -> int:
    return int(durations.sum(dtype=np.int64))


def _record(value: Any, kind: type) -> dict[str, Any]:
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return asdict(value) if value is not None else dict.fromkeys(names)


def _flatten(record: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": item for name, item in _flatten(value).items()})
        elif isinstance(value, list):
            flat.update(dict(zip((f"{key}.low", f"{key}.high"), value, strict=True)))
        else:
            flat[key] = value
    return flat
