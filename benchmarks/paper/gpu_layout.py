"""Figure 11a in the survey's own layout: all layers on a GPU, the embedding in the host's memory.

llama.cpp plans it for a device that is only planned (docs/devices.md): no GPU is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graph_layout import GraphLayout
from planned_models import N_BATCH, plans_of
from reporting import Bar

from slmprof import _core
from slmprof.settings.devices import is_host

_MIB, _GIB = 2**20, 2**30
_ROUNDED_ABOVE = 1000  # the figure's model parameters are GiB with two digits there, times 1000
_DEVICE = "planned:CUDA0"
# Where the attention's scores fill the buffer, the numbers of the cells to write lie beside them.
_SCORES_DOMINATE = ("OpenELM", "Phi", "StableLM")
_INDEX_INPUTS = ("k_idxs", "v_idxs")

Row = dict[str, Any]
Bars = Mapping[str, float]


@dataclass(frozen=True)
class GpuPlan:
    """One model with its layers on a GPU; sizes in bytes.

    Attributes:
        weights_bytes, host_weights_bytes: on the GPU, and what the CPU gathers rows from.
        copy_bytes: of that what the GPU has as well, as its output matrix.
        kv_bytes, kv_flash_bytes: the cache, without and with flash attention; all on the GPU.
        compute_bytes, host_compute_bytes: of the GPU's part of the graph, and of the host's.
        mixed_bytes, host_mixed_bytes: what these are larger by because newer llama.cpp takes
            batches that mix tokens with embeddings.
        output_bytes: logits, in the host's memory.
        index_bytes: inputs that say into which cells of the cache to write.
        unread_bytes: the place for embeddings as another form of input, which no row reads.
    """

    name: str
    weights_bytes: int
    host_weights_bytes: int
    copy_bytes: int
    kv_bytes: int
    kv_flash_bytes: int
    compute_bytes: int
    host_compute_bytes: int
    mixed_bytes: int
    host_mixed_bytes: int
    output_bytes: int
    index_bytes: int
    unread_bytes: int

    @property
    def held_once_bytes(self) -> int:
        """The weights, those that are there twice once."""
        return self.weights_bytes + self.host_weights_bytes - self.copy_bytes


def as_figure(weights_bytes: int, shown: float | None) -> float:
    """Model parameters in the figure's own unit and rounding, as the figure shows `shown`."""
    if shown and shown > _ROUNDED_ABOVE:
        return round(weights_bytes / _GIB, 2) * 1000
    return weights_bytes / _MIB


def plan_on_gpu(name: str, n_ctx: int) -> GpuPlan:
    """The preset of the survey's name for a model."""
    made = plans_of(name, n_ctx, [_DEVICE])
    dimensions, file, plan, with_flash = made.dimensions, made.file, made.plan, made.with_flash
    embedding = next(t for t in file.tensors if t.name == "token_embd.weight")
    compute_bytes, host_compute_bytes = (
        _total(plan, "compute", False),
        _total(plan, "compute", True),
    )
    return GpuPlan(
        name=name,
        weights_bytes=_total(plan, "weights", False),
        host_weights_bytes=_total(plan, "weights", True),
        copy_bytes=embedding.size_bytes if dimensions.tied else 0,
        kv_bytes=_total(plan, "kv_cache", False),
        kv_flash_bytes=_total(with_flash, "kv_cache", False),
        compute_bytes=compute_bytes,
        host_compute_bytes=host_compute_bytes,
        mixed_bytes=_mixed(plan["graphs"][0], compute_bytes, on_gpu=True),
        host_mixed_bytes=_mixed(plan["graphs"][0], host_compute_bytes, on_gpu=False),
        output_bytes=_total(plan, "output", True),
        index_bytes=_inputs(plan["graphs"][0], _INDEX_INPUTS),
        unread_bytes=dimensions.n_embd * N_BATCH * 4,
    )


def weights_row(plan: GpuPlan, survey: Bars | None) -> Row:
    """Where the weights lie; the survey counts those once that are there twice."""
    shown = survey and survey["model_parameters"]
    value = as_figure(plan.held_once_bytes, shown)
    return {
        "on GPU": plan.weights_bytes / _MIB,
        "on host": plan.host_weights_bytes / _MIB,
        "twice": plan.copy_bytes / _MIB,
        "as the figure": value if shown else None,
        "survey": shown,
        "diff": value - shown if shown else None,
    }


def kv_row(plan: GpuPlan, survey: Bars | None) -> Row:
    """The cache, and what it is without the padding of V that flash attention does not need."""
    shown = survey and survey["kv_cache"]
    return {
        "on GPU": plan.kv_bytes / _MIB,
        "survey": shown,
        "V padded": (plan.kv_bytes - plan.kv_flash_bytes) / _MIB,
        "left": plan.kv_flash_bytes / _MIB - shown if shown else None,
    }


def compute_row(plan: GpuPlan, survey: Bars | None) -> Row:
    """The GPU's compute buffer."""
    shown = survey and survey["compute_buffer"]
    planned = plan.compute_bytes / _MIB
    return {
        "on GPU": planned,
        "survey": shown,
        "diff": planned - shown if shown else None,
        "%": 100 * (planned / shown - 1) if shown else None,
        "mixed": plan.mixed_bytes / _MIB,
        "cells": plan.index_bytes / _MIB,
    }


def other_row(plan: GpuPlan, survey: Bars | None) -> Row:
    """What stays in the host's memory, and what of that a build of 2024 did not have."""
    shown = survey and survey["other"]
    rounding = 0.0
    if survey and survey["model_parameters"] > _ROUNDED_ABOVE:
        rounding = plan.held_once_bytes / _MIB - survey["model_parameters"]
    in_and_out = (plan.host_compute_bytes + plan.output_bytes) / _MIB
    total = plan.copy_bytes / _MIB + in_and_out + rounding
    newer = (plan.host_mixed_bytes + plan.index_bytes + plan.unread_bytes) / _MIB
    return {
        "copy": plan.copy_bytes / _MIB,
        "in, out": in_and_out,
        "rounding": rounding,
        "all": total,
        "survey": shown,
        "diff": total - shown if shown else None,
        "mixed": plan.host_mixed_bytes / _MIB,
        "cells": plan.index_bytes / _MIB,
        "embd": plan.unread_bytes / _MIB,
        "left": total - newer - shown if shown else None,
    }


def tables(plans: Sequence[GpuPlan], survey: Mapping[str, Bars | None]) -> dict[str, list[Row]]:
    """The bars of the figure by their names, one row a model."""
    rows = {
        "model parameters": weights_row,
        "KV cache": kv_row,
        "compute buffer": compute_row,
        "other": other_row,
    }
    return {
        title: [{"model": plan.name, **row(plan, survey[plan.name])} for plan in plans]
        for title, row in rows.items()
    }


def check(found: Mapping[str, Sequence[Row]]) -> list[Bar]:
    """What has to hold, as the worst case of each kind."""
    given = {
        title: [row for row in rows if row["survey"] is not None] for title, rows in found.items()
    }
    weights, compute = given["model parameters"], given["compute buffer"]
    small = [row for row in weights if row["survey"] <= _ROUNDED_ABOVE]
    large = [row for row in weights if row["survey"] > _ROUNDED_ABOVE]
    scores = [row for row in compute if row["model"].startswith(_SCORES_DOMINATE)]
    others = [row for row in compute if row not in scores]
    # Of those the cells, and what newer llama.cpp adds, are the whole difference.
    left = [{"left": row["diff"] - row["mixed"] - row["cells"]} for row in scores]
    return [
        Bar("parameters, off in MiB", _worst(small, "diff"), 0.1, True),
        Bar("parameters above 1000, off in the figure's unit", _worst(large, "diff"), 10, True),
        Bar("KV cache without padding, off in MiB", _worst(given["KV cache"], "left"), 0.1, True),
        Bar("compute of logits, off in %", _worst(others, "%"), 1, True),
        Bar("compute of scores without cells, off in MiB", _worst(left, "left"), 0.5, True),
        Bar("other as in 2024, off in MiB", _worst(given["other"], "left"), 0.5, True),
    ]


def _worst(rows: Sequence[Row], column: str) -> float:
    return max(abs(float(row[column])) for row in rows)


def _total(plan: _core.Plan, kind: str, of_host: bool) -> int:
    return sum(
        b["size_bytes"]
        for b in plan["buffers"]
        if b["kind"] == kind and is_host(b["device"]) == of_host
    )


def _mixed(graph: _core.PlannedGraph, planned_bytes: int, *, on_gpu: bool) -> int:
    """What a compute buffer is larger by for batches that mix tokens with embeddings."""
    tensors, strings = graph["tensors"], graph["strings"]
    # The host gathers the rows of the embedding, the GPU computes the logits.
    row = next(
        i
        for i, (name, op) in enumerate(zip(tensors["name"], tensors["op"], strict=True))
        if (strings[name] == "result_output" if on_gpu else strings[op] == "GET_ROWS")
    )
    layout = GraphLayout(tensors, strings, int(tensors["buffer"][row]))
    planned, without = layout.planned_and_without_mixed(on_gpu=on_gpu)
    if planned != planned_bytes:
        raise RuntimeError(f"the replay gives {planned} bytes, llama.cpp plans {planned_bytes}")
    return planned - without


def _inputs(graph: _core.PlannedGraph, endings: tuple[str, ...]) -> int:
    """Bytes of the graph's leaves whose names end so; copies of them on a device are no leaves."""
    tensors, strings = graph["tensors"], graph["strings"]
    rows = zip(tensors["name"], tensors["size_bytes"], tensors["view_src"], strict=True)
    return sum(
        int(size) for name, size, view in rows if view < 0 and strings[name].endswith(endings)
    )
