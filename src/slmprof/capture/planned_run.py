"""What llama.cpp's planner says of a run before anything of it is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..analysis.memory.resident import Graph, Steps, expect_resident, placed
from ..children.memory import process_bytes
from ..children.native_errors import guarded
from ..machine.cupti import cupti_folders
from ..profiles.records.resident import PROCESS
from ..quantization.open_model import OpenModel
from ..settings.capture import CaptureConfig
from ..settings.devices import is_host, native_devices
from .memory_check import plan_buffers

if TYPE_CHECKING:
    from .. import _core
    from ..profiles.records.resident import Resident


def native_settings(model: OpenModel, config: CaptureConfig) -> _core.EngineSettings:
    """The settings of a run as the engine and the planner get them."""
    from .. import _core

    settings = _core.EngineSettings()
    settings.path, settings.scheme = os.fsencode(model.path), model.kernels
    config.fill(settings)
    if native_devices(config.device):
        settings.cupti_folders = cupti_folders()
    return settings


def plan_run(
    model: OpenModel, config: CaptureConfig
) -> tuple[Sequence[Mapping[str, Any]], Resident | None]:
    """The buffers that a run will have, and what of it will be resident.

    The latter is None where the length of the prompt is not known yet.

    Raises:
        CaptureError: the machine could not hold it. ModelError, EngineError, UsageError: llama.cpp
            refuses model or settings.
    """
    plans = _Plans(model, config)

    def free_elsewhere() -> dict[str, int]:
        from .. import _core

        found = _core.devices() if native_devices(config.device) else ()
        return {d["name"]: d["memory_free_bytes"] for d in found if not is_host(d["name"])}

    name = model.path.name
    buffers = plan_buffers(plans.plan, name, config.n_ctx_made, free_elsewhere)
    resident = None if config.prompt_file is not None else plans.expect_resident()
    del plans
    if resident is not None:
        # What the planner had is given back by now.
        resident = resident.with_line(PROCESS, process_bytes(has_planned=True))
    return buffers, resident


class _Plans:
    """The last plan that was made, and its planner."""

    planner: _core.Planner
    last: _core.Plan

    def __init__(self, model: OpenModel, config: CaptureConfig) -> None:
        self.model, self.path, self.config = model, model.path, config

    def plan(self, n_ctx: int) -> _core.Plan:
        """The plan of a context of this size."""
        from .. import _core

        settings = native_settings(self.model, self.config)
        settings.n_ctx = n_ctx
        self.planner = guarded(self.path, lambda: _core.Planner(settings))
        self.last = guarded(self.path, lambda: self.planner.plan(settings))
        return self.last

    def expect_resident(self) -> Resident | None:
        """What the run of the last plan will have resident beside the process itself."""
        config, plan = self.config, self.last

        def graph_of(n_ctx: int, n_ubatch: int, n_outputs: int) -> Graph:
            few = native_settings(self.model, config)
            few.n_ctx, few.n_ubatch, few.n_outputs_max = n_ctx, n_ubatch, n_outputs
            return placed(guarded(self.path, lambda: self.planner.plan(few))["graphs"][0])

        steps = Steps(config.n_prompt, int(plan["context"]["n_ctx"]), max(config.n_depths))
        graphs = list(map(placed, plan["graphs"]))
        weights, vocabulary_bytes = self.planner.weights(), self.planner.vocabulary_bytes
        return expect_resident(steps, plan, graphs, graph_of, weights, vocabulary_bytes)
