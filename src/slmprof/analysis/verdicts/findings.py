"""What a diagnosis consists of: findings, each with the figures of its topic.

Shares are fractions of 1; times are milliseconds per step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...profiles.decoding import Record

LIMIT, MOST, CEILINGS = "limit", "most", "ceilings"
READ, TYPES = "read", "types"
WAITING, HOST, GAIN = "waiting", "host", "gain"
AT_CEILING, NO_WAITING, QUANTIZE = "ceiling", "no_waiting", "quantize"


class Limit(Record, frozen=True):
    """What limits a phase: a bound, its share of the phase's op time, and the shares of all bounds.

    `ceiling_share` is the modelled least time over the time of the ops so bound.
    """

    topic: ClassVar[str] = LIMIT
    bound: str
    share: float
    shares: dict[str, float]
    ceiling_share: float | None


class MemoryLimit(Limit, frozen=True):
    """As Limit; `gbps` of what the machine reads with `n_threads`, `peak_gbps`, are reached."""

    gbps: float
    peak_gbps: float
    n_threads: int


class Most(Record, frozen=True):
    """The largest group of ops of a phase whose bounds are not known."""

    topic: ClassVar[str] = MOST
    block: str
    kernel: str
    share: float


class NoCeilings(Record, frozen=True):
    """Why there are no bounds.

    Attributes:
        n_threads: of the run.
        n_cores: where they are fewer, else None.
        measured_for: the threads that the ceilings hold for; None without any.
    """

    topic: ClassVar[str] = CEILINGS
    n_threads: int
    n_cores: int | None
    measured_for: int | None


class Read(Record, frozen=True):
    """Bytes of weights that a step reads, of those of the file.

    Of the rest: `lookup_bytes`, weights of which single rows are read; `routed_bytes`, of experts.
    """

    topic: ClassVar[str] = READ
    read_bytes: float
    file_bytes: float
    share: float
    is_lower_bound: bool
    lookup_bytes: float
    routed_bytes: float


class Types(Record, frozen=True):
    """What a file type holds.

    Attributes:
        named: the tensor type that the file type is named for; None where there is none.
        named_share: its share of the bytes.
        types: shares of the largest types, the largest first.
        unfit_share: of the bytes: weights in other quantized types whose rows, of `unfit_rows`
            elements, cannot be stored in the named one.
    """

    topic: ClassVar[str] = TYPES
    file_type: str | None
    named: str | None
    named_share: float | None
    types: dict[str, float]
    unfit_share: float
    unfit_rows: tuple[int, ...]


class Waiting(Record, frozen=True):
    """Waiting (mean over the threads) of a phase, and the block where most of it is.

    `imbalance_ms` and `barrier_ms` are as in `wait_totals`, or None.
    """

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

    what: str = AT_CEILING
    block: str
    ops: str


class WaitingGain(Gain, frozen=True, kw_only=True):
    """Equal shares, and barriers that cost nothing."""

    what: str = NO_WAITING


class QuantizeGain(Gain, frozen=True, kw_only=True):
    """Products bound by memory that read fewer bytes, in `to_type`."""

    what: str = QUANTIZE
    block: str
    type: str
    to_type: str


Figures = Limit | Most | NoCeilings | Read | Types | Waiting | Host | Gain


@dataclass(frozen=True)
class Finding:
    """One thing worth saying, and the figures that it rests on.

    `phase` is `prefill` or `decode`; None where it is true of the model or of both.
    """

    phase: str | None
    figures: Figures

    @property
    def topic(self) -> str:
        """What it is about."""
        return self.figures.topic
