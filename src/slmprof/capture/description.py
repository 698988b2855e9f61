"""What a profile says about its run, but for what the monitors see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..machine import environment
from ..models.resolve import model_name
from ..profiles.records.ceilings import Ceilings
from ..profiles.records.decoding import decode
from ..profiles.records.meta import LlamaCpp, Meta, Model, Program, Run
from ..settings.resolved import ResolvedConfig
from ..version import find_version


def describe_run(
    model: Model, config: ResolvedConfig, run: Run, n_threads: int, ceilings: Ceilings | None
) -> Meta:
    """The `meta` of a profile of this build, on this machine, now.

    Args:
        config: the settings that llama.cpp used.
        n_threads: as asked for, for the warnings about the machine.
    """
    from .. import _core

    build = dict(_core.build_info())
    source = LlamaCpp(version=build.pop("llama_cpp_version"), source=build.pop("llama_cpp_source"))
    build["cpu_features"] = _core.cpu_features()
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Meta(
        slmprof=Program(version=find_version(), llama_cpp=source, build=build),
        environment=environment.describe(n_threads),
        model=model,
        config=config,
        run=run.replace(created_at=now, complete=False, n_repeats_done=0, n_dropped=0),
        ceilings=ceilings,
    )


def model_record(info: Mapping[str, Any], path: Path) -> Model:
    """A model as its file describes it."""
    known = {**info, "name": model_name(info["name"], path), "path": str(path)}
    if not info.get("scheme"):
        known.pop("scheme", None)
    return decode(Model, known)
