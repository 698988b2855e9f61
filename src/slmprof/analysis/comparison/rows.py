"""The rows of a comparison: what was compared, how far it lies apart, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .intervals import (
    QUOTED_ALPHA,
    UNCLEAR,
    Estimate,
    Floats,
    Interval,
    as_change,
    log_ratio,
    mean,
    medians,
    time_verdict,
)
from .matching import Pair, codes
from .places import KERNEL, LATENCY, OP, TIMES
from .samples import Subject
from .setup import Obstacle

MS, BYTES = "ms", "bytes"
ONLY_A, ONLY_B = "only in a", "only in b"


@dataclass(frozen=True)
class Intervals:
    """Intervals over processes; None where there are too few, or no base to relate to.

    Attributes:
        ci95: 95 % interval of the difference. Of a size, which is exact, the difference itself;
            None of the peak of the resident set.
        relative_ci95: that of the relative difference.
        corrected_ci, relative_corrected_ci: at the level that is left for one row where all rows
            together are to be right.
    """

    ci95: Interval | None = None
    relative_ci95: Interval | None = None
    corrected_ci: Interval | None = None
    relative_corrected_ci: Interval | None = None


@dataclass(frozen=True)
class Row:
    """One thing in both profiles.

    Attributes:
        what: `latency`, `block`, `kernel`, `layer`, `op` or `memory`.
        name: of the phase, block, kernel, layer, tensor, or kind of memory.
        phase: of a time; None for memory.
        a, b: in `unit`. Of a time, the trimmed geometric mean over the processes; where there are
            pairs, b is a times their mean ratio. None where it is not there.
        difference: b - a; what is missing counts as nothing.
        relative: b / a - 1; None without an `a`.
        verdict: one of `intervals.VERDICTS`, by the corrected interval.
        intervals: what `difference` and `relative` lie in.
        impl, layer, block, part, op, device, buffer_type: what else tells the row from others.
        is_of_code: whether a kernel's row is that of one of its several codes, not of all of it.
        note: why there is no verdict; empty where there is one.
    """

    what: str
    name: str
    phase: str | None
    a: float | None
    b: float | None
    unit: str
    difference: float
    relative: float | None
    verdict: str
    intervals: Intervals
    impl: str | None = None
    layer: int | None = None
    block: str | None = None
    part: str | None = None
    op: str | None = None
    device: str | None = None
    buffer_type: str | None = None
    is_of_code: bool = False
    note: str = ""


def count_times(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many rows there are of each kind that a verdict can be found for."""
    counts = dict.fromkeys(TIMES, 0)
    for first, second in pairs:
        if first is not None and second is not None:
            counts[first.what] += 1
    return counts


def time_rows(
    a: Subject,
    b: Subject,
    pairs: Sequence[Pair],
    alphas: dict[str, float],
    margin: float,
    obstacles: Sequence[Obstacle],
    *,
    is_interleaved: bool,
) -> list[Row]:
    """The rows of all times.

    Args:
        alphas: for each kind of row, the level at which the intervals of its verdicts miss.
        obstacles: why there can be no verdicts; the first that meets a row is its note.
    """
    known = codes(a, b)
    made = []
    for first, second in pairs:
        place = second or first
        assert place is not None
        alpha = alphas[place.what]
        note = next((o.reason for o in obstacles if _meets(o, place.what, place.phase)), "")
        of_a = a.times[first] if first is not None else None
        of_b = b.times[second] if second is not None else None
        value_a, value_b = _typical(of_a), _typical(of_b)
        verdict = UNCLEAR
        intervals = Intervals()
        if of_a is None or of_b is None:
            note = note or (ONLY_B if of_a is None else ONLY_A)
            intervals = _of_one(of_a, of_b, alpha)
        else:
            errors = (
                a.noise.get(place, 0.0) ** 2 / a.n_processes,
                b.noise.get(place, 0.0) ** 2 / b.n_processes,
            )
            least = math.sqrt(sum(errors))
            estimate = log_ratio(of_a, of_b, is_paired=is_interleaved, least_error=least)
            note = note or ("" if estimate else "it is not in every process")
            if estimate is not None and value_a is not None:
                # By the pairs, which is what the intervals are of.
                value_b = value_a * math.exp(estimate.mean)
                intervals = _of_both(estimate, value_a, alpha)
            if estimate is not None and not note:
                changed = as_change(estimate.interval(alpha))
                verdict = time_verdict(changed, margin, is_interleaved=is_interleaved)
        code = place.impl or (
            known.get((place.phase, place.name)) if place.what == KERNEL else None
        )
        made.append(
            Row(
                what=place.what,
                name=place.name,
                phase=place.phase,
                a=value_a,
                b=value_b,
                unit=MS,
                difference=(value_b or 0.0) - (value_a or 0.0),
                relative=value_b / value_a - 1 if value_a and value_b is not None else None,
                verdict=verdict,
                intervals=intervals,
                impl=code,
                layer=place.layer,
                block=place.block,
                part=place.part,
                op=place.op,
                is_of_code=place.impl is not None,
                note=note,
            )
        )
    return made


def _meets(obstacle: Obstacle, what: str, phase: str) -> bool:
    return phase in obstacle.phases and (obstacle.what != OP or what != LATENCY)


def _typical(values: Floats | None) -> float | None:
    """The trimmed geometric mean, to which intervals of ratios belong."""
    if values is None:
        return None
    of_processes = medians(values)
    known = of_processes[~np.isnan(of_processes)]
    if known.size < 2:
        return float(known[0]) if known.size else None
    is_positive = bool(np.all(known > 0))
    found = mean(np.log(known) if is_positive else known)
    assert found is not None
    return math.exp(found.mean) if is_positive else found.mean


def _of_both(estimate: Estimate, value_a: float, alpha: float) -> Intervals:
    quoted, corrected = (as_change(estimate.interval(level)) for level in (QUOTED_ALPHA, alpha))
    return Intervals(
        ci95=(quoted[0] * value_a, quoted[1] * value_a),
        relative_ci95=quoted,
        corrected_ci=(corrected[0] * value_a, corrected[1] * value_a),
        relative_corrected_ci=corrected,
    )


def _of_one(a: Floats | None, b: Floats | None, alpha: float) -> Intervals:
    """Of what only one side has: nothing on the other is exact."""
    of = medians(b) if b is not None else -medians(a) if a is not None else None
    estimate = mean(of) if of is not None else None
    if estimate is None:
        return Intervals()
    return Intervals(ci95=estimate.interval(QUOTED_ALPHA), corrected_ci=estimate.interval(alpha))


def row_record(row: Row) -> dict[str, Any]:
    """A row as flat values, by the names of `compare --format json`."""
    values = asdict(row)
    intervals = values.pop("intervals")
    names = list(values)
    first = names[: names.index("verdict")]
    ordered = {name: values.pop(name) for name in first}
    return {**ordered, "ci95": intervals.pop("ci95"), **values, **intervals}
