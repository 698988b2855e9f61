"""What the recorded kernels of devices tell beside the times of ops: how many of them found an op,
and what the device did between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.kernel_tables import StrayKernelTable
from ...profiles.vocabulary import GAPS, PASS_OP, PHASES, TRANSFERS
from ..graphs.cuda_kernels import kernel_family, short_name
from .phases import op_steps
from .segments import NS_PER_MS, gaps_ns

LEAST_JOINED = 0.995
"""Below this share of kernel time with an op, every table says so."""

_WAYS = {
    "launched": "n_launched",
    "source": "n_by_source",
    "node": "n_by_node",
    "clone": "n_by_clone",
    "local": "n_by_local",
    "order": "n_by_order",
}
_COUNTS = (
    "n_stray", "n_ordered", "n_misplaced", "n_misnamed", "n_unordered_replays", "n_dropped",
    "n_untimed", "n_reversed", "n_broken",
)  # fmt: skip


@dataclass(frozen=True)
class Stray:
    """Kernels of one name that belong to no op; calls and time per step."""

    kernel: str
    impl: str
    calls: float
    time_ms: float


@dataclass(frozen=True)
class Transfer:
    """Copies or fills of one kind, per step.

    Attributes:
        calls, n_joined: how many, and how many of them belong to an op.
    """

    kind: str
    calls: float
    n_joined: float
    bytes: float
    time_ms: float


@dataclass(frozen=True)
class TraceSummary:
    """The recorded kernels of one phase, of all its op-pass steps.

    Attributes:
        phase: `prefill` or `decode`.
        n_kernels: how many there were.
        joined_share: of the kernels' time, that of those with an op.
        ways: kernels by how they were joined (docs/cuda.md).
        counts: what else the records tell, by the names of the columns of `traces`.
        clock_error_ns: the largest error of a kernel's time on the host's clock; None where it is
            not known.
        gaps_ms: mean milliseconds per undisturbed step without a kernel, by cause.
        strays: what belongs to no op, the longest first.
        transfers: copies and fills by kind, the longest first.
    """

    phase: str
    n_kernels: int
    joined_share: float
    ways: Mapping[str, int]
    counts: Mapping[str, int]
    clock_error_ns: int | None
    gaps_ms: Mapping[str, float]
    strays: tuple[Stray, ...]
    transfers: tuple[Transfer, ...]

    @property
    def is_incomplete(self) -> bool:
        """Whether too much of the kernels' time has no op, or is not on record."""
        return self.joined_share < LEAST_JOINED or self.counts["n_dropped"] > 0


def summarize_traces(profile: ProfileData) -> tuple[TraceSummary, ...]:
    """The phases of which kernels were recorded, prefill first."""
    return tuple(
        summary
        for number in range(len(PHASES))
        if (summary := _summarize(profile, number)) is not None
    )


def incomplete_joins(profile: ProfileData) -> list[str]:
    """That too many of the recorded kernels of devices have no op: one sentence for each phase."""
    return [
        f"{trace.joined_share:.1%} of the time of {trace.phase}'s kernels is joined to ops"
        + (
            f", {trace.counts['n_dropped']} records were dropped"
            if trace.counts["n_dropped"]
            else ""
        )
        for trace in summarize_traces(profile)
        if trace.is_incomplete
    ]


def trace_record(summary: TraceSummary) -> dict[str, Any]:
    """A phase as a record of `breakdown --format json`."""
    record = {**asdict(summary), **summary.counts}
    del record["counts"]
    return {
        **record,
        "strays": [asdict(stray) for stray in summary.strays],
        "transfers": [asdict(transfer) for transfer in summary.transfers],
    }


def _summarize(profile: ProfileData, phase: int) -> TraceSummary | None:
    steps, traces = profile.steps, profile.traces
    chosen: npt.NDArray[np.bool_] = (steps.pass_ == PASS_OP) & (steps.phase == phase)
    mine = traces.take(chosen[traces.step])
    if len(mine) == 0:
        return None
    ways = {name: _total(getattr(mine, column)) for name, column in _WAYS.items()}
    counts = {name: _total(getattr(mine, name)) for name in _COUNTS}
    kernel_ns = _total(mine.kernel_ns)
    quiet = op_steps(profile, phase)
    per_step = 1.0 / (max(1, int(quiet.sum())) * NS_PER_MS)
    strays = profile.stray_kernels.take(chosen[profile.stray_kernels.step])
    return TraceSummary(
        phase=PHASES[phase],
        n_kernels=sum(ways.values()) + counts["n_stray"],
        joined_share=_total(mine.joined_ns) / kernel_ns if kernel_ns else 1.0,
        ways=ways,
        counts=counts,
        clock_error_ns=(
            int(mine.clock_error_ns.max()) if np.all(mine.clock_error_ns >= 0) else None
        ),
        gaps_ms={kind: gaps_ns(profile, quiet, kind) * per_step for kind in GAPS},
        strays=_strays(profile, strays, int(chosen.sum())),
        transfers=_transfers(profile, chosen),
    )


def _transfers(profile: ProfileData, chosen: npt.NDArray[np.bool_]) -> tuple[Transfer, ...]:
    rows = profile.transfers.take(chosen[profile.transfers.step])
    n_steps = int(chosen.sum())
    found = []
    for number in np.unique(rows.kind).tolist():
        mine = rows.take(rows.kind == number)
        found.append(
            Transfer(
                kind=TRANSFERS[number],
                calls=_total(mine.calls) / n_steps,
                n_joined=_total(mine.n_joined) / n_steps,
                bytes=_total(mine.size_bytes) / n_steps,
                time_ms=_total(mine.total_ns) / (n_steps * NS_PER_MS),
            )
        )
    return tuple(sorted(found, key=lambda transfer: -transfer.time_ms))


def _strays(profile: ProfileData, rows: StrayKernelTable, n_steps: int) -> tuple[Stray, ...]:
    type_names = profile.types.names_by_number(profile.strings)
    names, group = np.unique(rows.name, return_inverse=True)
    calls = np.bincount(group, rows.calls, minlength=len(names)) / n_steps
    time_ms = np.bincount(group, rows.total_ns, minlength=len(names)) / (n_steps * NS_PER_MS)
    found = [
        Stray(kernel_family(full), short_name(full, type_names), float(n), float(time))
        for full, n, time in zip(map(profile.text, names.tolist()), calls, time_ms, strict=True)
    ]
    return tuple(sorted(found, key=lambda stray: -stray.time_ms))


def _total(values: npt.NDArray[np.int64]) -> int:
    return int(values.sum(dtype=np.int64))
