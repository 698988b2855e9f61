"""What llama.cpp plans for a preset, on an outline with the tensor types of 2024."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graph_layout import GraphLayout, Layouts
from quantizer_2024 import tensor_types

from slmprof import _core
from slmprof.models.outline import outline_plan
from slmprof.models.presets import find_preset
from slmprof.models.synthesis import ModelPlan, plan_model
from slmprof.planning.peaks import PeakFinder
from slmprof.settings.dimensions import Dimensions

# 512 tokens are computed at once: the compute buffers of the figure that are logits and little more
# are 512 rows of the vocabulary in 32 bits (Bloom: 512 x 250880 x 4 bytes = 490 MiB).
N_BATCH = 512
N_THREADS = 4


@dataclass(frozen=True)
class PlannedModel:
    """One model at one context; sizes in bytes.

    Attributes:
        n_params: as llama.cpp counts them.
        today_weights_bytes: in the types that today's llama-quantize chooses.
        weights_bytes: in those of 2024; every other figure is the same for both.
        kv_flash_bytes: the KV cache with flash attention on.
        work_bytes: the work buffer of ggml's threads.
        layouts: the compute buffer, and what it would be with the changes since 2024 undone.
        peak: the largest tensors in the compute buffer when it is fullest: (name, bytes).
        mask_bytes, row_bytes, index_bytes: the inputs of the graph: the mask of attention, the
            rows gathered from the embedding, and tokens, positions and numbers of outputs.
        embedding_bytes: the embedding where it is the output matrix as well, else 0.
    """

    name: str
    n_params: int
    n_ctx: int
    today_weights_bytes: int
    weights_bytes: int
    kv_bytes: int
    kv_flash_bytes: int
    compute_bytes: int
    output_bytes: int
    work_bytes: int
    layouts: Layouts
    unread_bytes: int
    peak: tuple[tuple[str, int], ...]
    mask_bytes: int
    row_bytes: int
    index_bytes: int
    logits_row_bytes: int
    embedding_bytes: int

    @property
    def host_bytes(self) -> int:
        """What a build whose layers are all on a GPU keeps in the host's memory besides.

        Inputs, a row of logits, and a second copy of an embedding that is the output matrix too.
        """
        inputs = self.mask_bytes + self.row_bytes + self.index_bytes
        return inputs + self.logits_row_bytes + self.embedding_bytes


@dataclass(frozen=True)
class Plans:
    """What llama.cpp says of an outline: a plan without flash attention, the buffers with it."""

    dimensions: Dimensions
    file: ModelPlan
    n_params: int
    plan: _core.Plan
    with_flash: _core.Plan


def plans_of(name: str, n_ctx: int, devices: Sequence[str] = ()) -> Plans:
    """Of the preset of the survey's name for a model, with all layers on `devices` if there are
    any."""
    dimensions = find_preset(name).dimensions
    file = plan_model(dimensions, tensor_types=tensor_types(dimensions))
    with tempfile.TemporaryDirectory() as folder:
        settings = _core.EngineSettings()
        settings.path = str(outline_plan(file, Path(folder)))
        settings.n_ctx, settings.n_batch, settings.n_ubatch = n_ctx, N_BATCH, N_BATCH
        settings.n_threads, settings.use_mmap = N_THREADS, False
        settings.devices, settings.n_gpu_layers = list(devices), -1 if devices else 0
        planner = _core.Planner(settings)
        settings.flash_attn = 0
        plan = planner.plan(settings)
        settings.flash_attn = 1
        n_params = planner.model_info()["n_params"]
        return Plans(dimensions, file, n_params, plan, planner.plan(settings, graphs=False))


def plan_at(name: str, n_ctx: int | None = None) -> PlannedModel:
    """The preset of the survey's name for a model; `n_ctx` None is its trained context."""
    n_ctx = find_preset(name).dimensions.n_ctx_train if n_ctx is None else n_ctx
    made = plans_of(name, n_ctx)
    dimensions, file, plan, with_flash = made.dimensions, made.file, made.plan, made.with_flash
    prefill = plan["graphs"][0]
    layout = GraphLayout(prefill["tensors"], prefill["strings"])
    peak = PeakFinder().peak(prefill)
    embedding = next(t for t in file.tensors if t.name == "token_embd.weight")
    return PlannedModel(
        name=name,
        n_params=made.n_params,
        n_ctx=n_ctx,
        today_weights_bytes=plan_model(dimensions).size_bytes,
        weights_bytes=_total(plan, "weights"),
        kv_bytes=_total(plan, "kv_cache"),
        kv_flash_bytes=_total(with_flash, "kv_cache"),
        compute_bytes=_total(plan, "compute"),
        output_bytes=_total(plan, "output"),
        work_bytes=_total(plan, "work"),
        layouts=layout.layouts(),
        unread_bytes=layout.unread_bytes(),
        peak=tuple((tensor.tensor, tensor.size_bytes) for tensor in peak.tensors),
        mask_bytes=layout.size_bytes("kq_mask"),
        row_bytes=layout.embedding_row_bytes(),
        index_bytes=layout.size_bytes("inp_tokens", "inp_pos", "out_ids"),
        logits_row_bytes=dimensions.n_vocab * 4,
        embedding_bytes=embedding.size_bytes if dimensions.tied else 0,
    )


def _total(plan: _core.Plan, kind: str) -> int:
    return sum(b["size_bytes"] for b in plan["buffers"] if b["kind"] == kind)
