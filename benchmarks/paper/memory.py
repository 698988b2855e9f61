"""Figure 11 of the survey: what its memory bars show, beside what llama.cpp plans here.

Nothing is loaded or measured: every figure is llama.cpp's own plan of an outline, without flash
attention, with a context of 2048 and batches of 512: on a CPU, or with --layout gpu in the survey's
own layout, all layers on a GPU. The survey measured a GPU build of 2024, so each difference is
traced to what the two builds keep in memory (see docs/paper.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu_layout import GpuPlan, as_figure, plan_on_gpu
from gpu_layout import check as check_on_gpu
from gpu_layout import tables as tables_on_gpu
from planned_models import PlannedModel, plan_at
from reporting import Bar, parser, publish

SURVEY = json.loads(Path(__file__).with_name("figure_11.json").read_text(encoding="utf-8"))
N_CTX = int(SURVEY["setting"]["n_ctx"])

_MIB = 2**20
_ROUNDED_ABOVE = 1000  # the figure's model parameters are GiB with two digits there, times 1000
_LOGITS_DOMINATE = ("Bloom", "Qwen", "Gemma")
_SHOWN_AT_PEAK = 4

Row = dict[str, Any]
Survey = dict[str, float]


def plan_figure_11a() -> dict[str, PlannedModel]:
    """All models of the figure by the survey's names, in its order."""
    return {name: plan_at(name, N_CTX) for name in SURVEY["figure_11a"]}


def plan_figure_11b() -> dict[str, PlannedModel]:
    """The same at the longest context of each: the series' of the survey, else the trained one."""
    planned = {}
    for name in SURVEY["figure_11a"]:
        series = SURVEY["figure_11b"].get(_series(name))
        planned[name] = plan_at(name, series["n_ctx"] if series else None)
    return planned


def plan_figure_11a_on_gpu() -> list[GpuPlan]:
    """All models of the figure with their layers on a GPU."""
    return [plan_on_gpu(name, N_CTX) for name in SURVEY["figure_11a"]]


def parameters_row(model: PlannedModel, survey: Survey | None) -> Row:
    """Weights in the survey's types; the difference is in the figure's own unit and rounding."""
    shown = survey and survey["model_parameters"]
    value = as_figure(model.weights_bytes, shown)
    return {
        "M params": model.n_params / 1e6,
        "types of today": model.today_weights_bytes / _MIB,
        "types of 2024": model.weights_bytes / _MIB,
        "as the figure": value if shown else None,
        "survey": shown,
        "difference": value - shown if shown else None,
    }


def kv_row(model: PlannedModel, survey: Survey | None) -> Row:
    """The cache, and what it is without the padding of V that flash attention does not need."""
    shown = survey and survey["kv_cache"]
    planned, unpadded = model.kv_bytes / _MIB, model.kv_flash_bytes / _MIB
    return {
        "planned": planned,
        "survey": shown,
        "difference": planned - shown if shown else None,
        "V padded": planned - unpadded,
        "left": unpadded - shown if shown else None,
    }


def compute_row(model: PlannedModel, survey: Survey | None) -> Row:
    """The compute buffer, and what each change since the survey's build has added to it."""
    shown = survey and survey["compute_buffer"]
    planned, layouts = model.compute_bytes / _MIB, model.layouts
    return {
        "planned": planned,
        "survey": shown,
        "diff": planned - shown if shown else None,
        "%": 100 * (planned / shown - 1) if shown else None,
        "mixed": (layouts.planned - layouts.no_mixed) / _MIB,
        "cells": (layouts.no_mixed - layouts.no_indices) / _MIB,
        "embd": (layouts.no_indices - layouts.no_embeddings) / _MIB,
        "layout": (layouts.no_embeddings - layouts.on_gpu) / _MIB,
        "GPU 2024": layouts.on_gpu / _MIB,
        "left": layouts.on_gpu / _MIB - shown if shown else None,
    }


def peak_row(model: PlannedModel, survey: Survey | None) -> Row:
    """Who is in the compute buffer when it is fullest."""
    del survey
    named = [f"{name} {size / _MIB:.2f}" for name, size in model.peak[:_SHOWN_AT_PEAK]]
    rest = sum(size for _, size in model.peak[_SHOWN_AT_PEAK:])
    if rest:
        named.append(f"{len(model.peak) - _SHOWN_AT_PEAK} more {rest / _MIB:.2f}")
    live = sum(size for _, size in model.peak)
    return {
        "live": live / _MIB,
        "not read": model.unread_bytes / _MIB,
        "tensors live at the peak": ", ".join(named),
    }


def other_row(model: PlannedModel, survey: Survey | None) -> Row:
    """The rest: what a CPU build keeps besides, and what the survey's kept in the host's memory.

    The figure's bars add up to the whole, so that `other` also has what the rounding of the model's
    parameters leaves out.
    """
    shown = survey and survey["other"]
    rounded = 0.0
    if survey and survey["model_parameters"] > _ROUNDED_ABOVE:
        rounded = model.weights_bytes / _MIB - survey["model_parameters"]
    planned = (model.output_bytes + model.work_bytes) / _MIB
    total = model.host_bytes / _MIB + rounded
    return {
        "planned": planned,
        "survey": shown,
        "diff": planned - shown if shown else None,
        "work": model.work_bytes / _MIB,
        "copy": model.embedding_bytes / _MIB,
        "in, out": (model.host_bytes - model.embedding_bytes) / _MIB,
        "rounding": rounded,
        "GPU 2024": total,
        "left": total - shown if shown else None,
    }


def context_row(model: PlannedModel, survey: Survey | None) -> Row:
    """Shares of KV cache and compute buffer in all memory, here and in the survey's build."""
    del survey
    series = SURVEY["figure_11b"].get(_series(model.name))
    here = model.kv_bytes + model.compute_bytes
    rest_here = model.weights_bytes + model.output_bytes + model.work_bytes
    there = model.kv_flash_bytes + model.layouts.on_gpu
    rest_there = model.weights_bytes + model.host_bytes
    return {
        "n_ctx": model.n_ctx,
        "weights": model.weights_bytes / _MIB,
        "KV": model.kv_bytes / _MIB,
        "compute": model.compute_bytes / _MIB,
        "work": model.work_bytes / _MIB,
        "share %": 100 * here / (here + rest_here),
        "GPU 2024 %": 100 * there / (there + rest_there),
        "survey %": f"{100 * series['low']:.0f}-{100 * series['high']:.0f}" if series else None,
    }


def table(
    row: Callable[[PlannedModel, Survey | None], Row], models: dict[str, PlannedModel]
) -> list[Row]:
    """One row a model, its name first."""
    figures = SURVEY["figure_11a"]
    return [{"model": name, **row(model, figures[name])} for name, model in models.items()]


def check(at_2048: dict[str, PlannedModel], at_longest: dict[str, PlannedModel]) -> list[Bar]:
    """What has to hold, as the worst case of each kind."""
    parameters = _given(table(parameters_row, at_2048))
    small = [r for r in parameters if r["survey"] <= _ROUNDED_ABOVE]
    large = [r for r in parameters if r["survey"] > _ROUNDED_ABOVE]
    kv = _given(table(kv_row, at_2048))
    compute = _given(table(compute_row, at_2048))
    logits = [r for r in compute if r["model"].startswith(_LOGITS_DOMINATE)]
    others = [r for r in compute if r not in logits]
    bars = [
        Bar("parameters, off in MiB", _worst(small, "difference"), 0.1, True),
        Bar(
            "parameters above 1000, off in the figure's unit", _worst(large, "difference"), 10, True
        ),
        Bar("KV cache without padding, off in MiB", _worst(kv, "left"), 0.1, True),
        Bar("compute of Bloom, Qwen, Gemma, off in %", _worst(logits, "%"), 2, True),
        Bar("compute of the others, off in %", _worst(others, "%"), 10, True),
        Bar("compute as in a GPU build of 2024, off in MiB", _worst(compute, "left"), 0.5, True),
        Bar("other, off in MiB", _worst(_given(table(other_row, at_2048)), "left"), 0.5, True),
    ]
    for series, given in SURVEY["figure_11b"].items():
        shares = [
            r["GPU 2024 %"] for r in table(context_row, at_longest) if _series(r["model"]) == series
        ]
        bars += [
            Bar(
                f"{series} at {given['n_ctx']}, least %",
                min(shares),
                100 * given["low"] - 0.5,
                False,
            ),
            Bar(
                f"{series} at {given['n_ctx']}, most %",
                max(shares),
                100 * given["high"] + 0.5,
                True,
            ),
        ]
    return bars


def _series(name: str) -> str:
    return name.split("-")[0]


def _given(rows: Sequence[Row]) -> list[Row]:
    """The rows of models whose bars the figure shows."""
    return [row for row in rows if row["survey"] is not None]


def _worst(rows: Sequence[Row], column: str) -> float:
    return max(abs(float(row[column])) for row in rows)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--layout", choices=("cpu", "gpu"), default="cpu",
        help="figure 11a with all layers on a GPU that is only planned, or all figures on the CPU",
    )  # fmt: skip
    options = arguments.parse_args()
    if options.layout == "gpu":
        found = tables_on_gpu(plan_figure_11a_on_gpu(), SURVEY["figure_11a"])
        shown = {f"Figure 11a on a GPU, {title}, MiB": rows for title, rows in found.items()}
        last, rows = shown.popitem()
        bars = check_on_gpu(found)
        return publish(f"paper/memory: {last}", rows, bars, options, tables=shown, digits=2)
    at_2048, at_longest = plan_figure_11a(), plan_figure_11b()
    tables = {
        "Figure 11a, model parameters, MiB": table(parameters_row, at_2048),
        "Figure 11a, KV cache, MiB": table(kv_row, at_2048),
        "Figure 11a, compute buffer, MiB": table(compute_row, at_2048),
        "What the compute buffer holds at its peak, MiB": table(peak_row, at_2048),
        "Figure 11a, other, MiB": table(other_row, at_2048),
    }
    rows = table(context_row, at_longest)
    bars = check(at_2048, at_longest)
    return publish("paper/memory: figure 11b, MiB", rows, bars, options, tables=tables, digits=2)


if __name__ == "__main__":
    sys.exit(main())
