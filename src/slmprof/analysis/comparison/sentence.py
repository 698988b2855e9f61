"""A comparison in one sentence: the verdict on each phase, and where the difference comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .intervals import FASTER, SAME, SLOWER, Interval
from .places import BLOCK, LATENCY
from .rows import Row
from .setup import Obstacle

_VERBS = {"prefill": ("prefills", "prefill"), "decode": ("decodes", "decode")}
# Blocks are named until they make up so much of a difference.
_ENOUGH = 0.9
_MOST_BLOCKS = 2
# As a share; an interval that reaches beyond says no more than that.
_MOST_CHANGE = 10.0
_TITLES = {"ffn": "FFN"}


def verdicts(
    names: tuple[str, str], rows: Sequence[Row], obstacles: Sequence[Obstacle], margin: float
) -> tuple[str, ...]:
    """What a reader must know first: a clause for each phase, decode first, and why there is no
    verdict where there is none.

    Args:
        names: what to call a and b.
    """
    latencies = [row for row in rows if row.what == LATENCY]
    found = [_of_phase(names, row, rows, margin) for row in reversed(latencies)]
    if not latencies:
        found = [f"neither {names[0]} nor {names[1]} was timed"]
    return (*found, *dict.fromkeys(one.reason for one in obstacles))


def _of_phase(names: tuple[str, str], row: Row, rows: Iterable[Row], margin: float) -> str:
    verb, noun = _VERBS[row.phase or ""]
    a, b = names
    if row.verdict == SAME:
        return f"{noun} is the same within {percent(margin)} ({_ends(row.intervals.relative_ci95)})"
    if row.verdict in (FASTER, SLOWER):
        size = percent(abs(row.relative or 0.0))
        interval = f"(95 % interval {_ends(row.intervals.relative_ci95)})"
        return f"{b} {verb} {size} {row.verdict} than {a} {interval}{_source(row, rows)}"
    if row.a is None or row.b is None:
        return f"{noun} was timed in {b if row.a is None else a} only"
    # Not the 95 % interval, which may exclude zero without being enough.
    corrected = row.intervals.relative_corrected_ci
    between = f", corrected interval {_ends(corrected)}" if corrected else ""
    return f"{noun}: unclear ({signed(row.relative)}{between})"


def _source(row: Row, rows: Iterable[Row]) -> str:
    """The blocks that a difference comes from."""
    blocks = [r for r in rows if r.what == BLOCK and r.phase == row.phase]
    alike = [r for r in blocks if not r.note and r.difference * row.difference > 0]
    named: list[str] = []
    explained = 0.0
    for block in sorted(alike, key=lambda r: -abs(r.difference))[:_MOST_BLOCKS]:
        named.append(f"{_TITLES.get(block.name, block.name)} {block.difference:+.3g} ms")
        explained += block.difference
        if abs(explained) >= _ENOUGH * abs(row.difference):
            break
    return f": {' and '.join(named)} of {row.difference:+.3g} ms" if named else ""


def percent(share: float) -> str:
    if share > _MOST_CHANGE:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.3g} %" if abs(share) >= 0.0995 else f"{100 * share:.2g} %"


def signed(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:+.1f} %"


def _ends(interval: Interval | None) -> str:
    if interval is None:
        return "no interval"
    low, high = interval
    if high <= _MOST_CHANGE:
        return f"{100 * low:+.1f} to {100 * high:+.1f} %"
    # Where processes hardly agree, the end of the interval may be any number of digits long.
    beyond = f"> x{_MOST_CHANGE:g}"
    return beyond if low > _MOST_CHANGE else f"{signed(low)} to {beyond}"
