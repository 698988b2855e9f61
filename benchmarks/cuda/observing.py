"""What recording a GPU's kernels costs, and how many find their op, with and without CUDA graphs.

Each model is measured in turns, unobserved, with records of whole graphs and with records of each
kernel, as `breakdown` does. The last column is what CUDA graphs change of the unobserved latency.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reporting import Bar, add_models, model_text, parser, publish

import slmprof
from slmprof.analysis.timing.phases import PhaseSummary
from slmprof.analysis.timing.traces import LEAST_JOINED, TraceSummary, summarize_traces

MOST_COST = 1.02  # of a decoded token, where each kernel is recorded
LEAST_ATTRIBUTED = 0.99


def row(model: str, graphs: bool, phase: PhaseSummary, trace: TraceSummary) -> dict[str, Any]:
    unobserved = phase.latency_ms.median if phase.latency_ms else float("nan")
    ratios = {
        name: found.median / unobserved if found else float("nan")
        for name, found in (
            ("graphs recorded", phase.graphs_latency_ms),
            ("kernels recorded", phase.profiled_latency_ms),
        )
    }
    return {
        "model": model, "CUDA graphs": "on" if graphs else "off", "phase": phase.phase,
        "unobserved ms": unobserved, **ratios, "joined": trace.joined_share,
        "by order": trace.ways["order"], "misplaced": trace.counts["n_misplaced"],
        "attributed": phase.attributed_share or float("nan"),
        "gaps ms": sum(trace.gaps_ms.values()),
        "clock error us": (trace.clock_error_ns or 0) / 1e3,
    }  # fmt: skip


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--repeats", type=int, default=10)
    options = arguments.parse_args()
    rows: list[dict[str, Any]] = []
    bars: list[Bar] = []
    for model in options.models.split(","):
        for graphs in (True, False):
            profile = slmprof.profile(
                model_text(model), device=options.device, cuda_graphs=graphs,
                repeats=options.repeats,
            )  # fmt: skip
            traces = {trace.phase: trace for trace in summarize_traces(profile)}
            if not traces:
                print(f"no kernels were recorded: {profile.meta.environment.warnings}")
                return 1
            mine = [
                row(model, graphs, phase, traces[phase.phase]) for phase in profile.phase_summaries
            ]
            for made in mine:
                what = f"{model} {made['phase']}, graphs {made['CUDA graphs']}"
                bars.append(Bar(f"{what}: joined", made["joined"], LEAST_JOINED, False))
                bars.append(Bar(f"{what}: attributed", made["attributed"], LEAST_ATTRIBUTED, False))
                if made["phase"] == "decode" and graphs and model != "tiny":
                    bars.append(Bar(f"{what}: cost", made["kernels recorded"], MOST_COST, True))
            rows += mine
    by_key = {(one["model"], one["phase"], one["CUDA graphs"]): one for one in rows}
    for one in rows:
        off = by_key[one["model"], one["phase"], "off"]["unobserved ms"]
        one["off over on"] = off / by_key[one["model"], one["phase"], "on"]["unobserved ms"]
    return publish("observing a GPU", rows, bars, options, digits=4)


if __name__ == "__main__":
    sys.exit(main())
