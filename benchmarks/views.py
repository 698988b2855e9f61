"""What it takes to look at a large profile: every view of one with a million events.

The profile is that of a long decode, each op of each token on each thread. A view is
`slmprof show` from the start of the process to its end; the memory is the most that it had.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from reporting import Bar, model_text, parser, publish

import slmprof
from slmprof.profiles.vocabulary import VIEWS

_MOST_SECONDS = 2.0
_MOST_BYTES = 2**30


def show(path: Path, *options: str) -> tuple[float, int]:
    """Seconds and peak resident bytes of one `slmprof show`."""
    command = [sys.executable, "-m", "slmprof", "show", str(path), *options]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss * 1024


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--profile", type=Path, help="a saved profile, in place of a new one")
    arguments.add_argument("--model", default="tiny", help="a preset or a GGUF file")
    arguments.add_argument("--n-gen", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.profile or Path(folder) / "long.slmprof"
        if options.profile is None:
            n_ctx = options.n_gen + 64
            profile = slmprof.profile(
                model_text(options.model), n_prompt=16, n_gen=options.n_gen, n_ctx=n_ctx,
                repeats=1, threads=2, events="all",
            )  # fmt: skip
            profile.save(path)
        n_events = len(slmprof.load(path).events)
        views = {"usual": [], **{view: ["--by", view] for view in VIEWS}}
        views["JSON"] = ["--format", "json"]
        samples: dict[str, list[tuple[float, int]]] = {name: [] for name in views}
        for _ in range(options.rounds):
            for name, chosen in views.items():
                samples[name].append(show(path, *chosen))
    rows, bars = [], []
    for name, measured in samples.items():
        seconds = float(np.median([sample[0] for sample in measured]))
        peak = max(sample[1] for sample in measured)
        rows.append({"view": name, "events": n_events, "s": seconds, "peak MiB": peak / 2**20})
        bars.append(Bar(f"{name}, s", seconds, _MOST_SECONDS, is_most=True))
        bars.append(Bar(f"{name}, MiB", peak / 2**20, _MOST_BYTES / 2**20, is_most=True))
    return publish("views", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
