"""Times of kernels by name, beside those of Nsight Systems for the same steps.

Nsight and slmprof cannot record one process at once: both need CUPTI. So the same steps run twice,
once under `nsys` with slmprof's recording off, once recorded by slmprof; what is compared is the
mean time of a launch of each kernel that takes one percent or more. Needs `nsys` in PATH.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from reporting import Bar, add_models, model_text, parser, publish

import slmprof
from slmprof.models.resolve import resolve_model

LIMIT = 0.01
LEAST_SHARE = 0.01
N_PROMPT, N_GEN = 50, 50


def run_steps(path: str, options: argparse.Namespace) -> None:
    """The steps that Nsight sees: a prompt and a generation, again and again, unobserved."""
    with slmprof.Session(path, device=options.device, n_ctx=N_PROMPT + N_GEN) as session:
        for _ in range(options.repeats):
            session.rewind(0)
            session.prefill(N_PROMPT, observe=False)
            session.decode(N_GEN, observe=False)


def by_nsight(path: Path, options: argparse.Namespace) -> dict[str, tuple[int, float]]:
    """Launches and total nanoseconds of each kernel, by its full name."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        subprocess.run(
            ["nsys", "profile", "--trace=cuda", "--cuda-graph-trace=node", "-o", str(report),
             sys.executable, __file__, "--run-steps", str(path), "--device", options.device,
             "--repeats", str(options.repeats)],
            check=True, capture_output=True,
        )  # fmt: skip
        answer = subprocess.run(
            ["nsys", "stats", "--report", "cuda_gpu_kern_sum", "--format", "csv",
             f"{report}.nsys-rep"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    lines = answer.stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("Time (%)"))
    table = csv.DictReader(io.StringIO("\n".join(lines[first:])))
    return {one["Name"]: (int(one["Instances"]), float(one["Total Time (ns)"])) for one in table}


def by_slmprof(path: Path, options: argparse.Namespace) -> dict[str, tuple[int, float]]:
    """The same from the recorded launches."""
    with slmprof.Session(path, device=options.device, n_ctx=N_PROMPT + N_GEN) as session:
        for repeat in range(options.repeats):
            session.rewind(0)
            session.prefill(N_PROMPT, repeat=repeat)
            session.decode(N_GEN, repeat=repeat)
        profile = session.profile()
    launches = profile.launches
    names, group = np.unique(launches.name, return_inverse=True)
    total = np.bincount(group, launches.end_ns - launches.begin_ns)
    counts = np.bincount(group)
    return {
        profile.text(int(name)): (int(n), float(ns))
        for name, n, ns in zip(names, counts, total, strict=True)
    }


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "qwen2-0.5b")
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--run-steps", metavar="GGUF", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.run_steps:
        run_steps(options.run_steps, options)
        return 0
    if shutil.which("nsys") is None:
        print("nsys is not in PATH: install Nsight Systems", file=sys.stderr)
        return 1
    rows: list[dict[str, Any]] = []
    for model in options.models.split(","):
        path = Path(resolve_model(model_text(model)))
        theirs, ours = by_nsight(path, options), by_slmprof(path, options)
        whole = sum(ns for _, ns in theirs.values())
        for name, (n, ns) in sorted(theirs.items(), key=lambda item: -item[1][1]):
            if ns < LEAST_SHARE * whole:
                continue
            n_ours, ns_ours = ours.get(name, (0, 0.0))
            ratio = (ns_ours / n_ours) / (ns / n) if n_ours else float("nan")
            rows.append(
                {"model": model, "kernel": name[:60], "share": ns / whole, "launches": n,
                 "launches here": n_ours, "ratio of means": ratio}
            )  # fmt: skip
    bars = [
        Bar(f"{one['kernel'][:30]}: off by", abs(one["ratio of means"] - 1), LIMIT, True)
        for one in rows
    ]
    return publish("Nsight Systems", rows, bars, options, digits=4)


if __name__ == "__main__":
    sys.exit(main())
