"""Memory as a straight line over the context: from two plans to a third that was not made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from ..profiles.records.decoding import Record
from ..profiles.records.resident import Resident
from .records import ComputePeak, LiveTensor, MemoryPlan, TensorPlace

_Row = TypeVar("_Row", bound=Record)
_Tensor = TypeVar("_Tensor", TensorPlace, LiveTensor)
_PEAK_FIELDS = ("size_bytes", "live_bytes", "hole_bytes", "lower_bound_bytes")
_LAYER_FIELDS = ("weights_bytes", "kv_bytes", "recurrent_bytes")


def along_n_ctx(first: MemoryPlan, second: MemoryPlan, n_ctx: int) -> MemoryPlan:
    """The plan of another context on the line through two plans that differ in n_ctx only.

    Caches of whole contexts, masks and scores grow by the same bytes with every token; what does
    not depend on the context stays as it is.
    """
    before, after = first.n_ctx, second.n_ctx
    line = _Line(n_ctx - after, after - before)
    known = {(row.device, row.buffer_type, row.kind): row for row in first.buffers}
    return second.replace(
        config=replace(second.config, n_ctx=n_ctx),
        buffers=tuple(
            line.row(known.get((row.device, row.buffer_type, row.kind), row), row, "size_bytes")
            for row in second.buffers
        ),
        layers=tuple(
            line.row(a, b, *_LAYER_FIELDS) for a, b in zip(first.layers, second.layers, strict=True)
        ),
        tensors=tuple(map(line.tensor, first.tensors, second.tensors)),
        resident=line.resident(first.resident, second.resident),
        compute_phases=tuple(map(line.peak, first.compute_phases, second.compute_phases)),
        notes=(
            f"a context of {n_ctx} is extrapolated from exact plans of {before} and {after}, on "
            "the straight line through both",
        ),
    )


@dataclass(frozen=True)
class _Line:
    """Goes on beyond the second of two plans, by `beyond` tokens where they differ by `apart`."""

    beyond: int
    apart: int

    def at(self, a: int, b: int) -> int:
        return b + (b - a) * self.beyond // self.apart

    def row(self, a: _Row, b: _Row, *fields: str) -> _Row:
        return b.replace(**{n: self.at(getattr(a, n), getattr(b, n)) for n in fields})

    def tensor(self, a: _Tensor, b: _Tensor) -> _Tensor:
        grown = self.row(a, b, "size_bytes")
        return grown.replace(shape=tuple(map(self.at, a.shape, b.shape)))

    def resident(self, a: Resident | None, b: Resident | None) -> Resident | None:
        if a is None or b is None:
            return b
        known = {(x.kind, x.is_evictable): x for x in a.lines}
        return b.replace(
            lines=tuple(
                self.row(known.get((x.kind, x.is_evictable), x), x, "size_bytes") for x in b.lines
            )
        )

    def peak(self, a: ComputePeak, b: ComputePeak) -> ComputePeak:
        known = {(t.tensor, t.op, t.layer): t for t in a.tensors}
        tensors = [self.tensor(known.get((t.tensor, t.op, t.layer), t), t) for t in b.tensors]
        tensors.sort(key=lambda t: -t.size_bytes)
        return self.row(a, b, *_PEAK_FIELDS).replace(tensors=tuple(tensors))
