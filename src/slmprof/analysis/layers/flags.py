"""A flag: layers that stand out, and what is different about them (docs/measurement.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from msgspec import field

from ...profiles.records.decoding import Record

TIME, TYPE, SIZE, STRUCTURE, IMPL = "time", "type", "size", "structure", "impl"
KINDS = (STRUCTURE, TYPE, SIZE, IMPL, TIME)


class Odd(Record, frozen=True, kw_only=True):
    """What is different; `is_first`, `is_last`: the layers are the model's first or last one."""

    kind: ClassVar[str]
    is_first: bool = False
    is_last: bool = False


class OddTime(Odd, frozen=True, kw_only=True):
    """More or less time than layers that are built alike; the layer that stands out most, the
    median of its like, and the least and the largest ratio of all."""

    kind: ClassVar[str] = TIME
    layer: int
    time_ms: float
    median_ms: float
    ratio: tuple[float, float]


class OddBuild(Odd, frozen=True, kw_only=True):
    """Built otherwise than most; `time_ratio` {phase: {block: r}} is the median time of the block
    in these layers over that in the other layers that have it."""

    time_ratio: dict[str, dict[str, float]] = field(default_factory=dict)


class WeightType(Record, frozen=True):
    """A weight of another type than in most layers; it has `n_types` in all."""

    weight: str
    type: str
    usual_type: str
    n_types: int


class OddTypes(OddBuild, frozen=True, kw_only=True):
    """Weights of other types."""

    kind: ClassVar[str] = TYPE
    weights: tuple[WeightType, ...]


class WeightShape(Record, frozen=True):
    """A weight of another shape than in most layers."""

    weight: str
    shape: tuple[int, ...]
    usual_shape: tuple[int, ...]


class OddShapes(OddBuild, frozen=True, kw_only=True):
    """Weights of other shapes."""

    kind: ClassVar[str] = SIZE
    weights: tuple[WeightShape, ...]


class OddColumns(OddBuild, frozen=True, kw_only=True):
    """More or fewer tokens that the products of these parts of the block work on."""

    kind: ClassVar[str] = SIZE
    n_columns: int
    usual_n_columns: int
    parts: tuple[str, ...]


class OddBlocks(OddBuild, frozen=True, kw_only=True):
    """Other blocks; there are `n_kinds` of layers."""

    kind: ClassVar[str] = STRUCTURE
    blocks: tuple[str, ...]
    usual_blocks: tuple[str, ...]
    n_kinds: int


class OddParts(OddBuild, frozen=True, kw_only=True):
    """A block with more parts, or fewer."""

    kind: ClassVar[str] = STRUCTURE
    parts_extra: tuple[str, ...]
    parts_missing: tuple[str, ...]


class OddWindows(OddBuild, frozen=True, kw_only=True):
    """Attention that sees more of the context, or less: a window of so many tokens, None for all of
    it. There are `n_windows` windows, and `n_usual` layers with the usual one."""

    kind: ClassVar[str] = STRUCTURE
    window: int | None
    usual_window: int | None
    n_windows: int
    n_usual: int


class OddOps(OddBuild, frozen=True, kw_only=True):
    """Operators of the block that run otherwise, some of `n_ops`."""

    kind: ClassVar[str] = STRUCTURE
    ops: tuple[str, ...]
    n_ops: int


class OddImpl(OddBuild, frozen=True, kw_only=True):
    """Other code that computes the ops of these parts."""

    kind: ClassVar[str] = IMPL
    impl: str
    usual_impl: str
    parts: tuple[str, ...]


Builds = OddTypes | OddShapes | OddColumns | OddBlocks | OddParts | OddWindows | OddOps | OddImpl


# Of a flag, besides its figures.
COLUMNS: dict[str, str] = {
    "phase": "string", "layers": "object", "block": "string", "kind": "string",
}  # fmt: skip


@dataclass(frozen=True)
class LayerFlag:
    """What some layers have in common that the others do not; `phase` is None for both phases,
    `block` where several blocks of these layers differ in the same way."""

    phase: str | None
    layers: tuple[int, ...]
    block: str | None
    figures: Builds | OddTime

    @property
    def kind(self) -> str:
        """Of `KINDS`."""
        return self.figures.kind
