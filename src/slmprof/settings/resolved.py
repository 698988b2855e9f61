"""What was resolved: the settings that llama.cpp really used, in profiles and plans.

The names are those of what is asked for (`table`). `mmap` and `repack` say here whether a buffer
maps the file, and whether one holds repacked weights: asked for, a model without such weights has
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

from .devices import is_mapped, is_repacked
from .table import PlanSettings, RunSettings, setting_text, table

_Record = TypeVar("_Record")


class _Told:
    @classmethod
    def from_json(cls: type[_Record], values: Mapping[str, Any]) -> _Record:
        """What is known of the settings, by name; what is absent is None."""
        names = [field.name for field in fields(cast(Any, cls))]
        told = {name: values.get(name) for name in names}
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in told.items()})


@dataclass(frozen=True)
class ResolvedConfig(RunSettings[None], _Told):
    """The settings of a run as they were used; None where a profile does not say.

    A MODEL stands elsewhere in a profile; `n_prompt` and `n_gen` are the tokens that there were.
    `type_k` and `type_v` are None where a model has no such cache.
    """

    def impossible(self) -> str | None:
        """The first setting with a value that it cannot have; None where there is none."""
        for name, setting in table(ResolvedConfig).items():
            value = getattr(self, name)
            try:
                if value is not None:
                    (setting.told or setting.kind).check(value)
            except ValueError:
                return name
        return None


@dataclass(frozen=True)
class ResolvedPlan(PlanSettings[None], _Told):
    """The settings of a plan as llama.cpp would use them."""

    def point(self, names: Iterable[str]) -> str:
        """Some of the settings in a line: those that tell a point of a grid from the others."""
        known = {name: getattr(self, name) for name in names}
        return ", ".join(f"{n} {setting_text(v)}" for n, v in known.items() if v is not None)


def used_buffers(buffer_types: Iterable[str]) -> dict[str, bool]:
    """`mmap` and `repack` as the types of the buffers show them."""
    names = list(buffer_types)
    return {"mmap": any(map(is_mapped, names)), "repack": any(map(is_repacked, names))}
