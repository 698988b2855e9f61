"""Finds the layers that stand out: built otherwise than most, or slower than their like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ...profiles.tables import trimmed_shape
from ..graphs.nodes import CONVERSIONS
from .classes import SELECTION, Build, LayerBlock, Layers, usual
from .differences import Difference, differences, joined
from .flags import IMPL, KINDS, SIZE, STRUCTURE, TYPE, LayerFlag, OddTime

# A layer stands out in time if it is so far from the median of its like, both relatively and in
# units of their spread, and if the difference is so much of a whole layer.
MIN_DIFFERENCE = 0.15
MIN_DEVIATIONS = 3.0
MIN_OF_LAYER = 0.05
# Of fewer layers that are built alike, none can be told to be the odd one.
MIN_ALIKE = 4
# The MAD of normally distributed values, times this, is their standard deviation.
_MAD_TO_SIGMA = 1.4826


def layer_flags(
    ops: pd.DataFrame, weights: pd.DataFrame, windows: Mapping[int, int] | None = None
) -> tuple[LayerFlag, ...]:
    """Flags of a profile's layers, structural ones first.

    A difference that several layers share is one flag; where both phases show it, too.

    Args:
        ops: op rows (`analysis.tables.ops`).
        weights: `analysis.memory.weights.weight_table` of the same profile.
        windows: `analysis.layers.windows.layer_windows` of the same profile, where it is known.
    """
    layers, windows = Layers(ops), windows or {}
    if len(layers.numbers) < 2:
        return ()
    found = [
        *_other_blocks(layers),
        *_other_parts(layers),
        *_other_weights(layers, weights),
        *_other_columns(layers),
        *_other_impls(layers),
    ]
    of_windows = list(_other_windows(layers, windows))
    explained = {
        (phase, layer, one.block)
        for one in found
        for phase in (layers.phases if one.phase is None else (one.phase,))
        for layer in one.layers
    }
    found += [*of_windows, *_other_ops(layers, explained, windows)]
    flags = [_with_ratios(layers, flag) for flag in joined(found)]
    return tuple(sorted([*flags, *_other_times(layers)], key=_order))


def _order(flag: LayerFlag) -> tuple[Any, ...]:
    return (KINDS.index(flag.kind), flag.phase == "decode", flag.layers, flag.block or "")


def _other_blocks(layers: Layers) -> Iterator[Difference]:
    """Layers with other blocks than most."""
    for phase in layers.phases:
        sets = {
            layer: tuple(sorted(blocks))
            for (of_phase, layer), blocks in layers.blocks.items()
            if of_phase == phase
        }
        yield from differences(sets, phase, "", STRUCTURE, "blocks")


def _other_parts(layers: Layers) -> Iterator[Difference]:
    """Blocks with other parts; which rows are kept is told by the columns of the products after."""
    for (phase, block), group in layers.groups.items():
        sets = {one.layer: one.build.parts - {SELECTION} for one in group}
        yield from differences(sets, phase, block, STRUCTURE, "parts")


def _other_columns(layers: Layers) -> Iterator[Difference]:
    """Parts whose products work on more or fewer tokens."""
    for (phase, block), group in layers.groups.items():
        for part in sorted({part for one in group for part in one.build.n_columns}):
            columns = {
                one.layer: one.build.n_columns[part] for one in group if part in one.build.n_columns
            }
            yield from differences(columns, phase, block, SIZE, "columns", part)


def _other_impls(layers: Layers) -> Iterator[Difference]:
    """Ops that other code computes. For another type or size it is no news; for the same it is."""
    for (phase, block), group in layers.groups.items():
        for key in sorted({key for one in group for key in one.build.impls}):
            codes = {
                one.layer: tuple(sorted(one.build.impls[key]))
                for one in group
                if key in one.build.impls
            }
            yield from differences(codes, phase, block, IMPL, "impls", key[0])


def _other_weights(layers: Layers, weights: pd.DataFrame) -> Iterator[Difference]:
    """Weights whose type or shape is not that of the same weight in most layers."""
    inside = weights[weights["layer"].notna() & weights["layer"].isin(layers.numbers)]
    for stem, rows in inside.groupby("stem", sort=True):
        numbers = [int(layer) for layer in rows["layer"]]
        block = layers.runs_as(numbers[0], str(rows["block"].iloc[0]))
        types = dict(zip(numbers, rows["type"].tolist(), strict=True))
        bits = (rows["size_bytes"] / rows["n_elements"]).tolist()
        least = dict(zip(types.values(), bits, strict=True))
        yield from differences(types, None, block, TYPE, "weights", str(stem), least)
        shapes = dict(zip(numbers, map(trimmed_shape, rows["shape"].tolist()), strict=True))
        yield from differences(shapes, None, block, SIZE, "weights", str(stem))


def _other_windows(layers: Layers, windows: Mapping[int, int]) -> Iterator[Difference]:
    """Layers whose attention sees more of the context than most, or less."""
    inside = {layer: windows[layer] for layer in layers.numbers if layer in windows}
    yield from differences(inside, None, "attention", STRUCTURE, "windows")


def _other_ops(
    layers: Layers, explained: set[tuple[str, int, str]], windows: Mapping[int, int]
) -> Iterator[Difference]:
    """Layers that are not built as the usual ones, and of which nothing else says why.

    Those of another window have a cache, and so rows and scores, of another size: each is compared
    with those of its own.
    """
    for (phase, block), group in layers.groups.items():
        alike: dict[int | None, list[LayerBlock]] = {}
        for one in group:
            if explained.isdisjoint({(phase, one.layer, block), (phase, one.layer, "")}):
                window = windows.get(one.layer) if block == "attention" else None
                alike.setdefault(window, []).append(one)
        odd: dict[tuple[str, ...], list[int]] = {}
        for rest in alike.values():
            common = usual(one.build for one in rest)
            for one in rest:
                if one.build is not common and (names := _ops_of_one(one.build, common)):
                    odd.setdefault(names, []).append(one.layer)
        for names, numbers in odd.items():
            yield Difference(phase, tuple(sorted(numbers)), block, STRUCTURE, "ops", names, ())


def _ops_of_one(build: Build, common: Build) -> tuple[str, ...]:
    """The ops, with their parts, that one of two builds has otherwise than the other."""
    # A layer that keeps only the wanted rows has smaller results from there on, and that is all.
    selects = SELECTION in build.parts | common.parts
    own, other = (_counted(one, with_shapes=not selects) for one in (build, common))
    odd = {kind[:2] for kind in {*own, *other} if own[kind] != other[kind]}
    return tuple(sorted(f"{op} ({part})" if part else op for op, part in odd))


def _counted(build: Build, with_shapes: bool) -> Counter[tuple[Any, ...]]:
    if with_shapes:
        return Counter(build.ops)
    counts: Counter[tuple[Any, ...]] = Counter()
    for (op, part, dtypes, _, _, fused), n in build.ops.items():
        if part not in (SELECTION, *CONVERSIONS):
            counts[op, part, dtypes, fused] += n
    return counts


def _with_ratios(layers: Layers, flag: LayerFlag) -> LayerFlag:
    """The flag, with how long its layers take against the others."""
    ratios: dict[str, dict[str, float]] = {}
    for (phase, block), group in layers.groups.items():
        if flag.phase not in (None, phase) or flag.block not in (None, block):
            continue
        chosen = set(flag.layers)
        own = [one.time_ms for one in group if one.layer in chosen]
        others = [one.time_ms for one in group if one.layer not in chosen]
        below = float(np.median(others)) if others else 0.0
        if own and below > 0:
            ratios.setdefault(phase, {})[block] = float(np.median(own)) / below
    figures = flag.figures.replace(**_ends(layers, flag.layers), time_ratio=ratios)
    return replace(flag, figures=figures)


def _ends(layers: Layers, chosen: tuple[int, ...]) -> dict[str, bool]:
    return {"is_first": chosen == (layers.numbers[0],), "is_last": chosen == (layers.numbers[-1],)}


_Odd = tuple[LayerBlock, float]
"""A block of a layer, and the median time of those that are built alike."""


def _other_times(layers: Layers) -> Iterator[LayerFlag]:
    """Layers that take more or less time than others that are built alike."""
    for (phase, block), group in layers.groups.items():
        whole = float(np.median([layers.layer_ms[phase, one.layer] for one in group]))
        alike: dict[int, list[LayerBlock]] = {}
        for one in group:
            alike.setdefault(id(one.build), []).append(one)
        far = [
            odd
            for members in alike.values()
            if len(members) >= MIN_ALIKE
            for odd in _far_from_median(members, whole)
        ]
        for is_slow in (True, False):
            chosen = [odd for odd in far if (odd[0].time_ms > odd[1]) is is_slow]
            if chosen:
                yield _time_flag(layers, phase, block, chosen)


def _far_from_median(members: Sequence[LayerBlock], layer_ms: float) -> Iterable[_Odd]:
    """Those of the members, which are built alike, whose time is far from their median."""
    times = np.array([one.time_ms for one in members])
    median = float(np.median(times))
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(times - median)))
    limit = max(MIN_DIFFERENCE * median, MIN_DEVIATIONS * spread, MIN_OF_LAYER * layer_ms)
    # Without a median there is nothing to compare with.
    return [(one, median) for one in members if median > 0 and abs(one.time_ms - median) > limit]


def _time_flag(layers: Layers, phase: str, block: str, odd: Sequence[_Odd]) -> LayerFlag:
    ratios = [one.time_ms / median for one, median in odd]
    extreme, median = odd[int(np.argmax(np.abs(np.log(np.maximum(ratios, 1e-12)))))]
    chosen = tuple(sorted(one.layer for one, _ in odd))
    figures = OddTime(
        layer=extreme.layer,
        time_ms=extreme.time_ms,
        median_ms=median,
        ratio=(min(ratios), max(ratios)),
        **_ends(layers, chosen),
    )
    return LayerFlag(phase, chosen, block, figures)
