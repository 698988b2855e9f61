"""What observing costs: hooks on over hooks off, beside the eval callback as the peer.

Hooks off (a timing pass) and hooks on (an op pass) take turns in short blocks on one context: a
prompt, or up to ten generated tokens (about 10 ms), in random order within each pair. The ratio
of a pair is the median latency of its observed steps over that of its unobserved ones; the
table gives the median over all pairs with its 95 % bootstrap interval. The peer, llama.cpp's
own eval callback that asks for every node, needs a context of its own and takes turns with the
unobserved steps in the same run.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Bar, add_models, median_interval, model_text, parser, publish

from slmprof import _core
from slmprof.models.resolve import resolve_model
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING

_LIMITS = {"tiny": 1.01, "qwen2-0.5b": 1.005}
_N_PROMPT = 50
_MOST_BLOCK = 10  # tokens generated between two changes of turn, at most
_BLOCK_MS = 10.0
_MOST_GENERATED = 150  # beyond the prompt, before the context is cut back to it


class _Runner:
    """One way to run steps on a context."""

    def __init__(self, engine: _core.Engine, pass_kind: int, pause: float = 0.0) -> None:
        self.engine = engine
        self.pass_kind = pass_kind
        self.pause = pause
        rng = np.random.default_rng(0)
        n_vocab = engine.model_info()["n_vocab"]
        self.prompt = rng.integers(0, n_vocab, _N_PROMPT)
        self.generated = rng.integers(0, n_vocab, _MOST_BLOCK)

    def prefill(self) -> float:
        """Latency of a prompt in ms."""
        time.sleep(self.pause)
        self.engine.truncate(0)
        self.engine.prefill(self.prompt, self.pass_kind)
        return self._median()

    def decode(self) -> float:
        """Median latency of a token in ms."""
        time.sleep(self.pause)
        if not _N_PROMPT <= self.engine.n_past <= _N_PROMPT + _MOST_GENERATED - _MOST_BLOCK:
            self.engine.truncate(_N_PROMPT)
        self.engine.decode(self.generated, self.pass_kind)
        return self._median()

    def shorten(self, latency_ms: float) -> None:
        """Fits the block to its time, so that a pair sees the same state of the machine."""
        self.generated = self.generated[: max(int(_BLOCK_MS / latency_ms), 1)]

    def _median(self) -> float:
        steps = self.engine.take()["steps"]
        return float(np.median(steps["end_ns"] - steps["begin_ns"])) / 1e6


def open_engine(
    path: Path, threads: int, *, clock: str = "fast", observe_by_callback: bool = False
) -> _core.Engine:
    """A context as `breakdown` makes it."""
    settings = _core.EngineSettings()
    settings.path = str(path)
    settings.n_threads = threads
    settings.exact_clock = clock == "exact"
    settings.observe_by_callback = observe_by_callback
    return _core.Engine(settings)


def compare(off: _Runner, on: _Runner, phase: str, pairs: int) -> tuple[list[float], list[float]]:
    """Ratios of the pairs, and the unobserved latencies in ms."""
    shuffle = random.Random(0)
    ratios, base = [], []
    for _ in range(3):
        for runner in (off, on):
            runner.prefill()
            latency_ms = runner.decode()
    for runner in (off, on):
        runner.shorten(latency_ms)
    for _ in range(pairs):
        order = [off, on]
        shuffle.shuffle(order)
        latency = {id(runner): getattr(runner, phase)() for runner in order}
        ratios.append(latency[id(on)] / latency[id(off)])
        base.append(latency[id(off)])
    return ratios, base


def measure(model: str, threads: int, clock: str, seconds: float) -> list[dict[str, Any]]:
    """Rows of the table for one model and thread count."""
    path = resolve_model(model_text(model))
    rows = []
    for phase in ("prefill", "decode"):
        engine = open_engine(path, threads, clock=clock)
        off, hooks = _Runner(engine, PASS_TIMING), _Runner(engine, PASS_OP)
        begin = time.perf_counter()
        compare(off, hooks, phase, 3)
        pairs = max(int(seconds / (time.perf_counter() - begin) * 5), 20)
        ratios, base = compare(off, hooks, phase, pairs)
        ratio, low, high = median_interval(ratios)
        # Threads poll for work a while after their last graph: two contexts must not overlap.
        observed = open_engine(path, threads, observe_by_callback=True)
        resting = _Runner(engine, PASS_TIMING, pause=0.3)
        callback, _ = compare(resting, _Runner(observed, PASS_TIMING, pause=0.3), phase, 15)
        peer, peer_low, peer_high = median_interval(callback)
        rows.append(
            {
                "model": model,
                "threads": threads,
                "clock": clock,
                "phase": phase,
                "ms off": float(np.median(base)),
                "pairs": pairs,
                "hooks": ratio,
                "hooks ci95": f"{low:.4f}-{high:.4f}",
                "callback": peer,
                "callback ci95": f"{peer_low:.3f}-{peer_high:.3f}",
            }
        )
    return rows


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--clock", choices=("fast", "exact"), default="fast")
    arguments.add_argument("--seconds", type=float, default=60, help="for each ratio, about")
    options = arguments.parse_args()
    rows = []
    for model in options.models.split(","):
        for threads in options.threads.split(","):
            print(f"{model}, {threads} threads ...", file=sys.stderr)
            rows += measure(model, int(threads), options.clock, options.seconds)
    bars = [
        Bar(
            f"{row['model']} {row['phase']} {row['threads']} threads",
            row["hooks"],
            _LIMITS.get(row["model"], 1.01),
            is_most=True,
        )
        for row in rows
    ]
    return publish("overhead", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
