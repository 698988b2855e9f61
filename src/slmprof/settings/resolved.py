"""What was resolved: the settings that llama.cpp really used, in profiles and plans.

The names are those of what is asked for (`table`). `mmap` and `repack` say here whether a buffer
maps the file, and whether one holds repacked weights: asked for, a model without such weights has
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from .table import PlanSettings, RunSettings

_Resolved = TypeVar("_Resolved", "ResolvedConfig", "ResolvedPlan")


@dataclass(frozen=True)
class ResolvedConfig(RunSettings[None]):
    """The settings of a run as they were used; None where a profile does not say.

    A MODEL stands elsewhere in a profile; `n_prompt` and `n_gen` are the tokens that there were.
    `type_k` and `type_v` are None where a model has no such cache.
    """


@dataclass(frozen=True)
class ResolvedPlan(PlanSettings[None]):
    """The settings of a plan as llama.cpp would use them."""


def resolved(of: type[_Resolved], values: Mapping[str, Any]) -> _Resolved:
    """A record of what is known of its settings, by name; what is absent is None."""
    told: dict[str, Any] = {field.name: values.get(field.name) for field in fields(of)}
    told.update({name: tuple(v) for name, v in told.items() if isinstance(v, list)})
    return of(**told)


def used_buffers(buffer_types: Iterable[str]) -> dict[str, bool]:
    """`mmap` and `repack` as the types of the buffers show them."""
    names = list(buffer_types)
    return {
        "mmap": any("Mapped" in name for name in names),
        "repack": any("REPACK" in name for name in names),
    }
