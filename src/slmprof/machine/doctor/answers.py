"""What child processes find out: of the native module, which may die of being loaded, and of GPUs,
whose driver may hang."""

from __future__ import annotations

from ...profiles.records.ceilings import Fingerprint
from ...profiles.records.decoding import Record


class Failure(Record, frozen=True):
    """Why a child found nothing out.

    Attributes:
        text: in one sentence.
        is_import: whether Python could not import the native module.
    """

    text: str
    is_import: bool = False


class Clock(Record, frozen=True):
    """The recorder's clock: `tsc`, `cntvct` or `clock_monotonic`, its step, and what it costs."""

    source: str
    resolution_ns: float
    read_ns: float


class Device(Record, frozen=True):
    """A device as ggml describes it; 0 bytes where it does not tell."""

    name: str
    description: str
    type: str
    memory_free_bytes: int = 0
    memory_total_bytes: int = 0


class BuildFacts(Record, frozen=True, kw_only=True):
    """What the native module says of itself.

    Attributes:
        path: its file.
        build: `_core.build_info()`.
        cpu_features: what ggml was compiled for, in llama.cpp's words.
        fingerprint: what ceilings that are measured now would hold for.
    """

    path: str
    build: dict[str, str | int | bool | list[str] | None]
    cpu_features: str
    clock: Clock
    devices: tuple[Device, ...] = ()
    fingerprint: Fingerprint = Fingerprint()


class Gpu(Record, frozen=True):
    """One GPU as NVIDIA's libraries describe it.

    Attributes:
        name: what ggml calls it, `CUDA0`.
        card: what it is, and its place on the bus; empty where its energy cannot be read.
        refusal: why its energy cannot be read.
        busy_share: how long it computed lately; None where it does not tell.
        clock_reasons: why its clock is not higher, by NVML's names.
    """

    name: str
    card: str = ""
    refusal: str | None = None
    busy_share: float | None = None
    clock_reasons: tuple[str, ...] = ()


class GpuFacts(Record, frozen=True):
    """The GPUs that CUDA sees in this process."""

    gpus: tuple[Gpu, ...] = ()
