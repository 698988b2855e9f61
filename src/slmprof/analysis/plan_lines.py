"""Memory as a straight line over the context: from two plans to a third that was not made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from ..memory_plans.records import ComputePeak, MemoryPlan

_Row = TypeVar("_Row")


def along_n_ctx(first: MemoryPlan, second: MemoryPlan, n_ctx: int) -> MemoryPlan:
    """The plan of another context on the line through two plans that differ in n_ctx only.

    Caches of whole contexts, masks and scores grow by the same bytes with every token; what does
    not depend on the context stays as it is.
    """
    before, after = int(first.config["n_ctx"]), int(second.config["n_ctx"])

    def at(a: int, b: int) -> int:
        return b + (b - a) * (n_ctx - after) // (after - before)

    def sizes(fields: Sequence[str]) -> Callable[[_Row, _Row], _Row]:
        def mix(a: _Row, b: _Row) -> _Row:
            values = {name: at(getattr(a, name), getattr(b, name)) for name in fields}
            if hasattr(b, "shape"):
                values["shape"] = tuple(map(at, a.shape, b.shape))  # type: ignore[attr-defined]
            return replace(b, **values)  # type: ignore[type-var]

        return mix

    def peak(a: ComputePeak, b: ComputePeak) -> ComputePeak:
        known = {(t.tensor, t.op, t.layer): t for t in a.tensors}
        tensors = [
            sizes(["size_bytes"])(known.get((t.tensor, t.op, t.layer), t), t) for t in b.tensors
        ]
        fields = ("size_bytes", "live_bytes", "hole_bytes", "lower_bound_bytes")
        mixed: ComputePeak = sizes(fields)(a, b)
        tensors.sort(key=lambda t: -t.size_bytes)
        return replace(mixed, tensors=tuple(tensors))

    def lines(mix: Callable[[_Row, _Row], _Row], a: Sequence[_Row], b: Sequence[_Row]) -> tuple[_Row, ...]:
        return tuple(map(mix, a, b))

    kinds = {(row.device, row.buffer_type, row.kind): row for row in first.buffers}
    same = [kinds.get((row.device, row.buffer_type, row.kind), row) for row in second.buffers]
    layer_fields = ("weights_bytes", "kv_bytes", "recurrent_bytes")
    return replace(
        second,
        config={**second.config, "n_ctx": n_ctx},
        buffers=lines(sizes(["size_bytes"]), same, second.buffers),
        layers=lines(sizes(layer_fields), first.layers, second.layers),
        tensors=lines(sizes(["size_bytes"]), first.tensors, second.tensors),
        compute_phases=lines(peak, first.compute_phases, second.compute_phases),
        notes=(
            f"a context of {n_ctx} follows from exact plans of {before} and {after}, on the "
            "straight line through both.",
        ),
    )
