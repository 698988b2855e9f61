"""The survey's figure 10b: which kernels the time of a prompt and of a token goes to.

    python benchmarks/paper/kernels.py --device cuda

The survey's was made on a GPU; on a CPU (`--device cpu`) the same families stand in the same
table. The models are synthesised in the survey's format: times do not depend on the weights.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reporting import parser, publish

import slmprof

FIGURE = Path(__file__).with_name("figure_10b.json")
MODELS = {"Qwen1.5-0.5B": "preset:qwen1.5-0.5b", "Qwen2-0.5B": "preset:qwen2-0.5b"}
FILE_TYPE = "Q4_K_M"
# The survey's names of slmprof's families.
NAMES = {
    "mul_mat_vec_q": "mul_mat_vec_q", "cpy_f32_f16": "cpy_f32_f16", "bin_bcast": "k_bin_bcast",
    "quantize_q8": "quantize_q8_1", "cublas": "gemm",
}  # fmt: skip


def shares(profile: slmprof.Profile, phase: str) -> dict[str, float]:
    """The share of each of the survey's kernels in the time of a phase's ops."""
    kernels = profile.kernels()
    mine = kernels[kernels["phase"] == phase]
    names = mine["kernel"].map(lambda family: NAMES.get(family, "other"))
    found = mine["time_ms"].astype("float64").groupby(names).sum()
    return {str(name): float(time) for name, time in (found / found.sum()).items()}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--file-type", default=FILE_TYPE)
    arguments.add_argument("--n-prompt", type=int, default=50, help="tokens, as in the survey")
    arguments.add_argument("--n-gen", type=int, default=50)
    options = arguments.parse_args()
    survey = json.loads(FIGURE.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = []
    for name, model in MODELS.items():
        profile = slmprof.profile(
            f"{model}@{options.file_type}", device=options.device, n_prompt=options.n_prompt,
            n_gen=options.n_gen,
        )  # fmt: skip
        for phase, theirs in survey[name].items():
            ours = shares(profile, phase)
            rows += [
                {"model": name, "phase": phase, "kernel": kernel, "survey": share,
                 "here": ours.get(kernel, 0.0)}
                for kernel, share in theirs.items()
            ]  # fmt: skip
    return publish("figure 10b", rows, [], options, digits=3)


if __name__ == "__main__":
    sys.exit(main())
