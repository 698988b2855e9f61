"""Memory of two profiles by kind, buffer and peak."""

from __future__ import annotations

from dataclasses import replace

from ...profiles.records.meta import Memory
from ...profiles.vocabulary import MEMORY_KINDS
from .intervals import size_verdict
from .places import MEMORY
from .rows import BYTES, Intervals, Row
from .samples import Subject

TOTAL, RSS_PEAK = "total", "rss_peak"
NAMES: tuple[str, ...] = (*MEMORY_KINDS, TOTAL, RSS_PEAK)
# Two processes that do the same differ in their heaps and in which pages of files are mapped.
_RSS_MARGIN = 0.01
_RSS_LEAST = 4 * 2**20


def memory_rows(a: Subject, b: Subject) -> list[Row]:
    """A row for each kind of memory that one has, for their sum, for each buffer, and for the peak
    of the resident set, which counts as the same within 1 % or 4 MiB. All else is exact."""
    totals = [{**s.memory_totals, TOTAL: sum(s.memory_totals.values())} for s in (a, b)]
    kinds = [kind for kind in totals[0] if totals[0][kind] or totals[1][kind]]
    rows = [size_row(kind, totals[0][kind], totals[1][kind]) for kind in kinds]
    buffers = [_buffers(s.meta.memory) for s in (a, b)]
    for device, buffer_type, kind in {**buffers[0], **buffers[1]}:
        sizes = [of.get((device, buffer_type, kind), 0) for of in buffers]
        rows.append(replace(size_row(kind, *sizes), device=device, buffer_type=buffer_type))
    peak_a, peak_b = (s.meta.memory.rss_peak_bytes for s in (a, b))
    if peak_a is not None and peak_b is not None:
        row = size_row(RSS_PEAK, peak_a, peak_b)
        verdict = size_verdict(peak_a, peak_b, peak_slack(peak_a))
        # It is not exact, and one figure a side has no interval.
        rows.append(replace(row, verdict=verdict, intervals=Intervals()))
    return rows


def peak_slack(peak: float) -> float:
    """Bytes by which the peaks of two processes that do the same may differ."""
    return max(_RSS_MARGIN * peak, _RSS_LEAST)


def size_row(name: str, a: int, b: int) -> Row:
    """A row of exact sizes."""
    difference = float(b - a)
    relative = difference / a if a else None
    ends = difference, difference
    relative_ends = None if relative is None else (relative, relative)
    return Row(
        what=MEMORY,
        name=name,
        phase=None,
        a=a,
        b=b,
        unit=BYTES,
        difference=difference,
        relative=relative,
        verdict=size_verdict(a, b),
        intervals=Intervals(ends, relative_ends, ends, relative_ends),
    )


def _buffers(memory: Memory) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for buffer in memory.buffers:
        key = buffer.device, buffer.buffer_type, buffer.kind
        found[key] = found.get(key, 0) + buffer.size_bytes
    return found
