"""What it costs to begin: importing slmprof, `slmprof --help`, and `slmprof doctor`."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
from reporting import Bar, parser, publish


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=20)
    options = arguments.parse_args()
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import slmprof'": [sys.executable, "-c", "import slmprof"],
        "python -m slmprof --help": [sys.executable, "-m", "slmprof", "--help"],
        "python -m slmprof doctor": [sys.executable, "-m", "slmprof", "doctor"],
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            samples[name].append(seconds(command) * 1000)
    medians = {name: float(np.median(values)) for name, values in samples.items()}
    bare, imported, helped, examined = medians.values()
    rows = [{"command": name, "median ms": value} for name, value in medians.items()]
    bars = [
        Bar("import slmprof over bare Python, ms", imported - bare, 80, is_most=True),
        Bar("slmprof --help, ms", helped, 200, is_most=True),
        Bar("slmprof doctor, ms", examined, 1000, is_most=True),
    ]
    return publish("startup", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
