"""Layers that stand out, and what is different about them (docs/measurement.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ...profiles.tables import trimmed_shape
from .classes import CONVERSIONS, SELECTION, Build, LayerBlock, layer_blocks, usual

TIME, TYPE, SIZE, STRUCTURE, IMPL = "time", "type", "size", "structure", "impl"
KINDS = (STRUCTURE, TYPE, SIZE, IMPL, TIME)

# A layer stands out in time if it is so far from the median of its like, both relatively and in
# units of their spread, and if the difference is so much of a whole layer.
MIN_DIFFERENCE = 0.15
MIN_DEVIATIONS = 3.0
MIN_OF_LAYER = 0.05
# Of fewer layers that are built alike, none can be told to be the odd one.
MIN_ALIKE = 4
# The MAD of normally distributed values, times this, is their standard deviation.
_MAD_TO_SIGMA = 1.4826

_N_NAMED_OPS = 3


@dataclass(frozen=True)
class LayerFlag:
    """What some layers have in common that the others do not.

    Attributes:
        phase: where it was seen; None for both phases.
        layers: in order.
        block: None where several blocks of these layers differ in the same way.
        kind: of `KINDS`.
        figures: by kind; plain values.
            type: `weights` [{`weight`, `type`, `usual_type`, `n_types` that it has in all}].
            size: `weights` [{`weight`, `shape`, `usual_shape`}], or `n_columns` and
            `usual_n_columns`: tokens that the block's products work on, and their `parts`.
            structure: `blocks`, `usual_blocks` and `n_kinds` of layers that there are; or
            `parts_extra` and `parts_missing`; or `ops` (some of `n_ops`): operators of the block
            that run otherwise than in other layers.
            impl: `impl`, `usual_impl`, `parts`.
            time: `layer`, the one that stands out most, its `time_ms`, and `median_ms` of the
            layers that are built alike; `ratio` [least, largest] of all.
            All: `is_first`, `is_last`: whether the layers are the model's first or last one.
            All but time: `time_ratio` {phase: {block: r}}: median time of the block in these
            layers over that in the other layers that have it.
    """

    phase: str | None
    layers: tuple[int, ...]
    block: str | None
    kind: str
    figures: dict[str, Any]


def layer_flags(ops: pd.DataFrame, weights: pd.DataFrame) -> tuple[LayerFlag, ...]:
    """Flags of a profile's layers, structural ones first.

    A difference that several layers share is one flag; where both phases show it, too.

    Args:
        ops: op rows (`analysis.tables.ops`).
        weights: `analysis.memory.weights.weight_table` of the same profile.
    """
    layers = _Layers(layer_blocks(ops))
    if len(layers.numbers) < 2:
        return ()
    raw = [
        *layers.of_blocks(),
        *layers.of_parts(),
        *_of_weights(weights, layers),
        *layers.of_columns(),
        *layers.of_impls(),
    ]
    explained = {
        (phase, layer, one.block)
        for one in raw
        for phase in one.phases(layers)
        for layer in one.layers
    }
    raw += layers.of_other_ops(explained)
    flags = [*layers.with_ratios(_merged(raw)), *layers.of_time()]
    return tuple(sorted(flags, key=_order))


def _order(flag: LayerFlag) -> tuple[Any, ...]:
    return (KINDS.index(flag.kind), flag.phase == "decode", flag.layers, flag.block or "")


@dataclass(frozen=True)
class _Raw:
    """A difference before flags of one meaning are joined. `what` and `usual` can be hashed."""

    phase: str | None
    layers: tuple[int, ...]
    block: str
    kind: str
    about: str
    what: Hashable
    usual: Hashable
    subject: str = ""
    n_values: int = 2

    def phases(self, layers: _Layers) -> Iterable[str]:
        return layers.phases if self.phase is None else (self.phase,)


class _Layers:
    """All layers of a profile, and where they differ."""

    def __init__(self, found: Sequence[LayerBlock]) -> None:
        self.found = found
        self.numbers = sorted({one.layer for one in found})
        self.phases = tuple(dict.fromkeys(one.phase for one in found))
        self.groups: dict[tuple[str, str], list[LayerBlock]] = {}
        self.blocks: dict[tuple[str, int], list[str]] = {}
        self.layer_ms: dict[tuple[str, int], float] = {}
        for one in found:
            self.groups.setdefault((one.phase, one.block), []).append(one)
            key = (one.phase, one.layer)
            self.blocks.setdefault(key, []).append(one.block)
            self.layer_ms[key] = self.layer_ms.get(key, 0.0) + one.time_ms

    def runs_as(self, layer: int, block: str) -> str:
        """The block of a layer that weights of a block's names stand in: a recurrent mixer may
        bear attention's names."""
        blocks = self.blocks.get((self.phases[0], layer), [])
        swapped = {"attention": "recurrent", "recurrent": "attention"}.get(block, block)
        return swapped if block not in blocks and swapped in blocks else block

    def of_blocks(self) -> list[_Raw]:
        raw = []
        for phase in self.phases:
            sets = {
                layer: tuple(sorted(blocks))
                for (of_phase, layer), blocks in self.blocks.items()
                if of_phase == phase
            }
            raw += _odd(sets, phase, "", STRUCTURE, "blocks")
        return raw

    def of_parts(self) -> list[_Raw]:
        raw = []
        for (phase, block), group in self.groups.items():
            # Which rows are kept is told by the columns of the products after it.
            sets = {one.layer: one.build.parts - {SELECTION} for one in group}
            raw += _odd(sets, phase, block, STRUCTURE, "parts")
        return raw

    def of_columns(self) -> list[_Raw]:
        raw = []
        for (phase, block), group in self.groups.items():
            for part in sorted({part for one in group for part in one.build.n_columns}):
                columns = {
                    one.layer: one.build.n_columns[part]
                    for one in group
                    if part in one.build.n_columns
                }
                raw += _odd(columns, phase, block, SIZE, "columns", part)
        return raw

    def of_impls(self) -> list[_Raw]:
        raw = []
        for (phase, block), group in self.groups.items():
            # Other code for another type or size is no news; for the same ones, it is.
            for key in sorted({key for one in group for key in one.build.impls}):
                codes = {
                    one.layer: tuple(sorted(one.build.impls[key]))
                    for one in group
                    if key in one.build.impls
                }
                raw += _odd(codes, phase, block, IMPL, "impls", key[0])
        return raw

    def of_other_ops(self, explained: set[tuple[str, int, str]]) -> list[_Raw]:
        """Layers that are not built as the usual ones, and of which no other flag says why."""
        raw = []
        for (phase, block), group in self.groups.items():
            rest = [
                one
                for one in group
                if explained.isdisjoint({(phase, one.layer, block), (phase, one.layer, "")})
            ]
            if not rest:
                continue
            common = usual(one.build for one in rest)
            odd: dict[tuple[str, ...], list[int]] = {}
            for one in rest:
                if one.build is not common and (names := _other_ops(one.build, common)):
                    odd.setdefault(names, []).append(one.layer)
            for names, layers in odd.items():
                raw.append(_Raw(phase, tuple(layers), block, STRUCTURE, "ops", names, ()))
        return raw

    def of_time(self) -> list[LayerFlag]:
        """Layers that take more or less time than others that are built alike."""
        flags = []
        for (phase, block), group in self.groups.items():
            whole = float(np.median([self.layer_ms[phase, one.layer] for one in group]))
            alike: dict[int, list[LayerBlock]] = {}
            for one in group:
                alike.setdefault(id(one.build), []).append(one)
            slow: list[_Odd] = []
            fast: list[_Odd] = []
            for members in alike.values():
                if len(members) >= MIN_ALIKE:
                    _find_odd(members, whole, slow, fast)
            flags += [_time_flag(phase, block, odd, self.numbers) for odd in (slow, fast) if odd]
        return flags

    def with_ratios(self, flags: Iterable[LayerFlag]) -> list[LayerFlag]:
        """The flags, each with how long its layers take against the others."""
        made = []
        for flag in flags:
            ratios: dict[str, dict[str, float]] = {}
            for (phase, block), group in self.groups.items():
                if flag.phase not in (None, phase) or flag.block not in (None, block):
                    continue
                chosen = set(flag.layers)
                own = [one.time_ms for one in group if one.layer in chosen]
                others = [one.time_ms for one in group if one.layer not in chosen]
                below = float(np.median(others)) if others else 0.0
                if own and below > 0:
                    ratios.setdefault(phase, {})[block] = float(np.median(own)) / below
            figures = {
                **flag.figures,
                "is_first": flag.layers == (self.numbers[0],),
                "is_last": flag.layers == (self.numbers[-1],),
                "time_ratio": ratios,
            }
            made.append(LayerFlag(flag.phase, flag.layers, flag.block, flag.kind, figures))
        return made


@dataclass(frozen=True)
class _Odd:
    """A layer, its time, and the median of the layers that are built alike."""

    layer: int
    time_ms: float
    median_ms: float


def _find_odd(
    members: Sequence[LayerBlock], layer_ms: float, slow: list[_Odd], fast: list[_Odd]
) -> None:
    """Adds those of the members, which are built alike, whose time is far from their median."""
    times = np.array([one.time_ms for one in members])
    median = float(np.median(times))
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(times - median)))
    limit = max(MIN_DIFFERENCE * median, MIN_DEVIATIONS * spread, MIN_OF_LAYER * layer_ms)
    for one in members:
        # Without a median there is nothing to compare with.
        if median > 0 and abs(one.time_ms - median) > limit:
            odd = slow if one.time_ms > median else fast
            odd.append(_Odd(one.layer, one.time_ms, median))


def _time_flag(phase: str, block: str, odd: Sequence[_Odd], numbers: Sequence[int]) -> LayerFlag:
    ratios = [one.time_ms / one.median_ms for one in odd]
    extreme = odd[int(np.argmax(np.abs(np.log(np.maximum(ratios, 1e-12)))))]
    layers = tuple(sorted(one.layer for one in odd))
    figures: dict[str, Any] = {
        "layer": extreme.layer,
        "time_ms": extreme.time_ms,
        "median_ms": extreme.median_ms,
        "ratio": [min(ratios), max(ratios)],
        "is_first": layers == (numbers[0],),
        "is_last": layers == (numbers[-1],),
    }
    return LayerFlag(phase, layers, block, TIME, figures)


def _other_ops(build: Build, common: Build) -> tuple[str, ...]:
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


def _of_weights(weights: pd.DataFrame, layers: _Layers) -> list[_Raw]:
    """Weights whose type or shape is not that of the same weight in most layers."""
    inside = weights[weights["layer"].notna() & weights["layer"].isin(layers.numbers)]
    raw = []
    for stem, rows in inside.groupby("stem", sort=True):
        if len(rows) < 2:
            continue
        numbers = [int(layer) for layer in rows["layer"]]
        block = layers.runs_as(numbers[0], str(rows["block"].iloc[0]))
        types = dict(zip(numbers, rows["type"].tolist(), strict=True))
        bits = (rows["size_bytes"] / rows["n_elements"]).tolist()
        least = dict(zip(types.values(), bits, strict=True))
        raw += _odd(types, None, block, TYPE, "weights", str(stem), least)
        shapes = dict(zip(numbers, map(trimmed_shape, rows["shape"].tolist()), strict=True))
        raw += _odd(shapes, None, block, SIZE, "weights", str(stem))
    return raw


def _odd(
    values: Mapping[int, Any],
    phase: str | None,
    block: str,
    kind: str,
    about: str,
    subject: str = "",
    least: Mapping[Any, float] | None = None,
) -> list[_Raw]:
    """One difference for each value that is not the usual one, with the layers that have it."""
    if len(values) < 2 or len(set(values.values())) == 1:
        return []
    common = usual(values.values(), least)
    odd: dict[Hashable, list[int]] = {}
    for layer, value in values.items():
        if value != common:
            odd.setdefault(value, []).append(layer)
    return [
        _Raw(phase, tuple(sorted(found)), block, kind, about, value, common, subject, len(odd) + 1)
        for value, found in odd.items()
    ]


def _merged(raw: Iterable[_Raw]) -> list[LayerFlag]:
    """Differences of the same layers joined: over phases first, then over weights and parts."""
    of_phases: dict[_Raw, set[str | None]] = {}
    for one in raw:
        of_phases.setdefault(replace(one, phase=None), set()).add(one.phase)
    joined: dict[tuple[Any, ...], list[_Raw]] = {}
    for one, phases in of_phases.items():
        phase = next(iter(phases)) if len(phases) == 1 else None
        key = (phase, one.layers, one.kind, one.about, *_JOINED_BY[one.about](one))
        joined.setdefault(key, []).append(one)
    return [_flag(key[0], members) for key, members in joined.items()]


# What differences of the same layers must have in common to be told in one sentence.
_JOINED_BY: dict[str, Callable[[_Raw], tuple[Any, ...]]] = {
    "blocks": lambda one: (one.what,),
    "parts": lambda one: (one.block,),
    "weights": lambda one: (one.kind,),
    "columns": lambda one: (one.block, one.what, one.usual),
    "impls": lambda one: (one.what, one.usual),
    "ops": lambda one: (one.block, one.what),
}


def _flag(phase: str | None, members: Sequence[_Raw]) -> LayerFlag:
    one = members[0]
    blocks = {member.block for member in members}
    block = one.block if len(blocks) == 1 and one.block else None
    return LayerFlag(phase, one.layers, block, one.kind, _figures(members))


def _figures(members: Sequence[_Raw]) -> dict[str, Any]:
    one: Any = members[0]
    if one.about == "blocks":
        return {
            "blocks": list(one.what),
            "usual_blocks": list(one.usual),
            "n_kinds": one.n_values,
        }
    if one.about == "parts":
        return {
            "parts_extra": sorted(one.what - one.usual),
            "parts_missing": sorted(one.usual - one.what),
        }
    if one.about == "columns":
        return {
            "n_columns": one.what,
            "usual_n_columns": one.usual,
            "parts": [member.subject for member in members],
        }
    if one.about == "impls":
        return {
            "impl": " + ".join(one.what),
            "usual_impl": " + ".join(one.usual),
            "parts": sorted({member.subject for member in members}),
        }
    if one.about == "ops":
        return {"ops": list(one.what[:_N_NAMED_OPS]), "n_ops": len(one.what)}
    if one.kind == TYPE:
        return {
            "weights": [
                {"weight": m.subject, "type": m.what, "usual_type": m.usual, "n_types": m.n_values}
                for m in members
            ]
        }
    return {
        "weights": [
            {
                "weight": m.subject,
                "shape": list(_shape(m.what)),
                "usual_shape": list(_shape(m.usual)),
            }
            for m in members
        ]
    }


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in value)
