"""slmprof's timing pass against llama-bench, built from the same source and options.

Both run the same model, prompt, generation, threads and batch sizes, in turns; the table gives the
median tokens/s of each over all samples, and the ratio. Build the peers first:

    cmake --preset peers && cmake --build build/peers --target peers
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Bar, parser, publish

import slmprof
from slmprof.models.resolve import resolve_model
from slmprof.profiles.vocabulary import PASS_TIMING

_LIMIT = 0.99
_PHASES = ("prefill", "decode")


def run_ours(path: Path, options: Any, threads: int) -> dict[str, list[float]]:
    """Tokens/s of each timing pass."""
    profile = slmprof.profile(
        path, n_prompt=options.n_prompt, n_gen=options.n_gen, threads=threads,
        repeats=options.repeats,
    )  # fmt: skip
    steps = profile.steps
    result: dict[str, list[float]] = {name: [] for name in _PHASES}
    for phase, name in enumerate(_PHASES):
        for repeat in range(options.repeats):
            rows = (steps.phase == phase) & (steps.pass_ == PASS_TIMING) & (steps.repeat == repeat)
            # As llama-bench counts: from the pass's first step to its last, over all its tokens.
            seconds = (steps.end_ns[rows].max() - steps.begin_ns[rows].min()) / 1e9
            result[name].append(float(steps.n_tokens[rows].sum() / seconds))
    return result


def run_peer(path: Path, options: Any, threads: int) -> dict[str, list[float]]:
    """Tokens/s of each of llama-bench's repetitions."""
    command = [
        str(options.peers / "llama-bench"), "-m", str(path), "-t", str(threads), "-o", "json",
        "-p", str(options.n_prompt), "-n", str(options.n_gen), "-r", str(options.repeats),
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, list[float]] = {name: [] for name in _PHASES}
    for test in json.loads(answer.stdout):
        result["prefill" if test["n_prompt"] else "decode"] += test["samples_ts"]
    return result


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--peers", type=Path, default=Path("build/peers/peers/bin"))
    arguments.add_argument("--models", default="tiny,qwen2-0.5b")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--n-prompt", type=int, default=50)
    arguments.add_argument("--n-gen", type=int, default=50)
    options = arguments.parse_args()
    rows = []
    for model in options.models.split(","):
        path = resolve_model(f"preset:{model}")
        for threads in map(int, options.threads.split(",")):
            print(f"{model}, {threads} threads ...", file=sys.stderr)
            samples: dict[str, dict[str, list[float]]] = {
                who: {name: [] for name in _PHASES} for who in ("ours", "peer")
            }
            for number in range(options.rounds):
                turns = [("ours", run_ours), ("peer", run_peer)]
                for who, run in turns if number % 2 == 0 else turns[::-1]:
                    for name, values in run(path, options, threads).items():
                        samples[who][name] += values
            for name in _PHASES:
                ours, peer = (float(np.median(samples[who][name])) for who in ("ours", "peer"))
                rows.append(
                    {"model": model, "threads": threads, "phase": name, "slmprof tokens/s": ours,
                     "llama-bench tokens/s": peer, "ratio": ours / peer}
                )  # fmt: skip
    bars = [
        Bar(f"{row['model']} {row['phase']} {row['threads']} threads", row["ratio"], _LIMIT,
            is_most=False)
        for row in rows
    ]  # fmt: skip
    return publish("parity", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
