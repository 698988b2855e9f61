"""Subjects of a comparison, from figures of their processes that a test writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from meta_builder import example_meta

from slmprof.analysis.comparison.places import BLOCK, KERNEL, LATENCY, LAYER, OP, Place
from slmprof.analysis.comparison.samples import Subject
from slmprof.profiles.records.meta import Meta
from slmprof.profiles.vocabulary import MEMORY_KINDS

N = 10
DECODE = Place(LATENCY, "decode", "decode")
PREFILL = Place(LATENCY, "prefill", "prefill")


def block(name: str, phase: str = "decode") -> Place:
    return Place(BLOCK, phase, name, block=name)


def kernel(name: str, impl: str | None = None, phase: str = "decode") -> Place:
    return Place(KERNEL, phase, name, impl=impl)


def layer(number: int, phase: str = "decode") -> Place:
    return Place(LAYER, phase, f"layer {number}", layer=number)


def op(
    tensor: str, of_layer: int | None = 0, part: str = "down", operator: str = "MUL_MAT"
) -> Place:
    return Place(OP, "decode", tensor, layer=of_layer, block="ffn", part=part, op=operator)


def about(part: str | None = None, buffers: Mapping[str, int] | None = None, **values: Any) -> Meta:
    """The example's meta data; `part` has these values, or the buffers of a kind these bytes."""
    meta = example_meta()
    meta["environment"]["warnings"] = []
    if part is not None:
        meta[part].update(values)
    if buffers is not None:
        meta["memory"]["buffers"] = [
            {"device": "CPU", "buffer_type": "CPU", "kind": kind, "size_bytes": size}
            for kind, size in buffers.items()
        ]
    return Meta.from_json(meta)


def subject(
    name: str,
    times: Mapping[Place, Sequence[float]] | None = None,
    *,
    turn: int | None = None,
    meta: Meta | None = None,
    n_tokens: Mapping[str, int] | None = None,
    n_depth: int = 0,
    has_ops: bool = True,
    n_withheld: int = 0,
    withheld: Sequence[str] = (),
) -> Subject:
    """A subject whose processes took these milliseconds.

    Args:
        turn: when its process ran in each round, from 0; None where all ran one after the other.
    """
    given = times or {DECODE: [10.0] * N}
    measured = {place: np.array(v, np.float64).reshape(-1, 1) for place, v in given.items()}
    n = max(map(len, measured.values()))
    begins = [4 * i + turn for i in range(n)] if turn is not None else range(n)
    meta = meta or about()
    totals = dict.fromkeys(MEMORY_KINDS, 0)
    for buffer in meta.memory.buffers:
        totals[buffer.kind] += buffer.size_bytes
    return Subject(
        name=name,
        meta=meta,
        n_depth=n_depth,
        n_tokens=n_tokens or {"prefill": 16, "decode": 2},
        n_processes=n,
        times=measured,
        noise={},
        spans_ns=tuple((begin, begin + 1) for begin in begins),
        memory_totals=totals,
        n_withheld={"prefill": 0, "decode": n_withheld},
        withheld=frozenset(withheld),
        has_ops=has_ops,
    )


def around(center: float, spread: float = 0.01, seed: int = 0, n: int = N) -> list[float]:
    """Times of processes that differ by `spread`, relatively; their geometric mean is `center`."""
    if n == 1:
        return [center]
    logs = np.random.default_rng(seed).normal(0, 1, n)
    logs -= logs.mean()
    scaled: list[float] = (center * np.exp(spread * logs / logs.std(ddof=1))).tolist()
    return scaled
