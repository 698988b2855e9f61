"""What energy counters told over the windows of a run (docs/energy.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from .decoding import Amount, Record
from .load import Load

# Why there is no figure: nothing could be measured, or too few of the windows are sound.
Reason = Literal[
    "no_counter", "not_readable", "remote", "not_repeatable", "context_full", "failed",
    "few_updates", "ran_backwards", "wrapped", "throttled", "disturbed", "few_windows",
]  # fmt: skip
WindowState = Literal["idle", "prefill", "decode"]
_Text = Annotated[str, Meta(max_length=1000)]
_Texts = Annotated[tuple[_Text, ...], Meta(max_length=1000)]
# Far beyond any window, and far from overflow when added up.
MOST = 2**48 - 1
_Count = Annotated[int, Meta(ge=0, le=MOST)]
_Length = Annotated[int, Meta(ge=1, le=MOST)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class EnergySource(Record, frozen=True):
    """A part of the machine whose energy is counted.

    `name` is `package`, `dram` or a GPU's (`CUDA0`); `counter` is `RAPL` or `NVML`; `parts` are the
    counters that are added up.
    """

    name: _Text
    counter: Literal["RAPL", "NVML"]
    parts: _Texts = ()


class EnergyReading(Record, frozen=True, kw_only=True):
    """What one source told during one window.

    `n_updates` are the changes of its counter that were seen, of several counters the fewest;
    `n_wraps` how often a counter began anew, of several the most; `n_throttles` how often the
    hardware held its clock down, as far as it tells. `busy_share` is how long a GPU computed.
    """

    energy_uj: _Count
    n_updates: _Count
    n_wraps: _Count = 0
    ran_backwards: bool = False
    n_throttles: _Count | None = None
    clock_mhz: Amount | None = None
    clock_reasons: _Texts = ()
    busy_share: _Share | None = None


class EnergyWindow(Record, frozen=True, kw_only=True):
    """A time in which one phase ran over and over, or nothing did.

    `round` groups the phases with the idle window beside them; `readings` are one for each source.
    """

    state: WindowState
    round: _Count
    process: _Count = 0
    duration_ns: _Length
    n_steps: _Count
    load: Load | UnsetType = UNSET
    readings: Annotated[tuple[EnergyReading, ...], Meta(max_length=1000)]


class EnergyRefusal(Record, frozen=True):
    """Why there is no figure of a source, or of a phase; `detail` is what the system said."""

    reason: Reason
    source: _Text | None = None
    phase: _Text | None = None
    detail: _Text = ""


class Energy(Record, frozen=True, kw_only=True):
    """The energy windows of a run; `n_depth` tokens stood before the prompt."""

    window_s: Amount
    n_depth: _Count = 0
    sources: Annotated[tuple[EnergySource, ...], Meta(max_length=1000)] = ()
    windows: Annotated[tuple[EnergyWindow, ...], Meta(max_length=100_000)] = ()
    refusals: Annotated[tuple[EnergyRefusal, ...], Meta(max_length=1000)] = ()

    def joined(self, other: Energy) -> Energy:
        """The windows of both, whose processes and rounds are counted on.

        Where the other process had other sources, its windows are left out.
        """
        n_processes = max((one.process for one in self.windows), default=-1) + 1
        n_rounds = max((one.round for one in self.windows), default=-1) + 1
        added = other.windows if other.sources == self.sources else ()
        counted = (
            one.replace(process=one.process + n_processes, round=one.round + n_rounds)
            for one in added
        )
        new = (one for one in other.refusals if one not in self.refusals)
        return self.replace(windows=(*self.windows, *counted), refusals=(*self.refusals, *new))
