"""OpenMP or ggml's own thread pool: two builds of llama-bench in turns.

    cmake --preset peers && cmake --build build/peers --target peers
    cmake --preset peers -B build/peers-openmp -DGGML_OPENMP=ON
    cmake --build build/peers-openmp --target peers
    python benchmarks/thread_pool.py build/peers/peers/bin build/peers-openmp/peers/bin

With --load a third process keeps one core busy: what a profiler's user may have running.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from busy_core import busy_core
from reporting import add_models, model_text, parser, publish

from slmprof.models.resolve import resolve_model


def run(program: Path, model: Path, threads: int) -> dict[str, list[float]]:
    """Tokens/s samples of prefill and decode."""
    command = [str(program / "llama-bench"), "-m", str(model), "-t", str(threads), "-o", "json",
               "-p", "50", "-n", "50", "-r", "5"]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    tests = json.loads(answer.stdout)
    return {"prefill" if t["n_prompt"] else "decode": t["samples_ts"] for t in tests}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("pool", type=Path)
    arguments.add_argument("openmp", type=Path)
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--load", action="store_true")
    options = arguments.parse_args()
    rows = []
    for model in options.models.split(","):
        path = resolve_model(model_text(model))
        for threads in map(int, options.threads.split(",")):
            samples: dict[tuple[str, str], list[float]] = {}
            with busy_core() if options.load else nullcontext():
                for _ in range(options.rounds):
                    for name, program in (("pool", options.pool), ("openmp", options.openmp)):
                        for phase, values in run(program, path, threads).items():
                            samples.setdefault((phase, name), []).extend(values)
            for phase in ("prefill", "decode"):
                pool, openmp = (float(np.median(samples[phase, n])) for n in ("pool", "openmp"))
                rows.append({"model": model, "threads": threads, "phase": phase,
                             "pool tokens/s": pool, "openmp tokens/s": openmp,
                             "pool/openmp": pool / openmp})  # fmt: skip
    return publish("thread pool", rows, [], options)


if __name__ == "__main__":
    sys.exit(main())
