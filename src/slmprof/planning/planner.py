"""Plans a model's memory with llama.cpp's own planner; runs in the child process.

Nothing is allocated and no weight is read: a model is loaded without its weights, and contexts are
planned on it.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.memory.resident import Graph, Steps, expect_resident, placed
from ..analysis.verdicts.fallbacks import fallbacks_of
from ..children.memory import process_bytes
from ..children.native_errors import guarded
from ..errors import EngineError, UsageError
from ..models.ggml_types import weight_types
from ..models.resolve import model_name
from ..profiles.records.decoding import decode
from ..profiles.records.fallbacks import Fallbacks
from ..profiles.records.meta import Buffer
from ..profiles.records.resident import PROCESS, Resident
from ..profiles.tables import trimmed_shape
from ..quantization.open_model import OpenModel
from ..settings.planning import AskedPlan, MemoryRequest
from ..settings.resolved import ResolvedPlan, used_buffers
from ..settings.table import MAX
from . import notes as plan_notes
from .lines import along_n_ctx
from .peaks import PeakFinder
from .records import LayerSize, MemoryPlan, PlannedModel, TensorPlace

if TYPE_CHECKING:
    from .. import _core

# llama.cpp keeps notes on each cell of a cache, for which it would itself need memory: beyond the
# larger one of these contexts, memory follows from the plans of both.
LARGEST_PLANNED = 1 << 21
_SMALLER = 1 << 20


class ModelPlanner:
    """A model file whose memory is planned, with any setting.

    Args:
        opened: a GGUF file, or an outline of one.
        file_type: the type that the file was made in for this, or None.
        own_bytes: what the process of a run has resident of its own; None for what this one tells.
    """

    def __init__(
        self,
        request: MemoryRequest,
        opened: OpenModel,
        *,
        file_type: str | None = None,
        own_bytes: int | None = None,
    ) -> None:
        self._request = request
        self._opened, self._path = opened, opened.path
        self.file_type = file_type
        self._planners: dict[tuple[bool, bool], _core.Planner] = {}
        self._weights: dict[tuple[bool, bool], tuple[TensorPlace, ...]] = {}
        self._weight_columns: dict[tuple[bool, bool], dict[str, Any]] = {}
        self._shallow: dict[AskedPlan, Graph] = {}
        self._own_bytes = process_bytes(has_planned=False) if own_bytes is None else own_bytes
        self._peaks = PeakFinder()
        self.planner_ns = 0

    @functools.cached_property
    def model(self) -> PlannedModel:
        """What the file says of itself."""
        info: dict[str, Any] = {**self._planner(True, True).model_info()}
        info["name"] = model_name(info["name"], self._path)
        info["path"] = self._request.model
        model = decode(PlannedModel, info)
        return model.replace(fallbacks=self._fallbacks(model))

    def _fallbacks(self, model: PlannedModel) -> Fallbacks | None:
        # A matrix that is used in two places counts once.
        places = {place.tensor: place for place in self._weights_of(True, True)}
        weights = [(place.type, place.shape, place.size_bytes) for place in places.values()]
        types = weight_types()
        return fallbacks_of(weights, model.file_type, types, model.n_params, model.size_bytes)

    def n_ctx_train(self) -> int:
        """The context that the model was trained for.

        Raises:
            UsageError: the file does not say.
        """
        n_ctx = self.model.n_ctx_train
        if n_ctx <= 0:
            raise UsageError(
                f"{self._request.model} does not say for which context it was trained; "
                "name one with --n-ctx N"
            )
        return n_ctx

    def plan(self, setting: AskedPlan, *, details: bool = False, work: bool = True) -> MemoryPlan:
        """The plan of one setting; `max` is the trained context.

        Args:
            details: with the peaks of the compute buffer.
            work: with the work buffer, for which the graphs are needed.

        Raises:
            EngineError: llama.cpp does not allow it. UsageError: a type that it does not know.
        """
        n_ctx = self.n_ctx_train() if setting.n_ctx == MAX else int(setting.n_ctx)
        if n_ctx <= LARGEST_PLANNED:
            return self._plan(replace(setting, n_ctx=n_ctx), details, work)
        if min(setting.n_batch, setting.n_ubatch) > _SMALLER:
            # llama.cpp cuts them to the context: the two plans would differ in more than that.
            raise UsageError(
                f"n_ubatch is {setting.n_ubatch}; beyond a context of {LARGEST_PLANNED} it can be "
                f"planned up to {_SMALLER}"
            )
        larger = self._plan(replace(setting, n_ctx=LARGEST_PLANNED), details, work)
        smaller = self._plan(replace(setting, n_ctx=_SMALLER), details, work)
        return along_n_ctx(smaller, larger, n_ctx)

    def _plan(self, setting: AskedPlan, details: bool, work: bool) -> MemoryPlan:
        planner = self._planner(setting.mmap, setting.repack)
        native = self._settings(setting)
        plan = self._planned(planner, native, details or work)
        context = plan["context"]
        weights = self._weights_of(setting.mmap, setting.repack)
        tensors = (*weights, *_places(plan["caches"]))
        used = {
            "file_type": self.file_type,
            "n_ctx": int(context["n_ctx"]),
            "n_seq_max": int(context["n_seq_max"]),
            "n_batch": int(context["n_batch"]),
            "n_ubatch": int(context["n_ubatch"]),
            "flash_attn": "on" if context["flash_attn"] else "off",
            "threads": int(context["n_threads"]),
            **used_buffers(buffer["buffer_type"] for buffer in plan["buffers"]),
        }
        config = ResolvedPlan.from_json({**setting.to_json(), **used})
        notes = [
            f"{name} on changes nothing with this model and these settings"
            for name in ("mmap", "repack")
            if len(self._request.grid[name]) > 1 and getattr(setting, name) and not used[name]
        ]
        if config.n_ctx != setting.n_ctx:
            notes.append(f"llama.cpp makes {config.n_ctx} of a context of {setting.n_ctx}")
        notes += _outputs_notes(planner.model_info(), native, plan)
        peaks = tuple(map(self._peaks.peak, plan["graphs"])) if details else ()
        graphs = list(map(placed, plan["graphs"]))
        plan["graphs"].clear()  # texts and all, before more is planned
        return MemoryPlan(
            config=config,
            buffers=decode(tuple[Buffer, ...], plan["buffers"]),
            layers=_layers(tensors),
            tensors=tensors if self._request.tensors else (),
            compute_phases=peaks,
            resident=self._resident(setting, plan, graphs) if graphs else None,
            notes=tuple(notes),
        )

    def _resident(self, setting: AskedPlan, plan: _core.Plan, graphs: Sequence[Graph]) -> Resident:
        """What is resident with a prompt of `n_prompt` tokens, and generation behind it."""
        planner = self._planner(setting.mmap, setting.repack)

        def graph_of(n_ctx: int, n_ubatch: int, n_outputs: int) -> Graph:
            few = replace(setting, n_ctx=n_ctx, n_ubatch=n_ubatch, n_outputs_max=n_outputs)
            if few not in self._shallow:
                made = self._planned(planner, self._settings(few), True)
                self._shallow[few] = placed(made["graphs"][0])
            return self._shallow[few]

        n_ctx = int(plan["context"]["n_ctx"])
        n_prompt = min(self._request.n_prompt, n_ctx)
        weights = self._columns_of(setting.mmap, setting.repack)
        steps = Steps(n_prompt, n_ctx)
        found = expect_resident(steps, plan, graphs, graph_of, weights, planner.vocabulary_bytes)
        return found.with_line(PROCESS, self._own_bytes)

    def _planned(
        self, planner: _core.Planner, native: _core.EngineSettings, graphs: bool
    ) -> _core.Plan:
        begin = time.perf_counter_ns()
        plan: _core.Plan = self._guarded(lambda: planner.plan(native, graphs))
        self.planner_ns += time.perf_counter_ns() - begin
        return plan

    def _settings(self, setting: AskedPlan) -> _core.EngineSettings:
        from .. import _core

        native = _core.EngineSettings()
        native.path, native.scheme = os.fsencode(self._path), self._opened.kernels
        setting.fill(native)
        return native

    def _planner(self, mmap: bool, repack: bool) -> _core.Planner:
        from .. import _core

        if (mmap, repack) not in self._planners:
            setting = next(self._request.settings())
            native = self._settings(replace(setting, mmap=mmap, repack=repack))
            begin = time.perf_counter_ns()
            self._planners[mmap, repack] = self._guarded(lambda: _core.Planner(native))
            self.planner_ns += time.perf_counter_ns() - begin
        return self._planners[mmap, repack]

    def _weights_of(self, mmap: bool, repack: bool) -> tuple[TensorPlace, ...]:
        if (mmap, repack) not in self._weights:
            self._weights[mmap, repack] = _places(self._columns_of(mmap, repack))
        return self._weights[mmap, repack]

    def _columns_of(self, mmap: bool, repack: bool) -> dict[str, Any]:
        if (mmap, repack) not in self._weight_columns:
            self._weight_columns[mmap, repack] = self._planner(mmap, repack).weights()
        return self._weight_columns[mmap, repack]

    @property
    def _told_as(self) -> Path:
        """How errors name the model: as it was asked for, not by an outline that will be gone."""
        as_type = "" if self.file_type is None else f" as {self.file_type}"
        return Path(f"{self._request.model}{as_type}")

    def _guarded(self, call: Callable[[], Any]) -> Any:
        from .. import _core

        _core.clear_log()
        try:
            return guarded(self._told_as, call)
        except EngineError as error:
            if any("bad_alloc" in line for line in (str(error), *error.log_lines)):
                raise EngineError(
                    "llama.cpp's bookkeeping alone exceeds this machine's free memory",
                    log_lines=error.log_lines,
                ) from None
            raise


def _outputs_notes(
    model: _core.ModelInfo, settings: _core.EngineSettings, plan: _core.Plan
) -> list[str]:
    """Of a model whose output buffer does not stay as its context makes it."""
    context = plan["context"]
    if context["has_memory"] and not model["has_encoder"]:
        return []
    n_tokens = min(context["n_batch"], context["n_ubatch"])
    if settings.n_outputs_max and not model["has_encoder"]:  # which takes no heed of it
        n_tokens = min(n_tokens, settings.n_outputs_max)
    # A context is made with room for one output of each sequence.
    of_sequences = sum(b["size_bytes"] for b in plan["buffers"] if b["kind"] == "output")
    n_seq_max = context["n_seq_max"]
    if n_tokens <= n_seq_max:
        return []
    return plan_notes.outputs_notes(n_tokens, of_sequences // n_seq_max * n_tokens)


def _places(places: Any) -> tuple[TensorPlace, ...]:
    """The rows of a native table of places."""
    shapes = zip(*(places[f"ne{i}"].tolist() for i in range(4)), strict=True)
    columns = {
        **{name: places[name] for name in ("type", "kind", "device", "buffer_type")},
        "tensor": places["name"],
        "shape": map(trimmed_shape, shapes),
        "size_bytes": places["size_bytes"].tolist(),
        "layer": (layer if layer >= 0 else None for layer in places["layer"].tolist()),
        "n_swa": (n_swa or None for n_swa in places["n_swa"].tolist()),
    }
    rows = zip(*columns.values(), strict=True)
    return tuple(TensorPlace(**dict(zip(columns, row, strict=True))) for row in rows)


_LAYER_FIELDS = {
    "weights": "weights_bytes",
    "kv_cache": "kv_bytes",
    "recurrent_state": "recurrent_bytes",
}


def _layers(tensors: Iterable[TensorPlace]) -> tuple[LayerSize, ...]:
    """The bytes of each layer, that outside the layers last."""
    sums: dict[int | None, dict[str, int]] = {}
    windows: dict[int | None, int] = {}
    for tensor in tensors:
        if tensor.n_swa is not None:
            windows[tensor.layer] = tensor.n_swa
        field = _LAYER_FIELDS.get(tensor.kind)
        if field is not None:
            row = sums.setdefault(tensor.layer, dict.fromkeys(_LAYER_FIELDS.values(), 0))
            row[field] += tensor.size_bytes
    inside = sorted(layer for layer in sums if layer is not None)
    order = [*inside, *([None] if None in sums else [])]
    return tuple(LayerSize(layer=layer, **sums[layer], n_swa=windows.get(layer)) for layer in order)
