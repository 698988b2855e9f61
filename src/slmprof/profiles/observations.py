"""What was seen of the process at fixed points of a run; `memory.observations` of `meta`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .decoding import Record

# The points in their order; `end` is after the last measured pass.
POINTS: tuple[str, ...] = ("start", "load", "context", "prefill", "decode", "end")
# Far beyond any machine, and far from overflow when added up.
_MAX = 2**48 - 1
_Size = Annotated[int, Meta(ge=0, le=_MAX)]


class ObservedBuffer(Record, frozen=True, kw_only=True):
    """One allocation at one moment; see docs/profile-format.md."""

    buffer: Annotated[int, Meta(ge=-1, le=_MAX)]
    device: str
    buffer_type: str
    kind: str
    size_bytes: _Size
    resident_bytes: _Size | None = None
    original_bytes: _Size
    original_resident_bytes: _Size | None = None


class Observation(Record, frozen=True, kw_only=True):
    """The process and its buffers at one moment; None is what the system does not tell."""

    point: str
    n_past: _Size
    rss_bytes: _Size | None = None
    pss_bytes: _Size | None = None
    anonymous_bytes: _Size | None = None
    file_bytes: _Size | None = None
    rss_peak_bytes: _Size | None = None
    library_bytes: _Size | None = None
    heap_bytes: _Size | None = None
    minor_faults: _Size | None = None
    major_faults: _Size | None = None
    recorder_bytes: _Size
    recorder_resident_bytes: _Size | None = None
    buffers: Annotated[tuple[ObservedBuffer, ...], Meta(max_length=10_000)]
