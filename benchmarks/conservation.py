"""Where the wall time of the observed steps goes: ops, host segments, and what is left over.

With `--device`, over all lanes; a device that runs its ops one by one in op passes is held to split
passes as well, in which it does not.
"""

from __future__ import annotations

import sys

from reporting import Bar, add_models, model_text, parser, publish

import slmprof


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--threads", type=int, default=None)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--n-gpu-layers", type=int, default=None)
    options = arguments.parse_args()
    rows, bars = [], []
    for model in options.models.split(","):
        profile = slmprof.profile(
            model_text(model), threads=options.threads, device=options.device,
            n_gpu_layers=options.n_gpu_layers,
        )  # fmt: skip
        views = {
            "blocks": profile.blocks(), "layers": profile.layers(),
            "kernels": profile.kernels(), "ops": profile.ops(),
        }  # fmt: skip
        for _, phase in profile.phases().iterrows():
            name, ops_ms = phase["phase"], float(phase["segments_ms.ops"])
            sums = {
                view: float(frame.loc[frame["phase"] == name, "time_ms"].sum())
                for view, frame in views.items()
            }
            rows.append(
                {"model": model, "phase": name, "attributed": float(phase["attributed_share"]),
                 "prepare ms": float(phase["segments_ms.host_prepare"]), "ops ms": ops_ms,
                 "finish ms": float(phase["segments_ms.host_finish"]),
                 "rest ms": float(phase["segments_ms.unattributed"]),
                 **{f"sum of {view}": total for view, total in sums.items()}}
            )  # fmt: skip
            worst = max(abs(total - ops_ms) for total in sums.values())
            bars.append(
                Bar(f"{model} {name} attributed_share", rows[-1]["attributed"], 0.99, False)
            )
            bars.append(Bar(f"{model} {name} sums off by, ms", worst, 1e-6, True))
        for summary in profile.phase_summaries:
            if summary.as_run is not None:
                what = f"{model} {summary.phase} attributed_share of split passes"
                bars.append(Bar(what, summary.as_run.attributed_share, 0.99, False))
    return publish("conservation", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
