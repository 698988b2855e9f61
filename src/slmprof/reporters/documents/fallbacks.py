"""Types that were asked for and did not come out, as one sentence that stands above all else."""

from __future__ import annotations

from ...profiles.records.decoding import Json
from ...profiles.records.fallbacks import Fallbacks
from .parts import listed
from .quantities import bytes_text


def fallback_records(found: Fallbacks | None) -> list[Json]:
    """The groups as JSON: asked, got, n_tensors, rows, size_bytes, asked_bytes."""
    return [group.to_json() for group in found.groups] if found is not None else []


def fallback_text(found: Fallbacks) -> str:
    """What was asked for, what came out of it, and what that costs."""
    rows = listed([str(row) for row in found.rows])
    types = listed(list(dict.fromkeys(group.got for group in found.groups)))
    bits = found.bits_per_weight
    in_all = f"{bits:.2f} bits per weight in all, " if bits is not None else ""
    return (
        f"asked {found.file_type}: {found.n_fallen} of {found.n_tensors} tensors (rows of {rows}) "
        f"fell back to {types}: {in_all}{bytes_text(found.size_bytes)} instead of "
        f"{bytes_text(found.asked_bytes)}"
    )
