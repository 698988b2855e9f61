"""Which layers of a model are built alike, judged by the ops that run in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from ..graphs.edges import PRODUCT_OPS
from ..graphs.nodes import CONVERSIONS

# Keeping only the tokens whose output is wanted.
SELECTION = "row_select"

Key = TypeVar("Key", bound=Hashable)

OpKind = tuple[str, str, str, str, tuple[int, ...], tuple[str, ...]]
"""op, part, dtypes, impl, shape, fused: all that tells ops of layers apart but names and times."""


@dataclass(frozen=True, eq=False)
class Build:
    """How a block of a layer is built; layers that are built alike share one object.

    Attributes:
        parts: parts of the block that have an op.
        n_columns: part -> tokens (columns) that its products multiply with, where they agree.
        impls: (part, op, dtypes, columns) -> codes that ran.
        ops: number of ops of each kind.
    """

    parts: frozenset[str]
    n_columns: Mapping[str, int]
    impls: Mapping[tuple[str, str, str, int], frozenset[str]]
    ops: Mapping[OpKind, int]


@dataclass(frozen=True, eq=False)
class LayerBlock:
    """One block of one layer in one phase; `time_ms` is per step."""

    phase: str
    layer: int
    block: str
    time_ms: float
    build: Build


def layer_blocks(ops: pd.DataFrame) -> list[LayerBlock]:
    """The blocks of every layer, from op rows; prefill first, then by block and layer."""
    inside = ops[ops["layer"].notna()]
    if inside.empty:
        return []
    groups = inside.groupby(["phase", "block", "layer"], sort=True)
    group = groups.ngroup().to_numpy()
    times = groups["time_ms"].sum()
    kinds, kind = _kinds(inside)
    # How often each group has an op of each kind.
    pairs, counts = np.unique(group * np.int64(len(kinds)) + kind, return_counts=True)
    owner, number = np.divmod(pairs, len(kinds))
    bounds = np.searchsorted(owner, np.arange(len(times) + 1)).tolist()
    numbers, numbered = number.tolist(), counts.tolist()
    builds: dict[tuple[tuple[int, int], ...], Build] = {}
    found = []
    for i, ((phase, block, layer), time_ms) in enumerate(times.items()):
        chosen = slice(bounds[i], bounds[i + 1])
        key = tuple(zip(numbers[chosen], numbered[chosen], strict=True))
        if key not in builds:
            builds[key] = _build({kinds[k]: n for k, n in key})
        found.append(LayerBlock(str(phase), int(layer), str(block), float(time_ms), builds[key]))
    # Among the names of phases, the reverse of the alphabet is the order of time.
    return sorted(found, key=lambda one: one.phase, reverse=True)


def _kinds(rows: pd.DataFrame) -> tuple[Sequence[OpKind], Any]:
    """The distinct kinds of ops, and the number of each row's kind."""
    described = list(
        zip(
            rows["op"].tolist(),
            rows["part"].tolist(),
            rows["dtypes"].tolist(),
            rows["impl"].fillna("").tolist(),
            map(tuple, rows["shape"].tolist()),
            map(tuple, rows["fused"].tolist()),
            strict=True,
        )
    )
    numbers: dict[OpKind, int] = {}
    kind = np.array([numbers.setdefault(one, len(numbers)) for one in described], np.int64)
    return list(numbers), kind


def _build(ops: dict[OpKind, int]) -> Build:
    parts: set[str] = set()
    columns: dict[str, set[int]] = {}
    impls: dict[tuple[str, str, str, int], set[str]] = {}
    for op, part, dtypes, impl, shape, _ in ops:
        if part in CONVERSIONS:
            continue
        parts.add(part)
        n_columns = _n_columns(op, shape)
        if op in PRODUCT_OPS:
            columns.setdefault(part, set()).add(n_columns)
        if impl:
            impls.setdefault((part, op, dtypes, n_columns), set()).add(impl)
    return Build(
        parts=frozenset(parts),
        n_columns={part: min(found) for part, found in columns.items() if len(found) == 1},
        impls={key: frozenset(codes) for key, codes in impls.items()},
        ops=ops,
    )


def _n_columns(op: str, shape: tuple[int, ...]) -> int:
    # Tokens stand in the second dimension of a product, in the third with routed experts.
    place = {"MUL_MAT": 1, "MUL_MAT_ID": 2}.get(op)
    return int(shape[place]) if place is not None and len(shape) > place else 1


class Layers:
    """All layers of a profile.

    Attributes:
        numbers: of the layers, in order.
        phases: prefill first.
        groups: (phase, block) -> that block of each layer that has it.
        blocks: (phase, layer) -> the layer's blocks.
        layer_ms: (phase, layer) -> milliseconds per step.
    """

    def __init__(self, ops: pd.DataFrame) -> None:
        found = layer_blocks(ops)
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


def usual(values: Iterable[Key], least: Mapping[Key, float] | None = None) -> Key:
    """The most common value; among equally common ones that with the least in `least`, then the
    first. There must be at least one.
    """
    counts = Counter(values)
    most = max(counts.values())
    candidates = [value for value, count in counts.items() if count == most]
    return min(candidates, key=lambda value: (least or {}).get(value, 0.0))
