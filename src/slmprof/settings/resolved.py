"""What was resolved: the settings that llama.cpp really used, in profiles and plans.

The names are those of what is asked for (`table`). `mmap` and `repack` say here whether a buffer
maps the file, and whether one holds repacked weights: asked for, a model without such weights has
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .table import PlanSettings, RunSettings


@dataclass(frozen=True)
class ResolvedConfig(RunSettings[None]):
    """The settings of a run as they were used; None where a profile does not say.

    A MODEL stands elsewhere in a profile; `n_prompt` and `n_gen` are the tokens that there were.
    `type_k` and `type_v` are None where a model has no such cache.
    """

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ResolvedConfig:
        """Takes what it knows of; what is absent is None."""
        return cls(**_told(cls, values))


@dataclass(frozen=True)
class ResolvedPlan(PlanSettings[None]):
    """The settings of a plan as llama.cpp would use them."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ResolvedPlan:
        """Takes what it knows of; what is absent is None."""
        return cls(**_told(cls, values))


def used_buffers(buffer_types: Iterable[str]) -> dict[str, bool]:
    """`mmap` and `repack` as the types of the buffers show them."""
    names = list(buffer_types)
    return {
        "mmap": any("Mapped" in name for name in names),
        "repack": any("REPACK" in name for name in names),
    }


def _told(of: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    told = {field.name: values.get(field.name) for field in fields(of)}
    return {n: tuple(v) if isinstance(v, list) else v for n, v in told.items()}
