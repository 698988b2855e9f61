"""A flag: layers that stand out, and what is different about them (docs/measurement.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TIME, TYPE, SIZE, STRUCTURE, IMPL = "time", "type", "size", "structure", "impl"
KINDS = (STRUCTURE, TYPE, SIZE, IMPL, TIME)


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
