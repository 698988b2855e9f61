"""What a profile says about itself: the parts of `meta` as records (docs/profile-format.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from ...errors import ProfileFormatError
from ...settings.resolved import ResolvedConfig
from ..vocabulary import enums
from .bandwidth import RunBandwidth
from .ceilings import Ceilings
from .decoding import Json, Record, Whole, decode
from .device_ceilings import DeviceCeilings
from .device_memory import DeviceMemory
from .energy import Energy
from .load import Load
from .resident import Resident
from .scaling import Scaling

FORMAT = "slmprof-profile"
FORMAT_VERSION = 8
_MOST_DEVICES = 1000
# Far beyond any machine, and far from overflow when added up.
# Lists of what there are a few dozen of at most. Some is compared with all the others.
_FEW = msgspec.Meta(max_length=1000)
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**48 - 1)]


class LlamaCpp(Record, frozen=True):
    """The llama.cpp that was measured."""

    version: str | None = None
    source: str | None = None


class Program(Record, frozen=True):
    """The slmprof that measured; `build` are flags that change speed, and in `features` what its
    llama.cpp has of what older ones lack."""

    version: str | None = None
    llama_cpp: LlamaCpp = LlamaCpp()
    build: Annotated[dict[str, str | int | bool | list[str] | None], _FEW] = field(
        default_factory=dict
    )


class Environment(Record, frozen=True):
    """The machine; `warnings` say what spoiled the run, one sentence each."""

    cpu: str | None = None
    n_cores: Whole | None = None
    memory_bytes: Whole | None = None
    os: str | None = None
    governor: str | None = None
    warnings: Annotated[tuple[str, ...], _FEW] = ()
    load: Load | UnsetType = UNSET


class FileIdentity(Record, frozen=True):
    """What tells a model's file from any other; `sha256` is that of its metadata and tensor table.

    `device` and `inode` hold on one machine only.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    sha256: str

    @property
    def content(self) -> tuple[int, int, str]:
        """The part that a copy, or a machine that was started again, keeps."""
        return self.size_bytes, self.mtime_ns, self.sha256


class Model(Record, frozen=True):
    """The model; `tensor_types` has the bytes of each type, `identity` the file that was measured.

    A split model has an identity for each of its parts. `ignored` are keys of the `config.json`
    of a synthesised one that nothing followed from. `scheme` is the user's quantization scheme
    whose values the file holds as floats.
    """

    name: str | None = None
    path: str | None = None
    architecture: str | None = None
    n_params: Whole | None = None
    n_layer: Whole | None = None
    n_embd: Whole | None = None
    n_vocab: Whole | None = None
    file_type: str | None = None
    size_bytes: Whole | None = None
    tensor_types: Annotated[dict[str, Whole], _FEW] = field(default_factory=dict)
    random_weights: bool | None = None
    n_ctx_train: Whole | UnsetType = UNSET
    n_expert: Whole | UnsetType = UNSET
    n_head: Whole | UnsetType = UNSET
    n_head_kv: Whole | UnsetType = UNSET
    n_ff: Whole | UnsetType = UNSET
    identity: tuple[FileIdentity, ...] | UnsetType = UNSET
    ignored: tuple[str, ...] | UnsetType = UNSET
    scheme: str | UnsetType = UNSET


class Warmup(Record, frozen=True):
    """How one phase was warmed up; `reason` is why it ended, `steady` or `limit`."""

    n_passes: Whole | None = None
    reason: str | None = None


class SweptModel(Record, frozen=True, omit_defaults=True):
    """What tells the model of a sweep's point from one with other content.

    The files, with the size of all and the latest time (older folders have these alone), or a
    digest of the dimensions of a synthesised one; and a digest of the file of its scheme.
    """

    size_bytes: int | None = None
    mtime_ns: int | None = None
    dimensions: str | None = None
    files: tuple[FileIdentity, ...] = ()
    scheme: str | None = None

    def is_same(self, other: SweptModel) -> bool:
        """Whether both are of one content, as far as both tell."""
        if self.scheme != other.scheme:
            return False
        mine, others = ([file.content for file in model.files] for model in (self, other))
        if mine and others:
            return mine == others
        return (self.size_bytes, self.mtime_ns, self.dimensions) == (
            other.size_bytes,
            other.mtime_ns,
            other.dimensions,
        )


class SweptPoint(Record, frozen=True):
    """A point of a sweep: its settings as they were asked for, and its model's content."""

    settings: Json
    model: SweptModel


class Run(Record, frozen=True):
    """How the run went; `warmup` by phase, `sweep` of a point of a sweep only."""

    created_at: str | None = None
    complete: bool | None = None
    n_repeats: Whole | None = None
    n_repeats_done: Whole | None = None
    warmup: Annotated[dict[str, Warmup], _FEW] = field(default_factory=dict)
    n_dropped: Whole | None = None
    events: Literal["all", "aggregate"] | None = None
    error: str | None = None
    sweep: SweptPoint | UnsetType = UNSET


class Buffer(Record, frozen=True):
    """Buffers of one device, buffer type and kind."""

    device: str = ""
    buffer_type: str = ""
    kind: str = ""
    size_bytes: Whole = 0


class ObservedBuffer(Record, frozen=True, kw_only=True):
    """One allocation at one moment; see docs/profile-format.md."""

    buffer: Annotated[int, msgspec.Meta(ge=-1, le=2**48 - 1)]
    device: str
    buffer_type: str
    kind: str
    size_bytes: _Bytes
    resident_bytes: _Bytes | None = None
    original_bytes: _Bytes
    original_resident_bytes: _Bytes | None = None


class Observation(Record, frozen=True, kw_only=True):
    """The process and its buffers at one moment; None is what the system does not tell."""

    point: str
    n_past: _Bytes
    rss_bytes: _Bytes | None = None
    pss_bytes: _Bytes | None = None
    anonymous_bytes: _Bytes | None = None
    file_bytes: _Bytes | None = None
    rss_peak_bytes: _Bytes | None = None
    library_bytes: _Bytes | None = None
    heap_bytes: _Bytes | None = None
    minor_faults: _Bytes | None = None
    major_faults: _Bytes | None = None
    recorder_bytes: _Bytes
    recorder_resident_bytes: _Bytes | None = None
    buffers: Annotated[tuple[ObservedBuffer, ...], msgspec.Meta(max_length=10_000)]


class Memory(Record, frozen=True):
    """Buffers as allocated and as predicted, and the process in the order of time.

    `resident_expected` is what was expected to be resident, None where that was not told;
    `devices` what GPUs hold beside buffers, absent where there is none.
    """

    buffers: Annotated[tuple[Buffer, ...], _FEW] = ()
    predicted: Annotated[tuple[Buffer, ...], _FEW] = ()
    observations: Annotated[tuple[Observation, ...], _FEW] = ()
    rss_peak_bytes: Whole | None = None
    resident_expected: Resident | None = None
    devices: Annotated[tuple[DeviceMemory, ...], _FEW] | UnsetType = UNSET

    @property
    def told_devices(self) -> tuple[DeviceMemory, ...]:
        """`devices`, none where it is absent."""
        return self.devices or ()


class Meta(Record, frozen=True):
    """The parts of `meta`; `ceilings` is None where this machine's were not measured, `bandwidth`
    where memory's was not during the run, `scaling` where it had one number of threads, `energy`
    where nobody asked for it. `device_ceilings` are those of devices beside the CPU, of which they
    were measured."""

    slmprof: Program = Program()
    environment: Environment = Environment()
    model: Model = Model()
    config: ResolvedConfig = ResolvedConfig.from_json({})
    run: Run = Run()
    memory: Memory = Memory()
    ceilings: Ceilings | None = None
    bandwidth: RunBandwidth | None = None
    scaling: Scaling | None = None
    device_ceilings: tuple[DeviceCeilings, ...] = ()
    energy: Energy | None = None

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Meta:
        """The inverse of `to_json`. Unknown keys are dropped; absent and null ones are alike.

        Raises:
            ProfileFormatError: a known key has the wrong type, or a setting a value that it cannot
                have; names part and key.
        """
        known = {
            name: {key: item for key, item in part.items() if item is not None}
            if isinstance(part, Mapping)
            else part
            for name, part in parts.items()
            if name not in ("ceilings", "device_ceilings")
        }
        config = known.get("config", {})
        if isinstance(config, dict):
            # What a file does not say is not known: no default holds for it.
            known["config"] = {**ResolvedConfig.from_json({}).to_json(), **config}
        ceilings = parts.get("ceilings")
        measured = Ceilings.from_json(ceilings) if ceilings else None
        read = decode(cls, known)
        if wrong := read.config.impossible():
            # The value is not quoted: it may be anything.
            raise ProfileFormatError(f"config.{wrong} has an impossible value")
        of_devices = parts.get("device_ceilings") or []
        if not isinstance(of_devices, list) or len(of_devices) > _MOST_DEVICES:
            raise ProfileFormatError("device_ceilings is no list of ceilings")
        devices = tuple(DeviceCeilings.from_json(one) for one in of_devices)
        return read.replace(ceilings=measured, device_ceilings=devices)

    def to_json(self) -> Json:
        """The parts as one JSON object, without numbers that JSON does not have."""
        values = super().to_json()
        for name in ("bandwidth", "scaling", "energy"):
            if values[name] is None:
                del values[name]
        values.pop("device_ceilings")
        if self.device_ceilings:
            values["device_ceilings"] = [one.to_json() for one in self.device_ceilings]
        return {**values, "ceilings": self.ceilings.to_json() if self.ceilings is not None else {}}

    def with_warnings(self, warnings: Iterable[str]) -> Meta:
        """The same with further warnings about the environment."""
        told = (*self.environment.warnings, *warnings)
        return self.replace(environment=self.environment.replace(warnings=told))

    def replace_run(self, **values: Any) -> Meta:
        """The same with some fields of `run` exchanged."""
        return self.replace(run=self.run.replace(**values))


def check_enums(value: Any) -> None:
    """Refuses a profile whose small integers mean something else.

    Enums, and values at the end of one, that the file's writer did not have yet may be absent.

    Raises:
        ProfileFormatError: `value` is neither absent nor names values as this version does.
    """
    own = enums()
    if not isinstance(value, dict | None):
        raise ProfileFormatError("enums is not an object")
    for name, texts in (value or {}).items():
        if not isinstance(texts, list) or name not in own or own[name][: len(texts)] != texts:
            raise ProfileFormatError(
                f"enums.{name[:50]!r} has other values than this slmprof knows"
            )
