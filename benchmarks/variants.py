"""The variant of a wheel against a native build: tokens/s of both, in turns.

    pip install --no-deps --target build/of-wheel dist/slmprof-*-cp311-*.whl
    pip install --no-deps --target build/of-native .
    python benchmarks/variants.py build/of-wheel build/of-native --check

Both run the same steps in the same order, in a process of their own each time, as those of
benchmarks/parity.py: the table gives the median over the rounds of the ratio of the two processes
of one round, with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from parity import Samples, run_ours
from reporting import Bar, add_models, median_interval, model_text, parser, publish

from slmprof.models.resolve import resolve_model
from slmprof.native_variant import VARIABLE

_LIMIT = 0.98
_PHASES = ("prefill", "decode")
_ASK = "from slmprof import _core; print(_core.build_info()['variant'])"


def variant_in(variables: Mapping[str, str]) -> str:
    """What runs in an environment with these variables."""
    answer = subprocess.run(
        [sys.executable, "-c", _ASK], capture_output=True, text=True, check=True,
        env={**os.environ, **variables},
    )  # fmt: skip
    return answer.stdout.strip()


def time_both(
    path: Path, options: argparse.Namespace, threads: int, builds: Mapping[str, Mapping[str, str]]
) -> dict[str, Samples]:
    """Tokens/s of either build by phase, a figure for each round.

    Args:
        builds: the environment's variables that lead to it.
    """
    samples: dict[str, Samples] = {who: {name: [] for name in _PHASES} for who in builds}
    for number in range(options.rounds):
        turns = list(builds.items())
        for who, variables in turns if number % 2 == 0 else turns[::-1]:
            for name, values in run_ours(path, options, threads, variables).items():
                samples[who][name].append(float(np.median(values)))
    return samples


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("wheel", type=Path, help="folder with the wheel's slmprof")
    arguments.add_argument("native", type=Path, help="folder with that of a native build")
    arguments.add_argument("--variant", help="another one than runs here by itself")
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--n-prompt", type=int, default=50)
    arguments.add_argument("--n-gen", type=int, default=50)
    options = arguments.parse_args()
    options.device = "cpu"
    builds = {
        who: {"PYTHONPATH": str(folder.resolve())}
        for who, folder in (("wheel", options.wheel), ("native", options.native))
    }
    if options.variant:
        builds["wheel"][VARIABLE] = options.variant
    variant = variant_in(builds["wheel"])
    if variant == "native" or variant_in(builds["native"]) != "native":
        arguments.error("the first folder must hold a wheel's slmprof, the second a native build's")
    rows: list[dict[str, Any]] = []
    for model in options.models.split(","):
        path = resolve_model(model_text(model))
        for threads in map(int, options.threads.split(",")):
            print(f"{model}, {threads} threads ...", file=sys.stderr)
            samples = time_both(path, options, threads, builds)
            for name in _PHASES:
                ours, native = samples["wheel"][name], samples["native"][name]
                ratio, low, high = median_interval(
                    [mine / other for mine, other in zip(ours, native, strict=True)]
                )
                rows.append(
                    {
                        "model": model,
                        "threads": threads,
                        "phase": name,
                        "variant": variant,
                        "its tokens/s": float(np.median(ours)),
                        "native tokens/s": float(np.median(native)),
                        "ratio": ratio,
                        "ci95": f"{low:.4f}-{high:.4f}",
                    }
                )
    bars = [
        Bar(f"{row['model']} {row['phase']} {row['threads']} threads", row["ratio"], _LIMIT,
            is_most=False)
        for row in rows
    ]  # fmt: skip
    return publish("variants", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
