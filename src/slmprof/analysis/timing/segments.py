"""Where the wall time of a step goes (docs/measurement.md, conservation)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.schema import Int64
from ...profiles.vocabulary import COPIES, GAPS, HOST_FINISH, HOST_PREPARE, SEGMENTS
from .coverage import Coverage

NS_PER_MS = 1e6


@dataclass(frozen=True)
class Segments:
    """Where the wall time of an op-pass step went: mean milliseconds per step.

    They add up to the mean profiled step (docs/measurement.md, conservation).

    Attributes:
        gaps: in runs of a device whose kernels are recorded, the time without any; 0 elsewhere.
    """

    host_prepare: float
    ops: float
    gaps: float
    copies: float
    host_finish: float
    unattributed: float


def step_segments(
    profile: ProfileData, chosen: npt.NDArray[np.bool_]
) -> tuple[Segments | None, dict[str, float]]:
    """The mean of chosen steps, and of each kind of host segment by name; None without a step."""
    n_steps = int(chosen.sum())
    if n_steps == 0:
        return None, {}
    steps = profile.steps
    rows = profile.segments.take(chosen[profile.segments.step])
    wall = _total(steps.end_ns[chosen] - steps.begin_ns[chosen])
    coverage = Coverage(profile, chosen)
    # What the host does while a device runs costs the step nothing.
    hidden = coverage.within(rows.step, rows.begin_ns, rows.end_ns)
    duration = rows.end_ns - rows.begin_ns - hidden
    totals = {name: _total(duration[rows.kind == kind]) for kind, name in enumerate(SEGMENTS)}
    gaps = min(gaps_ns(profile, chosen), coverage.total_ns)
    ops = coverage.total_ns - gaps
    per_step = 1.0 / (n_steps * NS_PER_MS)
    prepare, copies, finish = (
        sum(totals[name] for name in names) for names in (HOST_PREPARE, COPIES, HOST_FINISH)
    )
    segments = Segments(
        host_prepare=prepare * per_step,
        ops=ops * per_step,
        gaps=gaps * per_step,
        copies=copies * per_step,
        host_finish=finish * per_step,
        unattributed=(wall - ops - gaps - prepare - copies - finish) * per_step,
    )
    return segments, {name: total * per_step for name, total in totals.items()}


def gaps_ns(profile: ProfileData, chosen: npt.NDArray[np.bool_], kind: str | None = None) -> int:
    """Nanoseconds of runs in which devices ran no kernel, in chosen steps; of one kind of
    `vocabulary.GAPS`, or of all."""
    runs = profile.runs
    rows = chosen[runs.step]
    kinds = GAPS if kind is None else (kind,)
    return sum(_total(getattr(runs, f"gap_{name}_ns")[rows]) for name in kinds)


def _total(durations: Int64) -> int:
    return int(durations.sum(dtype=np.int64))
