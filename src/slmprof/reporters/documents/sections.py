"""A breakdown as titled tables of text cells, which the terminal and Markdown show alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ...analysis.timing.phases import PhaseSummary
from ...analysis.verdicts.breakdown import Breakdown
from .depth_sections import depth_sections, titled_with_depth
from .diagnosis import diagnosis_section
from .heat_map import heat_map_sections, layer_note
from .memory_section import memory_sections, place_section
from .quantities import (
    NONE,
    Glyphs,
    calls_text,
    milliseconds,
    percent,
    printable,
    rate,
    ratio,
    shortened,
)
from .records import records
from .section import Column, Section
from .wait_section import wait_section

TOP_OPS = 10
TOP_TENSORS = 20
_BAR_WIDTH = 12
# As much as stands beside the numbers of two phases on 80 columns.
_IMPL_WIDTH = 25
# As much as leaves room for the other columns of an op.
_TENSOR_WIDTH, _PART_WIDTH = 16, 21
# Where ggml has one implementation, or none was observed, there is nothing to tell.
_UNREMARKABLE = ("", "generic")


def sections(breakdown: Breakdown, glyphs: Glyphs) -> list[Section]:
    """The tables: the view that was asked for, or the usual set of views."""
    if breakdown.by in ("depth", "place"):
        made = [_headline(breakdown, glyphs)]
    elif breakdown.by is not None:
        made = [_headline(breakdown, glyphs), *_view(breakdown, breakdown.by, glyphs)]
    else:
        made = [
            _headline(breakdown, glyphs),
            _wall(breakdown),
            *_view(breakdown, "block", glyphs),
            _layer_spread(breakdown),
            *_view(breakdown, "kernel", glyphs),
            *_view(breakdown, "op", glyphs),
        ]
    made = titled_with_depth(breakdown, made)
    if breakdown.by == "depth" or (breakdown.by is None and len(breakdown.depths.n_depths) > 1):
        made += depth_sections(breakdown, glyphs)
    if breakdown.by == "place":
        made.append(place_section(breakdown, glyphs))
    if breakdown.by is None:
        made += [
            wait_section(breakdown, glyphs),
            *memory_sections(breakdown, glyphs),
            diagnosis_section(breakdown, glyphs),
        ]
    return [section for section in made if section.rows or section.prose]


def _headline(breakdown: Breakdown, glyphs: Glyphs) -> Section:
    columns = (
        Column("phase"),
        Column("tokens", number=True),
        Column("ms/step", number=True),
        Column(f"{glyphs.plus_minus}MAD", number=True),
        Column("p90", number=True),
        Column("tokens/s", number=True),
        Column("overhead", number=True),
        Column("95 % CI"),
        Column("attributed", number=True, wide=True),
        Column("samples", number=True, wide=True),
    )
    rows = [_headline_row(summary) for summary in breakdown.phases]
    note = "A step is a whole prompt, or one generated token; its latency is measured unprofiled."
    return Section("Latency", columns, rows, notes=(note,))


def _headline_row(summary: PhaseSummary) -> tuple[str, ...]:
    latency, over = summary.latency_ms, summary.overhead
    interval = NONE
    if over and over.ci95:
        interval = f"{over.ci95[0]:.3f}-{over.ci95[1]:.3f}"
    return (
        summary.phase,
        str(summary.n_tokens),
        milliseconds(latency.median if latency else None),
        milliseconds(latency.mad if latency else None),
        milliseconds(latency.p90 if latency else None),
        rate(summary.tokens_per_s),
        f"{over.ratio:.3f}" if over else NONE,
        interval,
        percent(summary.attributed_share),
        str(summary.n_samples),
    )


def _wall(breakdown: Breakdown) -> Section:
    phases = [s for s in breakdown.phases if s.segments_ms is not None]
    columns = [Column("part of a step")]
    for summary in phases:
        columns += [Column(f"{summary.phase} ms", number=True), Column("share", number=True)]
    rows = []
    for name in ("host_prepare", "ops", "copies", "host_finish", "unattributed"):
        cells = [name]
        for summary in phases:
            time = getattr(summary.segments_ms, name)
            cells += _time_and_share(time, summary)
        rows.append(tuple(cells))
        if name == "host_prepare":
            rows.extend(_host_rows(phases))
    return Section("Where a step's time goes", tuple(columns), rows if phases else [])


def _host_rows(phases: Sequence[PhaseSummary]) -> list[tuple[str, ...]]:
    names = ("batch", "graph_build", "graph_alloc", "inputs", "launch")
    rows = []
    for name in names:
        cells = [f"  {name}"]
        for summary in phases:
            cells += _time_and_share(summary.host_segments_ms.get(name), summary)
        rows.append(tuple(cells))
    return rows


def _time_and_share(time: float | None, summary: PhaseSummary) -> list[str]:
    wall = summary.profiled_latency_ms.mean if summary.profiled_latency_ms else 0.0
    share = time / wall if time is not None and wall > 0 else None
    return [milliseconds(time), percent(share)]


def _view(breakdown: Breakdown, by: str, glyphs: Glyphs) -> list[Section]:
    if by == "block":
        return [_side_by_side(breakdown, by, "Blocks", ["block"], glyphs, bars=True)]
    if by == "layer":
        return heat_map_sections(breakdown, glyphs)
    if by == "kernel":
        return [_side_by_side(breakdown, by, "Kernels", ["kernel"], glyphs, impls=True)]
    if by == "part":
        return [_side_by_side(breakdown, by, "Parts", ["block", "part"], glyphs)]
    make = _op_section if by == "op" else _tensor_section
    return [make(breakdown, summary.phase, glyphs) for summary in breakdown.phases]


_Key = tuple[Any, ...]


def _side_by_side(
    breakdown: Breakdown,
    by: str,
    title: str,
    keys: Sequence[str],
    glyphs: Glyphs,
    *,
    bars: bool = False,
    impls: bool = False,
) -> Section:
    """One row a key, one group of columns a phase; in the order of the first phase that has it.

    Args:
        bars: whether a bar stands beside each share.
        impls: whether the code that ran stands below each kernel.
    """
    with_calls = "calls" in breakdown.uncut[by].columns
    columns = [Column(key) for key in keys]
    for summary in breakdown.phases:
        columns += [Column("calls", number=True)] if with_calls else []
        columns += [Column(f"{summary.phase} ms", number=True), Column("share", number=True)]
        columns += [Column("")] if bars else []

    def cells(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
        made = []
        for summary in breakdown.phases:
            row = found.get(summary.phase, {})
            made += [calls_text(row.get("calls"))] if with_calls else []
            made += [milliseconds(row.get("time_ms")), percent(row.get("share"))]
            made += [_bar(row.get("share"), glyphs)] if bars else []
        return made

    # What is in the top of one phase is shown with its time in every phase.
    everything = _by_key(breakdown.uncut[by], keys)
    shown = _by_key(breakdown.tables[by], keys)
    below = _by_key(breakdown.impls, ["kernel", "impl"]) if impls else {}
    made = []
    for key in shown:
        names = [printable(NONE if part is None else str(part), glyphs) for part in key]
        made.append((*names, *cells(everything[key])))
        for (kernel, impl), found in below.items():
            if kernel == key[0] and impl not in _UNREMARKABLE:
                made.append((f"  {_cut(impl, _IMPL_WIDTH, glyphs)}", *cells(found)))
    if len(shown) < len(everything):
        title = f"{title} ({len(shown)} of {len(everything)})"
    return Section(title, tuple(columns), made)


def _by_key(rows: pd.DataFrame, keys: Sequence[str]) -> dict[_Key, dict[str, dict[str, Any]]]:
    """Key -> phase -> row, in the order of the rows."""
    found: dict[_Key, dict[str, dict[str, Any]]] = {}
    for row in records(rows):
        found.setdefault(tuple(row[key] for key in keys), {})[row["phase"]] = row
    return found


def _bar(share: float | None, glyphs: Glyphs) -> str:
    return glyphs.bar * max(0, min(_BAR_WIDTH, round((share or 0.0) * _BAR_WIDTH)))


def _layer_spread(breakdown: Breakdown) -> Section:
    columns = (
        Column("phase"),
        Column("layers", number=True),
        Column("median ms", number=True),
        Column("fastest ms", number=True),
        Column("(layer)", number=True),
        Column("slowest ms", number=True),
        Column("(layer)", number=True),
        Column("outside ms", number=True),
    )
    rows = [
        (
            spread.phase,
            str(spread.n_layers),
            milliseconds(spread.median_ms),
            milliseconds(spread.fastest_ms),
            str(spread.fastest_layer),
            milliseconds(spread.slowest_ms),
            str(spread.slowest_layer),
            milliseconds(spread.outside_ms),
        )
        for spread in breakdown.layer_spreads
    ]
    return Section("Layers", columns, rows, notes=layer_note(breakdown))


def _op_section(breakdown: Breakdown, phase: str, glyphs: Glyphs) -> Section:
    # On 80 columns there is room for one of the two; a bound tells more than a bandwidth.
    bounded = bool(breakdown.uncut["op"]["bound"].notna().any())
    columns: tuple[Column, ...] = (
        Column("tensor"),
        Column("kernel"),
        Column("part"),
        Column("types", wide=True),
        Column("shape", wide=True),
        Column("impl", wide=True),
        Column("ms", number=True),
        Column("wait", number=True, wide=True),
        Column("imbalance", number=True, wide=True),
        Column("share", number=True),
        Column("GB/s", number=True, wide=bounded),
        Column("GFLOP/s", number=True, wide=True),
    )
    if bounded:
        columns += (Column("ceiling", number=True, wide=True), Column("bound"))
    # The whole list is asked for by name; the usual set shows its head.
    top = breakdown.top or (None if breakdown.by == "op" else TOP_OPS)
    rows = records(_phase_rows(breakdown, "op", phase, top))
    cells = [
        (
            _cut(row["tensor"] or row["op"], _TENSOR_WIDTH, glyphs),
            _cut("+".join(row["fused"]).lower() or row["kernel"], 15, glyphs),
            _cut("/".join(p for p in (row["block"], row["part"]) if p), _PART_WIDTH, glyphs),
            printable(row["dtypes"], glyphs),
            "x".join(str(n) for n in row["shape"]),
            printable(row["impl"] or NONE, glyphs),
            milliseconds(row["time_ms"]),
            milliseconds(row["wait_ms"]),
            ratio(row["imbalance"]),
            percent(row["share"]),
            rate(row["gbps"]),
            rate(row["gflops"]),
            *((percent(row["ceiling_share"]), row["bound"] or NONE) if bounded else ()),
        )
        for row in rows
    ]
    return Section(_title(breakdown, "op", phase, "Ops", len(cells)), columns, cells)


def _tensor_section(breakdown: Breakdown, phase: str, glyphs: Glyphs) -> Section:
    columns = (
        Column("tensor"),
        Column("layer", number=True),
        Column("block"),
        Column("calls", number=True),
        Column("ms", number=True),
        Column("share", number=True),
    )
    rows = records(_phase_rows(breakdown, "tensor", phase, breakdown.top or TOP_TENSORS))
    cells = [
        (
            _cut(row["tensor"] or NONE, 28, glyphs),
            NONE if row["layer"] is None else str(row["layer"]),
            printable(row["block"], glyphs),
            calls_text(row["calls"]),
            milliseconds(row["time_ms"]),
            percent(row["share"]),
        )
        for row in rows
    ]
    return Section(_title(breakdown, "tensor", phase, "Tensors", len(cells)), columns, cells)


def _cut(text: str, width: int, glyphs: Glyphs) -> str:
    return shortened(printable(text, glyphs), width, glyphs)


def _phase_rows(breakdown: Breakdown, by: str, phase: str, top: int | None) -> pd.DataFrame:
    rows = breakdown.tables[by]
    chosen: pd.DataFrame = rows[rows["phase"] == phase]
    return chosen if top is None else chosen.head(top)


def _title(breakdown: Breakdown, by: str, phase: str, what: str, n_shown: int) -> str:
    n_all = int((breakdown.uncut[by]["phase"] == phase).sum())
    return f"{what} of {phase} ({n_shown} of {n_all})" if n_shown < n_all else f"{what} of {phase}"
