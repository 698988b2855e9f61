"""Layers against blocks, and the layers that stand out, in sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ....analysis.layers import flags
from ....analysis.layers.flags import LayerFlag
from ....analysis.verdicts.breakdown import Breakdown
from ..parts import Finding, HeatMap, Note, Section, listed, ranges
from ..quantities import milliseconds, ratio, shape_text
from ..records import records

_MOST_RUNS = 16
# A recipe that picks a type for each tensor has a flag for nearly each.
_MOST_OF_KIND = 5


def layer_section(breakdown: Breakdown) -> Section:
    """A map of all phases, what is outside the layers, and the flags."""
    outside = tuple(map(Note, _outside(breakdown)))
    odd = tuple(map(Finding, flag_texts(breakdown.layer_flags)))
    shown = sorted({int(n) for n in breakdown.tables["layer"]["layer"].dropna()})
    if not shown:
        return Section("Layers", tuple(Finding(note.text) for note in outside))
    n_all = breakdown.layer_map["layer"].nunique()
    title = "Layers" if len(shown) == n_all else f"Layers ({len(shown)} of {n_all})"
    return Section(title, (_heat_map(breakdown, shown), *outside, *odd))


def _heat_map(breakdown: Breakdown, shown: Sequence[int]) -> HeatMap:
    cells = breakdown.layer_map
    order = [summary.phase for summary in breakdown.phases]
    pairs = cells[["phase", "block"]].drop_duplicates().itertuples(index=False)
    columns = sorted(
        ((str(phase), str(block)) for phase, block in pairs),
        key=lambda column: (order.index(column[0]), column[1]),
    )
    found = {(row["phase"], row["block"], row["layer"]): row for row in records(cells)}
    medians = cells.groupby(["phase", "block"])["time_ms"].median()

    def of(layer: int, name: str) -> tuple[float | None, ...]:
        return tuple(found.get((*column, layer), {}).get(name) for column in columns)

    return HeatMap(
        row_title="layer",
        rows=[str(layer) for layer in shown],
        columns=tuple(columns),
        values=[of(layer, "time_ms") for layer in shown],
        relative=[of(layer, "relative") for layer in shown],
        medians=tuple(float(medians[column]) for column in columns),
        unit="ms",
    )


def _outside(breakdown: Breakdown) -> list[str]:
    rows = breakdown.uncut["layer"]
    lines = []
    for summary in breakdown.phases:
        chosen = rows[(rows["phase"] == summary.phase) & rows["layer"].isna()]
        blocks = [
            f"{row['block']} {milliseconds(row['time_ms'])} ms"
            for row in records(chosen.sort_values("time_ms", ascending=False))
        ]
        if blocks:
            lines.append(f"Outside the layers, {summary.phase}: {', '.join(blocks)}.")
    return lines


def flag_text(flag: LayerFlag) -> str:
    """A flag as one sentence with its figures."""
    where = f" ({flag.phase})" if flag.phase else ""
    return f"{_layers(flag.layers)}{where}: {_said(flag)}{_compared(flag)}."


def flag_texts(flags: Sequence[LayerFlag]) -> tuple[str, ...]:
    """The flags as sentences; of each kind those that differ most from the rest, others counted."""
    shown = []
    kinds = Counter(flag.kind for flag in flags)
    for kind, n in kinds.items():
        own = [flag for flag in flags if flag.kind == kind]
        loudest = sorted(own, key=_loudness, reverse=True)[:_MOST_OF_KIND]
        shown += [flag_text(flag) for flag in own if flag in loudest]
        if n > _MOST_OF_KIND:
            more = n - _MOST_OF_KIND
            shown.append(f"{more} more of this kind ({kind}); --format json has them all.")
    return tuple(shown)


def _loudness(flag: LayerFlag) -> float:
    """How far the times of these layers are from those of the others, as a factor's logarithm."""
    figures = flag.figures
    if isinstance(figures, flags.OddTime):
        ratios = [*figures.ratio]
    else:
        ratios = [r for blocks in figures.time_ratio.values() for r in blocks.values()]
    return max((abs(math.log(r)) for r in ratios if 0 < r < math.inf), default=0.0)


def flag_record(flag: LayerFlag) -> dict[str, Any]:
    """A flag as a record of `breakdown --format json`."""
    return {
        "phase": flag.phase,
        "layers": list(flag.layers),
        "block": flag.block,
        "kind": flag.kind,
        "text": flag_text(flag),
        "figures": flag.figures.to_json(),
    }


def _said(flag: LayerFlag) -> str:
    figures = flag.figures
    if isinstance(figures, flags.OddTypes):
        types = [
            (one.weight, one.type, f"{'mostly ' if one.n_types > 2 else ''}{one.usual_type}")
            for one in figures.weights
        ]
        return _unlike("is", "are", types)
    if isinstance(figures, flags.OddShapes):
        shapes = [
            (one.weight, f"{shape_text(one.shape)} elements", shape_text(one.usual_shape))
            for one in figures.weights
        ]
        return _unlike("has", "have", shapes)
    if isinstance(figures, flags.OddColumns):
        return _columns(flag.block, figures)
    if isinstance(figures, flags.OddImpl):
        where = f"{flag.block or 'op'} ({listed(figures.parts)})"
        return f"{where} runs {figures.impl}, elsewhere {figures.usual_impl}"
    if isinstance(figures, flags.OddTime):
        return _time(flag, figures)
    if isinstance(figures, flags.OddBlocks):
        mostly = "mostly " if figures.n_kinds > 2 else ""
        return f"{listed(figures.blocks)}, elsewhere {mostly}{listed(figures.usual_blocks)}"
    if isinstance(figures, flags.OddWindows):
        others = "mostly" if figures.n_windows > 2 else f"the other {figures.n_usual}"
        own, usual = _window(figures.window), _window(figures.usual_window)
        return f"attention to {own}, {others} to {usual}"
    if isinstance(figures, flags.OddOps):
        more = figures.n_ops - len(figures.ops)
        names = [*figures.ops, *([f"{more} more"] if more else [])]
        return f"{flag.block} runs other ops or sizes than elsewhere: {listed(names)}"
    extra, missing = figures.parts_extra, figures.parts_missing
    said = [
        f"with {listed(extra)}" if extra else "",
        f"without {listed(missing)}" if missing else "",
    ]
    return f"{flag.block} {', '.join(text for text in said if text)}, unlike other layers"


def _window(n_tokens: int | None) -> str:
    return "the whole context" if n_tokens is None else f"a window of {n_tokens} tokens"


def _unlike(one: str, many: str, weights: Sequence[tuple[str, str, str]]) -> str:
    """What weights are or have and others elsewhere, those that are alike in one clause.

    Args:
        one, many: the verb.
        weights: name, what it is or has, and what is usual.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for weight, own, usual in weights:
        groups.setdefault((own, usual), []).append(weight)
    return "; ".join(
        f"{listed(names)} {many if len(names) > 1 else one} {own}, elsewhere {usual}"
        for (own, usual), names in groups.items()
    )


def _columns(block: str | None, figures: flags.OddColumns) -> str:
    own, usual = figures.n_columns, figures.usual_n_columns
    text = (
        f"{block} ({listed(figures.parts)}) works on {own} "
        f"token{'s' if own != 1 else ''}, elsewhere on {usual}"
    )
    if figures.is_last and own < usual:
        text += ": behind the last layer only the wanted outputs are needed"
    return text


def _time(flag: LayerFlag, figures: flags.OddTime) -> str:
    low, high = (ratio(value) for value in figures.ratio)
    span = low if low == high else f"{low}x to {high}"
    which = f"layer {figures.layer}: " if len(flag.layers) > 1 else ""
    reason = (
        "; it is the first layer: cold caches, or noise"
        if figures.is_first
        else "; noise, or what the caches held"
    )
    return (
        f"{flag.block} takes {span}x the median of layers that are built alike "
        f"({which}{milliseconds(figures.time_ms)} ms, "
        f"median {milliseconds(figures.median_ms)}), "
        f"with no difference in weights or code{reason}"
    )


def _compared(flag: LayerFlag) -> str:
    ratios = {} if isinstance(flag.figures, flags.OddTime) else flag.figures.time_ratio
    told = []
    for phase, blocks in ratios.items():
        values = ", ".join(f"{block} {ratio(value)}x" for block, value in blocks.items())
        told.append(values if flag.phase else f"{values} in {phase}")
    return f"; time against the other layers: {', '.join(told)}" if told else ""


def _layers(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"Layer {numbers[0]}"
    texts = [
        f"{a}" if a == b else f"{a}{', ' if b == a + 1 else '-'}{b}" for a, b in ranges(numbers)
    ]
    if len(texts) > _MOST_RUNS:
        texts = [*texts[:_MOST_RUNS], "and others"]
        return f"Layers {', '.join(texts[:-1])} {texts[-1]} ({len(numbers)} layers)"
    return f"Layers {', '.join(texts)}"
