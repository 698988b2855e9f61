"""What is asked of `slmprof memory`: a model, and the settings to plan it with."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from .arguments import check_value
from .devices import native_devices
from .kinds import Bytes, Seconds, Switch, Whole, Word
from .model_source import ModelSource, ModelText
from .table import (
    ALL,
    FIT,
    GIVE_UP,
    MAX,
    MEMORY,
    RUN,
    Asked,
    PlanSettings,
    refuse_unknown,
    setting,
    table,
)

_MOST_SETTINGS = 10_000
RESIDENT, RESERVED, ON_DEVICE = "resident", "reserved", "device"
FIT_FOR = (RESIDENT, RESERVED, ON_DEVICE)


@dataclass(frozen=True)
class AskedPlan(PlanSettings[Asked]):
    """One combination of settings; `n_ctx` may still be `max`."""


# Settings that may have several values: every combination is planned, the last one fastest.
GRID: tuple[str, ...] = tuple(n for n, entry in table(AskedPlan).items() if MEMORY in entry.axes)


@dataclass(frozen=True)
class MemoryRequest:
    """The arguments of `plan_memory`; make it by `of`.

    Settings of `GRID` are attributes, too: tuples, each value once. No `n_ctx` means the largest
    one that fits `fit_bytes`.

    Attributes:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        one: the settings that are the same in all plans; those of `GRID` stand in `grid`.
        grid: the values of each setting of `GRID`.
        fit_bytes: find the largest context that takes no more than this.
        fit_for: what must take no more: `resident` or `reserved` memory of this machine, or the
            buffers on each `device` beside the CPU.
        n_prompt: tokens of the prompt that is expected to run.
        timeout: seconds that planning may take.
        details: also what is live at the peak of the compute buffer, and the effect of n_ubatch.
        tensors: also every weight and every tensor of a cache.
    """

    model: str
    one: AskedPlan
    grid: Mapping[str, tuple[Any, ...]]
    fit_bytes: int | None = setting(
        Bytes(), None, "find the largest context that takes no more: 8GiB, 500MB, or plain bytes",
        group=FIT, option="--fit",
    )  # fmt: skip
    fit_for: str = setting(
        Word(*FIT_FOR), RESIDENT, "what has to fit: resident, what a run really touches; "
        "reserved, all that llama.cpp allocates or maps; or device, the buffers on each device "
        "beside the CPU", group=FIT,
    )  # fmt: skip
    n_prompt: int = setting(Whole(), 50, "tokens of the prompt", group=FIT)
    timeout: float | None = setting(Seconds(), None, GIVE_UP, "never", group=RUN)
    details: bool = True
    tensors: bool = True

    @classmethod
    def of(cls, model: ModelText, **settings: Any) -> MemoryRequest:
        """A request from settings by name: the attributes above, and those of a plan.

        Args:
            settings: of those of `GRID` a value or several. Without `n_ctx` (tokens, or `max` for
                what the model was trained for) that is 2048, or with `fit_bytes` nothing; else
                `n_ctx` is the context that has to fit.

        Raises:
            UsageError: a setting that does not exist, or an invalid one. ModelError: MODEL is none.
        """
        entries = table(AskedPlan)
        own = (*table(cls), "details", "tensors")
        refuse_unknown({"model": model, **settings}, ("model", *entries, *own))
        source = ModelSource.parse(model)
        asked = dict(settings)
        mine = {
            name: entry.check(asked.pop(name, entry.default)) for name, entry in table(cls).items()
        }
        fit_bytes = mine["fit_bytes"]
        rest = {
            name: check_value(name, Switch(), asked.pop(name))
            for name in ("details", "tensors")
            if name in asked
        }
        if fit_bytes is not None:
            asked.setdefault("n_ctx", ())
        grid = {
            name: entries[name].check_several(
                asked.pop(name, entries[name].default),
                least=0 if name == "n_ctx" and fit_bytes is not None else 1,
            )
            for name in GRID
        }
        one = AskedPlan(**{name: entries[name].check(value) for name, value in asked.items()})
        one.check_devices()
        made = cls(source.text, one, grid, **mine, **rest)
        if ALL in grid["file_type"] and len(grid["file_type"]) > 1:
            raise UsageError(
                f"file_type: {ALL} stands for every type; name it alone, or only the types to plan"
            )
        if mine["fit_for"] == ON_DEVICE and not native_devices(str(one.device)):
            raise UsageError(
                "fit_for device: there is no device beside the CPU; name one (--device)"
            )
        if fit_bytes is not None and len(grid["n_ctx"]) > 1:
            raise UsageError("with fit, n_ctx is the one context that has to fit")
        if made.n_settings > _MOST_SETTINGS:
            raise UsageError(
                f"{made.n_settings} combinations of settings are more than {_MOST_SETTINGS}"
            )
        return made

    def __getattr__(self, name: str) -> tuple[Any, ...]:
        """The values of a setting of `GRID`."""
        if name not in GRID:
            raise AttributeError(f"there is no setting {name}")
        return self.grid[name]

    @functools.cached_property
    def source(self) -> ModelSource:
        """MODEL, parsed."""
        return ModelSource.parse(self.model)

    @property
    def n_settings(self) -> int:
        """How many combinations there are."""
        return math.prod(max(len(values), 1) for values in self.grid.values())

    def settings(self) -> Iterator[AskedPlan]:
        """Every combination. With no n_ctx, which `fit_bytes` allows, it is `max`."""
        for combination in itertools.product(*(values or (MAX,) for values in self.grid.values())):
            yield replace(self.one, **dict(zip(self.grid, combination, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """The arguments of `of` as JSON holds them."""
        return {
            "model": self.model,
            **self.one.to_json(),
            **{n: None if v == (None,) else list(v) for n, v in self.grid.items()},
            **{name: getattr(self, name) for name in table(type(self))},
            "details": self.details, "tensors": self.tensors,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MemoryRequest:
        """The inverse of `to_json`; as `of`."""
        return cls.of(**values)
