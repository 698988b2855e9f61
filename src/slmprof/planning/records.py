"""What a model takes in memory with one setting or many: buffers, layers, tensors, peaks.

The process that plans hands them over as JSON, and `slmprof memory --format json` prints them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..profiles.records.decoding import Json, Record
from ..profiles.records.fallbacks import Fallbacks
from ..profiles.records.meta import Buffer
from ..profiles.records.resident import Resident
from ..profiles.vocabulary import MEMORY_KINDS
from ..settings.devices import is_host
from ..settings.planning import ON_DEVICE, RESIDENT
from ..settings.resolved import ResolvedPlan


class LayerSize(Record, frozen=True):
    """What one layer holds as long as the context lives; `layer` is None outside the layers.

    `n_swa` are the tokens of its sliding window, None where there is none.
    """

    layer: int | None
    weights_bytes: int
    kv_bytes: int
    recurrent_bytes: int
    n_swa: int | None = None


class TensorPlace(Record, frozen=True):
    """A weight, or a tensor of a cache. `shape` has the fastest dimension first.

    `n_swa` are the tokens of a cache's sliding window, None where there is none.
    """

    tensor: str
    type: str
    shape: tuple[int, ...]
    size_bytes: int
    layer: int | None
    kind: str
    device: str
    buffer_type: str
    n_swa: int | None = None

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of one element; None where there are none."""
        n_elements = math.prod(self.shape)
        return 8 * self.size_bytes / n_elements if n_elements else None

    @property
    def block(self) -> str:
        """The block by the tensor's name: `attention`, `ffn`, …, or `other`."""
        if self.kind == "kv_cache":
            return "attention"
        if self.kind == "recurrent_state":
            return "recurrent"
        from ..analysis.graphs.weight_roles import role_of_name

        role = role_of_name(self.tensor)
        return (role.block if role is not None else "") or "other"

    def to_json(self) -> Json:
        """The fields, with `bits_per_weight` and `block`."""
        derived = {"bits_per_weight": self.bits_per_weight, "block": self.block}
        return {**super().to_json(), **derived}


class LiveTensor(Record, frozen=True):
    """A tensor in the compute buffer at its peak; `op` is NONE for what the host fills."""

    tensor: str
    op: str
    block: str
    layer: int | None
    type: str
    shape: tuple[int, ...]
    size_bytes: int


class ComputePeak(Record, frozen=True):
    """The compute buffer of one phase when it is fullest.

    Attributes:
        size_bytes: what the allocator takes for the phase's graph.
        n_tokens: tokens that the graph computes.
        live_bytes: bytes of the tensors live at the peak; hole_bytes: fragmentation, the rest.
        lower_bound_bytes: the most bytes that the graph needs at once.
        tensors: those live at the peak, the largest first.
    """

    size_bytes: int
    phase: str
    n_tokens: int
    live_bytes: int
    hole_bytes: int
    lower_bound_bytes: int
    tensors: tuple[LiveTensor, ...]


class UbatchSize(Record, frozen=True):
    """The compute buffers with another physical batch."""

    n_ubatch: int
    compute_bytes: int


class MemoryPlan(Record, frozen=True):
    """What the model takes with one setting.

    Attributes:
        config: every setting as llama.cpp would use it; none is unknown.
        buffers: by kind, device, buffer type.
        layers: by number, the last one for what is outside the layers.
        tensors: every weight and every tensor of a cache.
        compute_phases: of prefill and decode, where they were asked for.
        ubatch: the effect of `n_ubatch`, where it was asked for.
        resident: what would be resident; None where the graphs were not planned.
        notes: sentences for the reader.
    """

    config: ResolvedPlan
    buffers: tuple[Buffer, ...]
    layers: tuple[LayerSize, ...] = ()
    tensors: tuple[TensorPlace, ...] = ()
    compute_phases: tuple[ComputePeak, ...] = ()
    ubatch: tuple[UbatchSize, ...] = ()
    resident: Resident | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_ctx(self) -> int:
        """Tokens of the context."""
        return int(self.config.n_ctx or 0)

    @property
    def totals_bytes(self) -> dict[str, int]:
        """Bytes of each kind, and of all together as `total`; an unknown kind is `other`."""
        totals = dict.fromkeys(MEMORY_KINDS, 0)
        for buffer in self.buffers:
            totals[buffer.kind if buffer.kind in totals else "other"] += buffer.size_bytes
        return {**totals, "total": sum(totals.values())}

    @property
    def total_bytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffer.size_bytes for buffer in self.buffers)

    @property
    def host_bytes(self) -> int:
        """Bytes of the buffers in this machine's memory."""
        return sum(buffer.size_bytes for buffer in self.buffers if is_host(buffer.device))

    @property
    def device_bytes(self) -> int:
        """Bytes of the buffers on the device beside the CPU that holds most; 0 without any."""
        sizes: dict[str, int] = {}
        for buffer in self.buffers:
            if not is_host(buffer.device):
                sizes[buffer.device] = sizes.get(buffer.device, 0) + buffer.size_bytes
        return max(sizes.values(), default=0)

    @property
    def reserved_bytes(self) -> int:
        """Bytes of all buffers, and of the heap and the process beside them as far as known."""
        return self.total_bytes + (self.resident.unplanned_bytes if self.resident else 0)

    def held_bytes(self, fit_for: str) -> int:
        """Bytes of the memory that has to fit: of this machine what is `resident` (needed) or
        `reserved`, or what the fullest `device` beside the CPU holds."""
        if fit_for == ON_DEVICE:
            return self.device_bytes
        if fit_for == RESIDENT and self.resident is not None:
            return self.resident.needed_bytes
        return self.reserved_bytes - (self.total_bytes - self.host_bytes)

    @property
    def compute_peak(self) -> ComputePeak | None:
        """The peak of the phase that needs the larger compute buffer."""
        return max(self.compute_phases, key=lambda peak: peak.size_bytes, default=None)


class Refusal(Record, frozen=True):
    """A setting that llama.cpp does not allow, and why; of a file type it is all that is known.

    `died` where llama.cpp did not say so, but ended its process.
    """

    config: ResolvedPlan
    message: str
    died: bool = False

    def told(self, varying: Iterable[str]) -> str:
        """The reason, behind the settings that tell this point of a grid from the others.

        Args:
            varying: the settings of which several values were asked for.
        """
        point = self.config.point(varying)
        return f"{point}: {self.message}" if point else self.message


class Fit(Record, frozen=True):
    """The largest context of one model file, with one setting, in a given amount of memory.

    Attributes:
        config: the settings, with the context found as `n_ctx`.
        file_type: of the weights; size_bytes, bits_per_weight: of the model in that type.
        n_ctx: 0 where not even the smallest context fits.
        is_limited_by_training: the trained context fits; a larger one was not tried.
        totals_bytes: as MemoryPlan has it, of that context; of the smallest one where none fits.
        asked_n_ctx: a context that has to fit, or None; asked_total_bytes: what it would take.
        resident_bytes, asked_resident_bytes: what a run needs resident of them (`Resident`), which
            leaves out the mapped originals of repacked weights.
        reserved_bytes, asked_reserved_bytes: what llama.cpp's buffers, its heap and the process
            take, whether a run touches it or not.
        device_bytes, asked_device_bytes: what the fullest device beside the CPU holds.
    """

    config: ResolvedPlan
    file_type: str
    size_bytes: int
    bits_per_weight: float | None
    n_ctx: int
    is_limited_by_training: bool
    totals_bytes: dict[str, int]
    asked_n_ctx: int | None = None
    asked_total_bytes: int | None = None
    resident_bytes: int | None = None
    asked_resident_bytes: int | None = None
    reserved_bytes: int | None = None
    asked_reserved_bytes: int | None = None
    device_bytes: int | None = None
    asked_device_bytes: int | None = None

    def held_bytes(self, fit_for: str) -> int:
        """What the context found takes of the kind of memory that has to fit."""
        held = getattr(self, f"{fit_for}_bytes")
        return self.totals_bytes["total"] if held is None else held

    def asked_held_bytes(self, fit_for: str) -> int | None:
        """The same of the context that was asked for."""
        held = getattr(self, f"asked_{fit_for}_bytes")
        return self.asked_total_bytes if held is None else held


class FitChange(Record, frozen=True):
    """Settings with which a context fits that does not as it was asked for.

    Attributes:
        settings: by their names; nothing of them where none helps.
        size_bytes: what the context takes with them.
        missing_bytes: 0; where even these settings do not make it fit, the bytes that are missing.
    """

    settings: dict[str, str | int]
    n_ctx: int
    size_bytes: int
    missing_bytes: int


class PlannerCost(Record, frozen=True):
    """What the planning itself took.

    `planner_ms` is the time within llama.cpp's planner, loading included; `read_bytes` what the
    process read meanwhile; `rss_peak_bytes` its largest resident size. None where the system does
    not tell.
    """

    planner_ms: float
    read_bytes: int | None
    rss_peak_bytes: int | None


class PlannedModel(Record, frozen=True):
    """A model as its file, or the outline made for it, describes it.

    `fallbacks` are the weights that are in another type than the file type asks for.
    """

    name: str
    path: str
    architecture: str
    n_params: int
    n_layer: int
    n_embd: int
    n_vocab: int
    n_ctx_train: int
    n_expert: int
    file_type: str
    size_bytes: int
    tensor_types: dict[str, int]
    random_weights: bool
    fallbacks: Fallbacks | None = None

    @property
    def bits_per_weight(self) -> float | None:
        """Bits of one weight on average; None where there are none."""
        return 8 * self.size_bytes / self.n_params if self.n_params else None

    def to_json(self) -> Json:
        """The fields, with `bits_per_weight`; of `fallbacks` the groups alone."""
        groups = self.fallbacks.groups if self.fallbacks is not None else ()
        derived = {"bits_per_weight": self.bits_per_weight}
        return {**super().to_json(), **derived, "fallbacks": [group.to_json() for group in groups]}


class MemoryReport(Record, frozen=True):
    """The plans of a model with all settings that were asked for.

    Attributes:
        memory_bytes: physical memory of this machine.
        varying: the settings of which several values were asked for.
        budget_bytes: the memory to fit into, with `fits`; fit_for: `resident` or `reserved` memory,
            or that of each `device`.
        change: what would make it fit where nothing does.
        models: the model in each of the file types that were planned.
        lightest: of several file types in which the context asked for fits, the one that takes the
            least memory with it; least_compressed: the one with the most bits per weight. None
            where none fits or none was asked for.
    """

    model: PlannedModel
    memory_bytes: int
    varying: tuple[str, ...]
    settings: tuple[MemoryPlan, ...]
    refusals: tuple[Refusal, ...]
    fits: tuple[Fit, ...]
    budget_bytes: int | None
    lightest: str | None
    least_compressed: str | None
    planner: PlannerCost
    fit_for: str = RESIDENT
    change: FitChange | None = None
    models: tuple[PlannedModel, ...] = ()
