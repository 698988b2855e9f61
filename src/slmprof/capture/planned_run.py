"""What llama.cpp's planner says of a run before anything of it is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..analysis.memory.resident import Graph, Steps, expect_resident, placed
from ..children.memory import process_bytes
from ..children.native_errors import guarded
from ..children.protocol import OnProgress
from ..machine.cupti import cupti_folders
from ..native_variant import chosen
from ..profiles.records.resident import PROCESS
from ..quantization.open_model import OpenModel, open_model
from ..settings.capture import CaptureConfig
from ..settings.devices import is_host, native_devices
from .memory_check import plan_buffers
from .monitors.device_memory import DeviceMemoryMonitor

if TYPE_CHECKING:
    from .. import _core
    from ..profiles.records.resident import Resident


@dataclass(frozen=True)
class PlannedRun:
    """A run that llama.cpp allows and that the machine can hold; nothing of it is loaded.

    Attributes:
        buffers: that it will have.
        resident: what will be resident; None where the length of the prompt is not known yet.
        gpus: watches the GPUs from before they were planned for.
    """

    model: OpenModel
    buffers: Sequence[Mapping[str, Any]]
    resident: Resident | None
    gpus: DeviceMemoryMonitor


def plan_run(config: CaptureConfig, on_progress: OnProgress | None = None) -> PlannedRun:
    """Plans a run: what can be refused without running it is refused here.

    Args:
        on_progress: called as a scheme packs the model's weights.

    Raises:
        CaptureError: the machine could not hold it. ModelError, EngineError, UsageError: llama.cpp
            refuses model or settings.
    """
    chosen()
    from .. import _core

    model = open_model(config.source, seed=config.seed, on_progress=on_progress)
    _core.clear_log()
    _core.log_to_stderr(os.environ.get("SLMPROF_LOG") == "stderr")
    gpus = DeviceMemoryMonitor(native_devices(config.device))
    buffers, resident = _plan_memory(model, config)
    # Planning has made CUDA's contexts, and left nothing in them.
    gpus.note_contexts()
    return PlannedRun(model, buffers, resident, gpus)


def native_settings(model: OpenModel, config: CaptureConfig) -> _core.EngineSettings:
    """The settings of a run as the engine and the planner get them."""
    from .. import _core

    settings = _core.EngineSettings()
    settings.path, settings.scheme = os.fsencode(model.path), model.kernels
    config.fill(settings)
    if native_devices(config.device):
        settings.cupti_folders = cupti_folders()
    return settings


def _plan_memory(
    model: OpenModel, config: CaptureConfig
) -> tuple[Sequence[Mapping[str, Any]], Resident | None]:
    """The buffers that a run will have, and what of it will be resident."""
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
