"""Everything that `slmprof memory` answers, put together in the child process."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..children.memory import process_bytes, rss_peak_bytes
from ..children.protocol import OnProgress, Progress
from ..errors import EngineError, SlmprofError, UsageError
from ..machine import environment
from ..settings.planning import AskedPlan, MemoryRequest
from ..settings.resolved import ResolvedPlan
from . import notes as plan_notes
from .changes import find_change
from .fit import choose_types, find_fit, smallest_context
from .planner import ModelPlanner
from .points import Outcome, Points
from .records import (
    Fit,
    FitChange,
    MemoryPlan,
    MemoryReport,
    PlannedModel,
    PlannerCost,
    Refusal,
    UbatchSize,
)

_ALL_TYPES = "all"


def make_report(
    request: MemoryRequest, folder: Path, on_progress: OnProgress, points: Points
) -> MemoryReport:
    """Plans every setting, or finds what fits.

    The plans themselves are with whom `points` tells, and not in the report.

    Args:
        folder: for the outlines of models that are no files; the caller removes it.

    Raises:
        ModelError, UsageError: the model is unusable, or llama.cpp allows none of the settings.
        EngineError: it died of all of them.
    """
    return _Report(request, folder, on_progress, points).make()


class _Report:
    def __init__(
        self, request: MemoryRequest, folder: Path, on_progress: OnProgress, points: Points
    ) -> None:
        self.request = request
        self.folder = folder
        self.memory_bytes = environment.memory_bytes()
        self.read_before = read_bytes()
        self.own_bytes = process_bytes(has_planned=False)
        self.refusals: list[Refusal] = []
        self._model: PlannedModel | None = None
        self._planner_ns = 0
        self._on_progress = on_progress
        self._points = points
        self._done = 0
        self._total = 0

    def make(self) -> MemoryReport:
        settings = list(self.request.settings())
        n_planned = 0
        fits: list[Fit] = []
        models: list[PlannedModel] = []
        file_types = self._file_types()
        self._total = len(file_types) * len(settings) // max(len(self.request.grid["file_type"]), 1)
        for file_type in file_types:
            of_type = [s for s in settings if s.file_type in (file_type, _ALL_TYPES)]
            planner = self._open(file_type)
            if planner is None:
                continue
            models.append(planner.model)
            make: Callable[[AskedPlan], MemoryPlan | Fit] = functools.partial(self._plan, planner)
            if self.request.fit_bytes is not None:
                make = functools.partial(find_fit, planner, self.request)
            for outcome in self._each(of_type, make):
                n_planned += 1
                fits += [outcome.fit] if outcome.fit is not None else []
            self._planner_ns += planner.planner_ns
        if self._model is None or not n_planned:
            first = self.refusals[0]
            kind = EngineError if first.died else UsageError
            raise self._points.model_error or kind(first.told(self._varying()))
        budget, fit_for = self.request.fit_bytes, self.request.fit_for
        lightest, least_compressed = choose_types(fits, budget, fit_for)
        return MemoryReport(
            model=self._model,
            memory_bytes=self.memory_bytes,
            varying=self._varying(),
            settings=(),
            refusals=tuple(self.refusals),
            fits=tuple(fits),
            budget_bytes=self.request.fit_bytes,
            lightest=lightest,
            least_compressed=least_compressed,
            fit_for=fit_for,
            models=tuple(models),
            change=self._points.extra(lambda: self._change(settings, fits)) if fits else None,
            planner=self._cost(),
        )

    def _change(self, settings: Sequence[AskedPlan], fits: Sequence[Fit]) -> FitChange | None:
        """What would make the context fit that was asked for, or any, where nothing does."""
        request, budget = self.request, self.request.fit_bytes or 0
        n_ctx = fits[0].asked_n_ctx
        held = [fit.asked_held_bytes(request.fit_for) if n_ctx else fit.held_bytes(request.fit_for)
                for fit in fits]  # fmt: skip
        if any(size is not None and size <= budget for size in held):
            return None
        planners: dict[str | None, ModelPlanner | None] = {}

        def planner_of(file_type: str | None) -> ModelPlanner | None:
            if file_type not in planners:
                planners[file_type] = self._open(file_type)
            return planners[file_type]

        def size_of(setting: AskedPlan) -> int:
            planner = planner_of(setting.file_type)
            assert planner is not None
            return planner.plan(setting).held_bytes(request.fit_for)

        def size_of_type(file_type: str) -> int | None:
            with contextlib.suppress(SlmprofError):
                planner = planner_of(file_type)
                return planner.model.size_bytes if planner is not None else None
            return None

        least = min(range(len(fits)), key=lambda i: held[i] or 0)
        setting = settings[0]
        if fits[least].config.file_type is not None:
            setting = replace(setting, file_type=fits[least].config.file_type)
        model = planner_of(setting.file_type)
        assert model is not None
        limit = model.model.n_ctx_train or n_ctx or 0
        return find_change(
            size_of, setting, n_ctx or smallest_context(limit), budget,
            model.model.size_bytes, size_of_type,
        )  # fmt: skip

    def _varying(self) -> tuple[str, ...]:
        request = self.request
        several = [name for name, values in request.grid.items() if len(values) > 1]
        if _ALL_TYPES in request.grid["file_type"] and "file_type" not in several:
            several.insert(0, "file_type")
        return tuple(several)

    def _file_types(self) -> list[str | None]:
        if _ALL_TYPES not in self.request.grid["file_type"]:
            return list(self.request.grid["file_type"])
        from .. import _core

        return list(_core.synth_file_types())

    def _open(self, file_type: str | None) -> ModelPlanner | None:
        """The planner of the model in a type; None where one of several types is not possible."""
        from ..quantization.open_model import open_outline

        self._report(f"planning {file_type}" if file_type else "planning")
        try:
            model = open_outline(self.request.source, self.folder, file_type=file_type)
            planner = ModelPlanner(
                self.request, model, file_type=file_type, own_bytes=self.own_bytes
            )
            self._model = self._model or planner.model
            return planner
        except UsageError as error:
            if _ALL_TYPES not in self.request.grid["file_type"]:
                raise
            self.refusals.append(_refused({"file_type": file_type}, error))
            return None

    def _each(
        self, settings: Sequence[AskedPlan], make: Callable[[AskedPlan], MemoryPlan | Fit]
    ) -> Iterator[Outcome]:
        """What can be made of the settings; those that llama.cpp refuses are kept aside."""
        for setting in settings:
            outcome = self._points.outcome(setting, make)
            if outcome.refusal is not None:
                self.refusals.append(outcome.refusal)
            else:
                yield outcome
            self._done += 1
            self._report("planning")

    def _report(self, stage: str) -> None:
        self._on_progress(Progress(stage, self._done, self._total))

    def _plan(self, planner: ModelPlanner, setting: AskedPlan) -> MemoryPlan:
        plan = planner.plan(setting, details=self.request.details)
        notes = [
            *plan.notes,
            *plan_notes.context_notes(plan.n_ctx, planner.model.n_ctx_train),
            *plan_notes.device_notes(setting.device),
            *plan_notes.machine_notes(plan.host_bytes, self.memory_bytes),
        ]
        ubatch: tuple[UbatchSize, ...] = ()
        if self.request.details and self.request.n_settings == 1:
            ubatch = tuple(self._ubatches(planner, setting, plan))
            notes += self._advice(planner, setting, plan)
        return plan.replace(notes=tuple(notes), ubatch=ubatch)

    @staticmethod
    def _advice(planner: ModelPlanner, setting: AskedPlan, plan: MemoryPlan) -> list[str]:
        """What would make the compute buffer smaller, planned."""
        if plan_notes.logits_bytes(plan):
            few = replace(setting, n_outputs_max=plan.config.n_seq_max or 1)
            return plan_notes.logits_notes(plan, planner.plan(few, work=False))
        if plan_notes.scores_bytes(plan):
            # Some models have no flash attention.
            with contextlib.suppress(EngineError):
                other = planner.plan(replace(setting, flash_attn="on"), work=False)
                return plan_notes.scores_notes(plan, other)
        return []

    def _ubatches(
        self, planner: ModelPlanner, setting: AskedPlan, plan: MemoryPlan
    ) -> Iterator[UbatchSize]:
        used = plan.config.n_ubatch or 0
        for n_ubatch in plan_notes.ubatch_choices(used, plan.config.n_batch or 0):
            other = plan
            if n_ubatch != used:
                other = planner.plan(replace(setting, n_ubatch=n_ubatch), work=False)
            yield UbatchSize(n_ubatch, other.totals_bytes["compute"])

    def _cost(self) -> PlannerCost:
        read = read_bytes()
        return PlannerCost(
            planner_ms=self._planner_ns / 1e6,
            read_bytes=None if read is None else read - (self.read_before or 0),
            rss_peak_bytes=rss_peak_bytes(),
        )


def _refused(config: dict[str, Any], error: Exception) -> Refusal:
    return Refusal(ResolvedPlan.from_json(config), str(error))


def read_bytes() -> int | None:
    """Bytes that this process has read so far, from files and pipes; None where not told."""
    try:
        text = Path("/proc/self/io").read_text(encoding="ascii")
    except OSError:
        return None
    values = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return int(values["rchar"]) if "rchar" in values else None
