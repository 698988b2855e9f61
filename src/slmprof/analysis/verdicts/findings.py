"""What a diagnosis consists of: findings, each with the figures of its topic.

Shares are fractions of 1; times are milliseconds per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...profiles.records.decoding import Record

LIMIT, MOST, CEILINGS = "limit", "most", "ceilings"
READ, TYPES = "read", "types"
WAITING, HOST, GAIN = "waiting", "host", "gain"


class Limit(Record, frozen=True):
    """A bound with its share of the phase's op time, the shares of all bounds, and of the ops so
    bound the mean shares of their roofs, weighted by time: of the nearest one, of the bytes', of
    the hardware's arithmetic, and of the kernel's own best."""

    topic: ClassVar[str] = LIMIT
    bound: str
    share: float
    shares: dict[str, float]
    ceiling_share: float | None
    memory_share: float | None = None
    compute_share: float | None = None
    kernel_share: float | None = None
    speedup: float | None = None
    speedup_threads: int | None = None


class MemoryLimit(Limit, frozen=True, kw_only=True):
    """As Limit; `gbps` of what memory gave `n_threads`, `peak_gbps`, are reached. `peak_range_gbps`
    is what it gave at least and at most during the run, where it moved."""

    gbps: float
    peak_gbps: float
    n_threads: int
    peak_range_gbps: tuple[float, float] | None = None


class Most(Record, frozen=True):
    """The largest group of ops of a phase whose bounds are not known."""

    topic: ClassVar[str] = MOST
    block: str
    kernel: str
    share: float


class NoCeilings(Record, frozen=True):
    """Why there are no bounds: threads of the run, cores where they are fewer, and the threads that
    the ceilings hold for, None without any."""

    topic: ClassVar[str] = CEILINGS
    n_threads: int
    n_cores: int | None
    measured_for: int | None


class Read(Record, frozen=True):
    """Bytes of weights that a step reads, of those of the file; of the rest those of which single
    rows are read (`lookup_bytes`) and those of experts (`routed_bytes`)."""

    topic: ClassVar[str] = READ
    read_bytes: float
    file_bytes: float
    share: float
    is_lower_bound: bool
    lookup_bytes: float
    routed_bytes: float


class Types(Record, frozen=True):
    """Shares of the file's bytes: of the largest types, of the type that the file type is `named`
    for, and of quantized weights whose rows, of `unfit_rows` elements, that type cannot store."""

    topic: ClassVar[str] = TYPES
    file_type: str | None
    named: str | None
    named_share: float | None
    types: dict[str, float]
    unfit_share: float
    unfit_rows: tuple[int, ...]


class Waiting(Record, frozen=True):
    """Waiting (mean over the threads) of a phase, the block where most of it is, and its causes as
    in `wait_totals`, where they are known."""

    topic: ClassVar[str] = WAITING
    wait_ms: float
    time_ms: float
    share: float
    block: str
    block_share: float
    imbalance_ms: float | None
    barrier_ms: float | None


class Host(Record, frozen=True):
    """The host's part of a whole observed step; `most` is the largest of its segments."""

    topic: ClassVar[str] = HOST
    host_ms: float
    time_ms: float
    share: float
    most: str
    most_ms: float


class Gain(Record, frozen=True, kw_only=True):
    """What would help, and by how much at best, of the `time_ms` of the phase's ops."""

    topic: ClassVar[str] = GAIN
    what: str
    gain_ms: float
    time_ms: float
    share: float
    is_modelled: bool
    is_largest: bool = False


class CeilingGain(Gain, frozen=True, kw_only=True):
    """Ops (`products`, or a kernel) of a block that run at their ceilings."""

    what: str = "ceiling"
    block: str
    ops: str


class WaitingGain(Gain, frozen=True, kw_only=True):
    """Equal shares, and barriers that cost nothing."""

    what: str = "no_waiting"


class QuantizeGain(Gain, frozen=True, kw_only=True):
    """Products bound by memory that read fewer bytes, in `to_type`."""

    what: str = "quantize"
    block: str
    type: str
    to_type: str


Figures = Limit | Most | NoCeilings | Read | Types | Waiting | Host | Gain


# Of a finding, besides its figures.
COLUMNS: dict[str, str] = {"phase": "string", "topic": "string"}


@dataclass(frozen=True)
class Finding:
    """One thing worth saying of a phase (None: of the model, or of both), and its figures."""

    phase: str | None
    figures: Figures

    @property
    def topic(self) -> str:
        """What it is about."""
        return self.figures.topic

    @property
    def rests_on_shares(self) -> bool:
        """Whether it would say something else of a run whose time is divided otherwise."""
        return self.topic in (LIMIT, MOST, WAITING, HOST, GAIN)
