"""What another process that keeps one core busy does to the shares of blocks.

A model runs quiet, and with a child that spins on one core throughout, in turns. The table has the
share of each block in both, medians over the rounds, and the difference in points of those runs
whose report shows shares: to withhold them is as good.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from busy_core import busy_core
from reporting import Bar, add_models, model_text, parser, publish

import slmprof

_MOST_POINTS = 2.0


@dataclass(frozen=True)
class Phase:
    """What one run says of a phase: its blocks' shares, and whether a report shows them."""

    shares: dict[str, float]
    is_withheld: bool


def measure(model: str, options: Any) -> dict[str, Phase]:
    """One run; what it says of disturbances goes to stderr."""
    profile = slmprof.profile(
        model_text(model),
        n_gen=options.n_gen,
        repeats=options.repeats,
        threads=options.threads,
        ceilings="off",
    )
    times = profile.blocks().set_index(["phase", "block"])["time_ms"]
    phases = profile.phases().set_index("phase")
    told = phases[["n_disturbed", "difference", "off_core_share"]].to_dict("index")
    print(told, file=sys.stderr)
    return {
        phase: Phase((times[phase] / times[phase].sum()).to_dict(), bool(is_withheld))
        for phase, is_withheld in phases["shares_withheld"].items()
    }


def compare(model: str, options: Any) -> list[dict[str, Any]]:
    """Rows of the table for one model."""
    runs: dict[bool, list[dict[str, Phase]]] = {False: [], True: []}
    for number in range(options.rounds):
        for is_busy in (False, True) if number % 2 == 0 else (True, False):
            print(f"{model}, {'one core busy' if is_busy else 'quiet'}:", file=sys.stderr, end=" ")
            with busy_core(options.core) if is_busy else contextlib.nullcontext():
                runs[is_busy].append(measure(model, options))
    rows = []
    for phase, first in runs[False][0].items():
        quiet, busy = ([run[phase] for run in runs[kind]] for kind in (False, True))
        shown = [run for run in busy if not run.is_withheld]
        for block in first.shares:
            usual = _percent(quiet, block)
            rows.append(
                {
                    "model": model,
                    "phase": phase,
                    "block": block,
                    "quiet %": usual,
                    "busy %": _percent(busy, block),
                    "busy and shown %": _percent(shown, block) if shown else None,
                    "points": abs(_percent(shown, block) - usual) if shown else None,
                    "withheld": f"{len(busy) - len(shown)} of {len(busy)}",
                    "withheld, quiet": sum(run.is_withheld for run in quiet),
                }
            )
    return rows


def _percent(runs: list[Phase], block: str) -> float:
    return 100 * float(np.median([run.shares.get(block, 0.0) for run in runs]))


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "qwen2-0.5b")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--n-gen", type=int, default=30)
    arguments.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    options = arguments.parse_args()
    rows = [row for model in options.models.split(",") for row in compare(model, options)]
    most = max((row["points"] for row in rows if row["points"] is not None), default=0.0)
    withheld = max(row["withheld, quiet"] for row in rows)
    bars = [
        Bar("shares that are shown, points from quiet", most, _MOST_POINTS, is_most=True),
        Bar("quiet runs whose shares are withheld", withheld, 0, is_most=True),
    ]
    return publish("disturbance", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
