"""What observing costs: hooks on over hooks off, beside the eval callback as the peer.

Three ways to run the same steps take turns in one process, in random order in each round: hooks
off (a timing pass), hooks on (an op pass), and llama.cpp's own eval callback that asks for every
node, with the hooks off. The ratio of a round is the median latency of its steps over that of the
same round's timing pass; the table gives the median over the rounds and its 95 % bootstrap
interval.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Bar, median_interval, parser, publish

from slmprof import _core
from slmprof.models.resolve import resolve_model
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING

_LIMITS = {"tiny": 1.01, "qwen2-0.5b": 1.005}
_PHASES = ("prefill", "decode")


class _Runner:
    """One way to run the steps, on a context of its own or shared."""

    def __init__(self, engine: _core.Engine, pass_kind: int) -> None:
        self.engine = engine
        self.pass_kind = pass_kind

    def measure(self, prompt: Any, generated: Any) -> dict[str, float]:
        """Median latency of a step in ms, for each phase."""
        engine = self.engine
        # The other context's threads still poll for work a while after their last graph.
        time.sleep(0.3)
        engine.truncate(0)
        engine.prefill(prompt, self.pass_kind)
        engine.decode(generated, self.pass_kind)
        steps = engine.take()["steps"]
        latency = (steps["end_ns"] - steps["begin_ns"]) / 1e6
        # Median over the steps: one interrupt must not decide a round.
        return {
            name: float(np.median(latency[steps["phase"] == phase]))
            for phase, name in enumerate(_PHASES)
        }


def open_engine(path: Path, threads: int, *, observe_by_callback: bool) -> _core.Engine:
    """A context as `breakdown` makes it."""
    settings = _core.EngineSettings()
    settings.path = str(path)
    settings.n_threads = threads
    settings.observe_by_callback = observe_by_callback
    return _core.Engine(settings)


def measure(
    model: str, threads: int, rounds: int, n_prompt: int, n_gen: int
) -> list[dict[str, Any]]:
    """Rows of the table for one model and thread count."""
    path = resolve_model(f"preset:{model}")
    engine = open_engine(path, threads, observe_by_callback=False)
    observed = open_engine(path, threads, observe_by_callback=True)
    rng = np.random.default_rng(0)
    n_vocab = engine.model_info()["n_vocab"]
    prompt, generated = rng.integers(0, n_vocab, n_prompt), rng.integers(0, n_vocab, n_gen)
    runners = {
        "off": _Runner(engine, PASS_TIMING),
        "hooks": _Runner(engine, PASS_OP),
        "callback": _Runner(observed, PASS_TIMING),
    }
    order = list(runners)
    for name in order * 2:  # warm-up, and the graphs are copied out
        runners[name].measure(prompt, generated)
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in order}
    shuffle = random.Random(0)
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            samples[name].append(runners[name].measure(prompt, generated))
    rows = []
    for phase in _PHASES:
        off = [sample[phase] for sample in samples["off"]]
        row: dict[str, Any] = {
            "model": model, "threads": threads, "phase": phase, "ms off": float(np.median(off)),
        }  # fmt: skip
        for name in ("hooks", "callback"):
            ratios = [on[phase] / base for on, base in zip(samples[name], off, strict=True)]
            row[name], low, high = median_interval(ratios)
            row[f"{name} ci95"] = f"{low:.4f} - {high:.4f}"
        rows.append(row)
    return rows


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default="tiny,qwen2-0.5b")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--rounds", type=int, default=40)
    arguments.add_argument("--n-prompt", type=int, default=50)
    arguments.add_argument("--n-gen", type=int, default=16)
    options = arguments.parse_args()
    rows = []
    for model in options.models.split(","):
        for threads in options.threads.split(","):
            print(f"{model}, {threads} threads ...", file=sys.stderr)
            rows += measure(model, int(threads), options.rounds, options.n_prompt, options.n_gen)
    bars = [
        Bar(f"{row['model']} {row['phase']} {row['threads']} threads", row["hooks"],
            _LIMITS.get(row["model"], 1.01), is_most=True)
        for row in rows
    ]  # fmt: skip
    return publish("overhead", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
