"""Differences between layers: found one by one, and told together where they mean the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .classes import usual
from .flags import (
    TYPE,
    Builds,
    LayerFlag,
    OddBlocks,
    OddColumns,
    OddImpl,
    OddOps,
    OddParts,
    OddShapes,
    OddTypes,
    OddWindows,
    WeightShape,
    WeightType,
)

_N_NAMED_OPS = 3


@dataclass(frozen=True)
class Difference:
    """Layers in which one thing is not as in most. `what` and `usual` can be hashed.

    Attributes:
        phase: where it was seen; None for both phases.
        block: "" for the layer as a whole.
        kind: as the flag's.
        about: what is compared: `blocks`, `parts`, `weights`, `columns`, `impls`, `windows` or
            `ops`.
        subject: the weight or part that it is about, where there is one.
        n_values: how many values there are in all layers.
        n_usual: how many layers have the usual one.
    """

    phase: str | None
    layers: tuple[int, ...]
    block: str
    kind: str
    about: str
    what: Hashable
    usual: Hashable
    subject: str = ""
    n_values: int = 2
    n_usual: int = 0


def differences(
    values: Mapping[int, Any],
    phase: str | None,
    block: str,
    kind: str,
    about: str,
    subject: str = "",
    least: Mapping[Any, float] | None = None,
) -> Iterator[Difference]:
    """One for each value that is not the usual one, with the layers that have it."""
    common = usual(values.values(), least) if values else None
    odd: dict[Hashable, list[int]] = {}
    for layer, value in values.items():
        if value != common:
            odd.setdefault(value, []).append(layer)
    for value, found in odd.items():
        layers = tuple(sorted(found))
        yield Difference(
            phase, layers, block, kind, about, value, common, subject,
            n_values=len(odd) + 1, n_usual=len(values) - sum(map(len, odd.values())),
        )  # fmt: skip


def joined(found: Iterable[Difference]) -> list[LayerFlag]:
    """Differences of the same layers joined: over phases first, then over weights and parts."""
    of_phases: dict[Difference, set[str | None]] = {}
    for one in found:
        of_phases.setdefault(replace(one, phase=None), set()).add(one.phase)
    groups: dict[tuple[Any, ...], list[Difference]] = {}
    for one, phases in of_phases.items():
        phase = next(iter(phases)) if len(phases) == 1 else None
        key = (phase, one.layers, one.kind, one.about, *_JOINED_BY[one.about](one))
        groups.setdefault(key, []).append(one)
    return [_flag(key[0], members) for key, members in groups.items()]


# What differences of the same layers must have in common to be told in one sentence.
_JOINED_BY: dict[str, Callable[[Difference], tuple[Any, ...]]] = {
    "blocks": lambda one: (one.what,),
    "parts": lambda one: (one.block,),
    "weights": lambda one: (one.kind,),
    "columns": lambda one: (one.block, one.what, one.usual),
    "impls": lambda one: (one.what, one.usual),
    "windows": lambda one: (one.what,),
    "ops": lambda one: (one.block, one.what),
}


def _flag(phase: str | None, members: Sequence[Difference]) -> LayerFlag:
    one = members[0]
    blocks = {member.block for member in members}
    block = one.block if len(blocks) == 1 and one.block else None
    return LayerFlag(phase, one.layers, block, _figures(members))


def _figures(members: Sequence[Difference]) -> Builds:
    one: Any = members[0]
    subjects = [member.subject for member in members]
    if one.about == "blocks":
        return OddBlocks(blocks=one.what, usual_blocks=one.usual, n_kinds=one.n_values)
    if one.about == "parts":
        return OddParts(
            parts_extra=tuple(sorted(one.what - one.usual)),
            parts_missing=tuple(sorted(one.usual - one.what)),
        )
    if one.about == "columns":
        return OddColumns(n_columns=one.what, usual_n_columns=one.usual, parts=tuple(subjects))
    if one.about == "impls":
        return OddImpl(
            impl=" + ".join(one.what),
            usual_impl=" + ".join(one.usual),
            parts=tuple(sorted(set(subjects))),
        )
    if one.about == "windows":
        return OddWindows(
            window=one.what or None, usual_window=one.usual or None,
            n_windows=one.n_values, n_usual=one.n_usual,
        )  # fmt: skip
    if one.about == "ops":
        return OddOps(ops=one.what[:_N_NAMED_OPS], n_ops=len(one.what))
    typed: Sequence[Any] = members
    if one.kind == TYPE:
        return OddTypes(
            weights=tuple(WeightType(m.subject, m.what, m.usual, m.n_values) for m in typed)
        )
    return OddShapes(
        weights=tuple(WeightShape(m.subject, _shape(m.what), _shape(m.usual)) for m in typed)
    )


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in value)
