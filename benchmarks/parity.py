"""slmprof's timing pass against llama-bench, built from the same source and options.

Both run the same steps in the same order, in a process of their own each time, in turns: a
warm-up, then prompts again and again, then generations again and again, each from an empty
context, so that both reuse their graph. The table gives the median tokens/s of each, and the
median over the rounds of the ratio of the two processes of one round, with its 95 % bootstrap
interval. A process keeps the memory that it was given, and with it some of its speed: that is
why there are many rounds. Build the peers first:

    cmake --preset peers && cmake --build build/peers --target peers

With --device cuda:N or rpc:HOST:PORT both have all layers on that device. For CUDA build the peers
with -DGGML_CUDA=ON, too; CUDA graphs are on in both.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Bar, add_models, median_interval, model_text, parser, publish

from slmprof import Session
from slmprof.models.resolve import resolve_model

_LIMIT = 0.99
_PHASES = ("prefill", "decode")

Samples = dict[str, list[float]]


def time_passes(path: str, options: argparse.Namespace) -> Samples:
    """Tokens/s of each timing pass, in this process."""
    n_prompt, n_gen = options.n_prompt, options.n_gen
    n_ctx = n_prompt + n_gen
    samples: Samples = {name: [] for name in _PHASES}
    settings = {"threads": int(options.threads), "n_prompt": n_prompt, "n_gen": n_gen}
    with Session(path, n_ctx=n_ctx, device=options.device, **settings) as session:
        for count in range(options.repeats + 1):
            session.rewind(0)
            latency = session.prefill(n_prompt, observe=False)
            if count > 0:  # the first is llama-bench's warm-up
                samples["prefill"].append(n_prompt / latency.sum() * 1e3)
        for count in range(options.repeats + 1):
            session.rewind(0)
            latency = session.decode(n_gen, observe=False)
            if count > 0:
                samples["decode"].append(n_gen / latency.sum() * 1e3)
    return samples


def run_ours(
    path: Path,
    options: argparse.Namespace,
    threads: int,
    variables: Mapping[str, str] | None = None,
) -> Samples:
    """`time_passes` in a process of its own.

    Args:
        variables: of its environment, beside those of this process.
    """
    command = [
        sys.executable, __file__, "--time-passes", str(path), "--threads", str(threads),
        "--n-prompt", str(options.n_prompt), "--n-gen", str(options.n_gen),
        "--repeats", str(options.repeats), "--device", options.device,
    ]  # fmt: skip
    env = {**os.environ, **(variables or {})}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    samples: Samples = json.loads(answer.stdout)
    return samples


def peer_device(device: str) -> list[str]:
    """One of slmprof's devices in llama-bench's words, with all layers on it."""
    kind, _, rest = device.partition(":")
    if kind == "cpu":
        return ["-dev", "none", "-ngl", "0"]
    if kind == "rpc":
        return ["-rpc", rest, "-ngl", "99"]
    return ["-dev", f"{kind.upper()}{rest or 0}", "-ngl", "99"]


def run_peer(path: Path, options: argparse.Namespace, threads: int) -> Samples:
    """Tokens/s of each of llama-bench's repetitions."""
    command = [
        str(options.peers / "llama-bench"), "-m", str(path), "-t", str(threads), "-o", "json",
        "-r", str(options.repeats), *peer_device(options.device),
    ]  # fmt: skip
    samples: Samples = {}
    tests = {
        "prefill": ["-p", str(options.n_prompt), "-n", "0"],
        "decode": ["-p", "0", "-n", str(options.n_gen)],
    }
    for name, arguments in tests.items():
        answer = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
        (test,) = json.loads(answer.stdout)
        samples[name] = test["samples_ts"]
    return samples


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--peers", type=Path, default=Path("build/peers/peers/bin"))
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--n-prompt", type=int, default=50)
    arguments.add_argument("--n-gen", type=int, default=50)
    arguments.add_argument("--time-passes", metavar="MODEL", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.time_passes:
        print(json.dumps(time_passes(options.time_passes, options)))
        return 0
    rows: list[dict[str, Any]] = []
    for model in options.models.split(","):
        path = resolve_model(model_text(model))
        for threads in map(int, options.threads.split(",")):
            print(f"{model}, {threads} threads ...", file=sys.stderr)
            samples: dict[str, Samples] = {
                who: {name: [] for name in _PHASES} for who in ("ours", "peer")
            }
            for number in range(options.rounds):
                turns = [("ours", run_ours), ("peer", run_peer)]
                for who, run in turns if number % 2 == 0 else turns[::-1]:
                    for name, values in run(path, options, threads).items():
                        samples[who][name].append(float(np.median(values)))
            for name in _PHASES:
                ours, peer = samples["ours"][name], samples["peer"][name]
                ratios = [mine / other for mine, other in zip(ours, peer, strict=True)]
                ratio, low, high = median_interval(ratios)
                rows.append(
                    {
                        "model": model,
                        "threads": threads,
                        "phase": name,
                        "slmprof tokens/s": float(np.median(ours)),
                        "llama-bench tokens/s": float(np.median(peer)),
                        "ratio": ratio,
                        "ci95": f"{low:.4f}-{high:.4f}",
                    }
                )
    bars = [
        Bar(f"{row['model']} {row['phase']} {row['threads']} threads", row["ratio"], _LIMIT,
            is_most=False)
        for row in rows
    ]  # fmt: skip
    return publish("parity", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
