"""What was seen of the process at fixed points of a run; `memory.observations` of `meta`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import ProfileFormatError

# The points in their order; `end` is after the last measured pass.
POINTS: tuple[str, ...] = ("start", "load", "context", "prefill", "decode", "end")
# Far beyond any machine, and far from overflow when added up.
_MAX = 2**48
_MOST_ROWS = 10_000


@dataclass(frozen=True)
class ObservedBuffer:
    """One allocation at one moment; see docs/profile-format.md."""

    buffer: int
    device: str
    buffer_type: str
    kind: str
    size_bytes: int
    resident_bytes: int | None
    original_bytes: int
    original_resident_bytes: int | None


@dataclass(frozen=True)
class Observation:
    """The process and its buffers at one moment; None is what the system does not tell."""

    point: str
    n_past: int
    rss_bytes: int | None
    pss_bytes: int | None
    anonymous_bytes: int | None
    file_bytes: int | None
    rss_peak_bytes: int | None
    library_bytes: int | None
    heap_bytes: int | None
    minor_faults: int | None
    major_faults: int | None
    recorder_bytes: int
    recorder_resident_bytes: int | None
    buffers: tuple[ObservedBuffer, ...]

    @classmethod
    def from_json(cls, value: Any) -> Observation:
        """Raises ProfileFormatError where a value is missing or has the wrong type."""
        where = "memory.observations"
        checked = _checked(where, value, cls, skipped=("buffers",))
        buffers = value.get("buffers")
        if not isinstance(buffers, list) or len(buffers) > _MOST_ROWS:
            raise ProfileFormatError(f"{where}.buffers of the profile is not a list of buffers")
        return cls(
            **checked,
            buffers=tuple(
                ObservedBuffer(**_checked(f"{where}.buffers", buffer, ObservedBuffer))
                for buffer in buffers
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {**asdict(self), "buffers": [asdict(buffer) for buffer in self.buffers]}


def _checked(
    where: str, value: Any, record: type[Any], skipped: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The fields of a record, each a text, a size, or None where the record allows it."""
    if not isinstance(value, Mapping):
        raise ProfileFormatError(f"{where} of the profile is not a list of objects")
    result: dict[str, Any] = {}
    for field in fields(record):
        if field.name in skipped:
            continue
        item, kind = value.get(field.name), str(field.type)
        low = -1 if field.name == "buffer" else 0
        if isinstance(item, int) and not isinstance(item, bool):
            fits = kind.startswith("int") and low <= item < _MAX
        elif item is None:
            fits = kind.endswith("None")
        else:
            fits = kind == "str" and isinstance(item, str)
        if not fits:
            raise ProfileFormatError(f"{where}.{field.name} of the profile has the wrong type")
        result[field.name] = item
    return result
