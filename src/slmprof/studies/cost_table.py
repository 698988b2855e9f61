"""What each weight takes and costs in each type.

What a weight costs is measured in the smallest type that changes it; in the others it goes by the
square of the error of its values, and is scaled so that the sum over a model of that type is what
was measured of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..quantization.quality.records import Quality
from .bench import Measured
from .choices import Choice, Option
from .members import MadeModel, decode_times


def measured_for_costs(made: Sequence[MadeModel]) -> list[str]:
    """The smallest model, and others as far as they change weights that it leaves alone."""
    found: list[str] = []
    known: set[str] = set()
    for one in sorted(made, key=lambda one: one.plan.size_bytes if one.plan else 0):
        assert one.plan is not None
        changed = {tensor.tensor for tensor in one.plan.tensors if tensor.is_converted}
        if changed - known:
            found.append(one.name)
            known |= changed
    return found


@dataclass(frozen=True, eq=False)
class CostTable:
    """What each weight costs in each type.

    Attributes:
        options: of each weight that is ever quantized, the type that it has first.
        fixed_bytes: of what is never quantized.
        other_ms: of a token, what is no weight's.
    """

    options: Mapping[str, Sequence[Option]]
    fixed_bytes: int
    other_ms: float

    @classmethod
    def of(
        cls, of_types: Sequence[Measured], reference: Measured, with_costs: Sequence[Measured]
    ) -> CostTable:
        alone: dict[str, float] = {}
        noise: dict[str, float] = {}
        for measured in reversed(with_costs):  # the smallest counts where it tells
            alone |= {one.tensor: one.kld.value for one in measured.quality.costs}
            noise |= _noise(measured.quality)
        plan = of_types[0].made.plan
        assert plan is not None
        known = decode_times(reference.profile)
        options = {
            one.tensor: [Option(one.source, one.source_bytes, known.get(one.tensor, 0.0), 0.0)]
            for one in plan.tensors
            if one.is_quantizable
        }
        others = []
        for measured in of_types:
            own, times = _noise(measured.quality), decode_times(measured.profile)
            nats = {
                name: alone.get(name, 0.0) * own.get(name, 0.0) / noise[name]
                for name in options
                if noise.get(name)
            }
            divergence = measured.quality.divergence
            total = sum(nats.values())
            measured_nats = divergence.kld.value if divergence is not None else 0.0
            factor = max(0.0, measured_nats) / total if total > 0 else 1.0
            assert measured.made.plan is not None
            for one in measured.made.plan.tensors:
                if one.tensor in options and all(o.type != one.type for o in options[one.tensor]):
                    cost = factor * nats.get(one.tensor, 0.0)
                    ms = times.get(one.tensor, 0.0)
                    options[one.tensor].append(Option(one.type, one.size_bytes, ms, cost))
            latency = measured.decode_ms
            if latency is not None:
                others.append(latency - sum(times.get(name, 0.0) for name in options))
        fixed = sum(one.size_bytes for one in plan.tensors if not one.is_quantizable)
        return cls(options, fixed, max(0.0, statistics.median(others)) if others else 0.0)

    def changes(self, choice: Choice) -> bool:
        """Whether any weight gets another type than it has."""
        return any(self.options[name][0].type != type_ for name, type_ in choice.types.items())

    def whole(self, choice: Choice) -> Choice:
        """A choice with what is not chosen."""
        return replace(
            choice, size_bytes=choice.size_bytes + self.fixed_bytes, ms=choice.ms + self.other_ms
        )


def _noise(quality: Quality) -> dict[str, float]:
    """Mean square error of each weight that differs from the reference's."""
    return {one.tensor: one.rmse**2 for one in quality.tensors}
