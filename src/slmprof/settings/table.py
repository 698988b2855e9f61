"""The table of settings: each is declared once, as a field of one of the classes here.

A field carries what is known of its setting (`Setting`). Options of the commands, the checks of
what is asked, a sweep's axes and the names of its files, the settings that llama.cpp gets, captions
and the keys of what was resolved all follow from it. The order of the fields is the order in which
settings are listed everywhere.

The classes are generic over what stands where a setting is not known: nothing in what is asked for
(`Asked`), None in what a profile tells. They are bases only, and have no methods made that nobody
calls: to make them takes time whenever a command starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, NoReturn, TypeVar

from ..errors import UsageError
from ..system.cores import MOST_THREADS, default_threads
from .arguments import check_value
from .devices import CPU, SPLIT_MODES, DeviceNames, Proportions, native_devices
from .kinds import (
    MOST_DEPTHS,
    MOST_PROCESSES,
    File,
    Kind,
    Seconds,
    Several,
    Switch,
    Text,
    Whole,
    WholeOr,
    Word,
)
from .pattern_kinds import Override

U = TypeVar("U")
Asked = NoReturn

GIVE_UP = "give up on a worker process after so long"
MAX = "max"
ALL = "all"
DEFAULT_N_CTX = 2048
# llama.cpp compiles each pattern anew for each tensor.
_LONGEST_OVERRIDE, _LONGEST_OVERRIDES = 1024, 16384
THREADS = Whole(1, MOST_THREADS, "llama.cpp's own limit")
FLASH_ATTENTION = {"auto": -1, "on": 1, "off": 0}
SWEEP, MEMORY = "sweep", "memory"
RUN, LLAMA, FIT = "what to run", "settings of llama.cpp", "what fits"
RECIPE, SCORING = "how to quantize", "how the text is run"
GROUPS = (RUN, LLAMA, FIT, RECIPE, SCORING)
FIRST = "always, and on one screen, too"
ALWAYS, CHANGED, NEVER = "always", "where it is not the default", "never"
_SHOWN: dict[str, Any] = {"tells_apart": ALWAYS, "caption": ALWAYS}
_MAIN: dict[str, Any] = {"tells_apart": ALWAYS, "caption": FIRST}


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        kind: which values there are.
        told: which values a profile may hold, where they are more than can be asked for.
        default: the value where none is given; None may then stand for a value that follows from
            others.
        help: the option's help.
        default_help: the default in words, where its value is none.
        group: the heading of the option.
        option: the option's name, where it is not that of the field.
        native: the field of the native EngineSettings that gets the value; or several fields, each
            with what makes its value of this one's, where None leaves the field as it is.
        reads: the attribute to make them of, where it is not the setting's own.
        axes: the commands in which several values make a grid.
        short: how the name of a sweep's file abbreviates it; without, it counts in its digest only.
        tells_apart: when the setting counts as one that two points of a sweep can differ in. New
            settings count where they are not the default, so that older folders stay valid.
        caption: when it stands above the tables.
        name: of the field, the JSON key and, with hyphens, the option; `table` fills it in.
    """

    kind: Kind
    default: Any
    help: str
    default_help: str = ""
    group: str = LLAMA
    option: str = ""
    native: str | Mapping[str, Callable[[Any], Any]] = ""
    reads: str = ""
    axes: tuple[str, ...] = ()
    short: str = ""
    tells_apart: str = CHANGED
    caption: str = NEVER
    told: Kind | None = None
    name: str = ""

    @property
    def default_text(self) -> str:
        """The default in words; empty where it goes without saying."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return self.default_help or ("" if self.default in (None, ()) else str(self.default))

    def check(self, value: Any) -> Any:
        """A value as it is kept. Raises UsageError, which names the setting."""
        if value is None and self.default is None:
            return None
        return check_value(self.name, self.kind, value)

    def check_several(self, value: Any, least: int) -> tuple[Any, ...]:
        """One or several values as a tuple, each once. Raises UsageError as `check`."""
        found = replace(self, kind=Several(self.kind, least=least)).check(value)
        return (None,) if found is None else tuple(found)

    def native_values(self, value: Any) -> dict[str, Any]:
        """What the native EngineSettings gets of a value, by its fields."""
        if isinstance(self.native, str):
            return {self.native: value} if self.native else {}
        made = {name: make(value) for name, make in self.native.items()}
        return {name: item for name, item in made.items() if item is not None}

    def is_default(self, value: Any) -> bool:
        """Whether a value, as JSON or Python has it, is the one where none is given."""
        return bool((tuple(value) if isinstance(value, list) else value) == self.default)

    def applies(self, when: str, value: Any) -> bool:
        """Whether a value is one of those that `tells_apart` or `caption` mean."""
        return when in (ALWAYS, FIRST) or (when == CHANGED and not self.is_default(value))


def setting(*known: Any, **more: Any) -> Any:
    """A field that is a setting; the arguments are those of `Setting`."""
    made = Setting(*known, **more)
    return field(default=made.default, metadata={"setting": made})


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class LlamaSettings(Generic[U]):
    """Settings of llama.cpp that a run and a plan of memory share."""

    n_batch: int | U = setting(
        Whole(), 2048, "of a logical batch",
        native="n_batch", axes=(SWEEP, MEMORY), short="b", **_SHOWN,
    )  # fmt: skip
    n_ubatch: int | U = setting(
        Whole(), 512, "of a physical batch",
        native="n_ubatch", axes=(SWEEP, MEMORY), short="ub", **_SHOWN,
    )  # fmt: skip
    threads: int | None = setting(
        THREADS, None, "threads", "all usable cores",
        native="n_threads", reads="n_threads", axes=(SWEEP,), short="t", **_SHOWN,
    )  # fmt: skip
    flash_attn: str | U = setting(
        Word(*FLASH_ATTENTION), "auto", "flash attention",
        native={"flash_attn": FLASH_ATTENTION.get}, axes=(SWEEP, MEMORY), short="fa-", **_SHOWN,
    )  # fmt: skip
    type_k: str | U = setting(
        Text("TYPE", "the name of a type"), "f16", "of the K cache",
        native="type_k", axes=(SWEEP, MEMORY), short="k-", **_SHOWN,
    )  # fmt: skip
    type_v: str | U = setting(
        Text("TYPE", "the name of a type"), "f16", "of the V cache",
        native="type_v", axes=(SWEEP, MEMORY), short="v-", **_SHOWN,
    )  # fmt: skip
    override_tensor: tuple[str, ...] | U = setting(
        Several(Override("BUFFER", _LONGEST_OVERRIDE, _LONGEST_OVERRIDES), least=0), (),
        "put weights whose name matches into a buffer type; may be repeated",
        native={"tensor_overrides": lambda texts: list(map(Override.split, texts))},
        tells_apart=ALWAYS, caption=CHANGED,
        told=Several(Override(most_characters=None), least=0),  # of a run that is over
    )  # fmt: skip
    mmap: bool | U = setting(
        Switch(), True, "map the file instead of reading it",
        native="use_mmap", axes=(MEMORY,), **_SHOWN,
    )  # fmt: skip
    repack: bool | U = setting(
        Switch(), True, "repack weights for this CPU",
        native="use_repack", axes=(MEMORY,), **_SHOWN,
    )  # fmt: skip
    device: str | U = setting(
        DeviceNames(), CPU, "where layers run beside the CPU: cuda, cuda:N, rpc:HOST:PORT, "
        "or as ggml calls it; several by commas; memory plans for planned:cuda, too",
        native={"devices": native_devices}, tells_apart=ALWAYS, caption=CHANGED,
        told=Text("DEVICE", "the name of a device"),  # another build's, too
    )  # fmt: skip
    n_gpu_layers: int | str | None = setting(
        WholeOr(ALL, least=0), None, "layers that go there", "all, where a device is named",
        native="n_gpu_layers", reads="n_layers_there", axes=(SWEEP,), short="ngl", caption=CHANGED,
    )  # fmt: skip
    split_mode: str | U = setting(
        Word(*SPLIT_MODES), "layer", "how several devices share a model",
        native={"split_mode": SPLIT_MODES.get}, caption=CHANGED,
    )  # fmt: skip
    tensor_split: tuple[float, ...] | U = setting(
        Proportions(), (), "how much of the model each of several devices gets",
        "by their free memory", native={"tensor_split": list}, caption=CHANGED,
    )  # fmt: skip
    cuda_graphs: bool | U = setting(
        Switch(), True, "replay CUDA graphs, as llama.cpp does",
        native="cuda_graphs", axes=(SWEEP,), caption=CHANGED,
    )  # fmt: skip

    @property
    def n_threads(self) -> int:
        """Compute threads, the default resolved."""
        return self.threads if self.threads is not None else default_threads()

    @property
    def n_layers_there(self) -> int:
        """Layers on the devices beside the CPU; -1 for all."""
        if self.n_gpu_layers is None:
            return -1 if native_devices(str(self.device)) else 0
        return -1 if self.n_gpu_layers == ALL else int(self.n_gpu_layers)

    def check_devices(self) -> None:
        """Raises UsageError for layers that have nowhere to go."""
        if self.n_layers_there != 0 and not native_devices(str(self.device)):
            raise UsageError(
                f"n_gpu_layers: {self.n_gpu_layers} of the layers have nowhere to go; name a "
                "device (--device)"
            )

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    def fill(self, native: Any) -> None:
        """Sets what a native EngineSettings has of these settings."""
        for setting in table(type(self)).values():
            value = getattr(self, setting.reads or setting.name)
            for name, item in setting.native_values(value).items():
                setattr(native, name, item)


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Tokens(Generic[U]):
    """How many tokens a run has."""

    n_prompt: int | U = setting(
        Whole(), 50, "tokens of the prompt", group=RUN, axes=(SWEEP,), short="p", **_MAIN
    )
    n_gen: int | U = setting(
        Whole(), 50, "tokens to generate", group=RUN, axes=(SWEEP,), short="g", **_MAIN,
        told=Whole(0),  # of a model that only encodes
    )  # fmt: skip
    n_depth: int | tuple[int, ...] | U = setting(
        Several(Whole(0), alone=True, most=MOST_DEPTHS), 0,
        "tokens before the prompt; several to compare",
        group=RUN, short="d", **_SHOWN,
    )  # fmt: skip
    n_ctx: int | None = setting(
        Whole(), None, "size of the context", f"{DEFAULT_N_CTX}, or more where --n-depth needs it",
        native="n_ctx", reads="n_ctx_made", axes=(SWEEP,), short="c", **_SHOWN,
    )  # fmt: skip


# Fields stand in the order of the bases from the last one on.
@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class RunSettings(LlamaSettings[U], _Tokens[U]):
    """What a run is made with, but for its model."""

    repeats: int | U = setting(Whole(), 5, "of every pass", group=RUN, short="r", **_MAIN)
    processes: int | U = setting(
        Whole(most=MOST_PROCESSES), 1,
        "worker processes, in turns; each warms up and makes all repeats",
        group=RUN, short="x", caption=CHANGED,
    )  # fmt: skip
    seed: int | U = setting(
        Whole(0), 0, "of the random tokens", group=RUN, short="s", tells_apart=ALWAYS
    )
    prompt_file: str | None = setting(
        File(), None, "text to use instead of random tokens",
        group=RUN, tells_apart=ALWAYS,
    )  # fmt: skip
    events: str | U = setting(
        Word("auto", "all", "aggregate"), "auto", "keep every event, or statistics of each op",
        group=RUN, tells_apart=ALWAYS,
    )  # fmt: skip
    clock: str | U = setting(
        Word("fast", "exact"), "fast",
        "exact times very short ops more precisely, at some percent of overhead",
        group=RUN, native={"exact_clock": "exact".__eq__}, tells_apart=ALWAYS, caption=CHANGED,
    )  # fmt: skip
    timeout: float | None = setting(
        Seconds(),
        None,
        GIVE_UP,
        "never",
        group=RUN,
        tells_apart=NEVER,
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class _Contexts(Generic[U]):
    """What a plan varies first."""

    file_type: str | None = setting(
        Text("TYPE", "the name of a type"), None,
        "plan the model as llama-quantize would write it; all for every type",
        "the file as it is", group=FIT, axes=(MEMORY,),
    )  # fmt: skip
    n_ctx: int | str | U = setting(
        WholeOr(MAX), DEFAULT_N_CTX,
        f"size of the context; {MAX} is the one that the model was trained for",
        native={"n_ctx": lambda n_ctx: None if n_ctx == MAX else n_ctx},
        axes=(MEMORY,), caption=ALWAYS,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class PlanSettings(LlamaSettings[U], _Contexts[U]):
    """What memory is planned with, but for the model."""

    n_seq_max: int | U = setting(
        Whole(), 1, "sequences side by side", native="n_seq_max", axes=(MEMORY,), caption=ALWAYS
    )
    n_outputs_max: int | U = setting(
        Whole(0), 0, "tokens of a ubatch that give logits", "all of them",
        native="n_outputs_max", axes=(MEMORY,), caption=CHANGED,
    )  # fmt: skip
    swa_full: bool | U = setting(
        Switch(), False, "caches of sliding windows as long as the context",
        native="swa_full", axes=(MEMORY,), caption=CHANGED,
    )  # fmt: skip


def refuse_unknown(values: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises UsageError for a setting that does not exist."""
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(f"no setting '{unknown[0]}'; there are {', '.join(sorted(known))}")


def captions(of: type[Any], config: LlamaSettings[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """The settings that stand above tables, as JSON holds them.

    Args:
        of: the class that declares them.
        config: their values; what is None or absent is not known, and not shown.
    """
    values = config.to_json() if isinstance(config, LlamaSettings) else config
    known = {name: value for name, value in values.items() if value is not None}
    return {
        name: known[name]
        for name, entry in table(of).items()
        if name in known and entry.applies(entry.caption, known[name])
    }


def setting_text(value: Any, joint: str = ",") -> str:
    """A setting's value as people write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (list, tuple)):
        return joint.join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def table(of: type[Any]) -> dict[str, Setting]:
    """The settings among the fields of a class, by name."""
    return {
        f.name: replace(f.metadata["setting"], name=f.name)
        for f in fields(of)
        if "setting" in f.metadata
    }
