"""What the worst profiles take: as much of one thing as a file of its size may hold, shown.

Each is a file of random bytes but for what it holds, so that its size allows it the most; small
ones are what they pack to. The time is what the processors worked for one `slmprof show`, the
memory the most that it had. A file that is refused counts as well: it is read first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from reporting import Bar, parser, publish

from slmprof.views import Profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "builders"))
import bombs

MB = 10**6
_MOST_SECONDS = 5.0
_MOST_BYTES = 2**30
VIEWS = {"full": ["--full"], "JSON": ["--format", "json"], "by tensor": ["--by", "tensor"]}

# Profiles for a file of so many bytes: the most that profiles/limits.py lets it hold.
KINDS: dict[str, Callable[[int], Profile]] = {
    "events": lambda size: bombs.with_rows(bombs.widest(), "events", 90_000 + size // 4),
    "steps": lambda size: bombs.many_steps(45_000 + size // 8),
    "repeats": lambda size: bombs.many_steps(
        45_000 + size // 8, repeat=lambda i: i // 2, index=lambda i: 0 * i
    ),
    "places": lambda size: bombs.with_rows(bombs.widest(), "places", 19_000 + size // 64),
    "ops": lambda size: bombs.many_ops(20_000 + size // 40, 1_000),
    "graphs": lambda size: bombs.many_graphs(min(2_400, (49_000 + size // 16) // 31)),
}


# The kernel counts what a process had before it became another program: this one has the profiles.
_MEASURE = """
import os, sys
pid = os.fork()
if pid == 0:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, use = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), use.ru_utime + use.ru_stime, use.ru_maxrss)
"""


def show(path: Path, *options: str) -> tuple[float, int, str]:
    """Seconds of work and peak resident bytes of one `slmprof show`, and what it said if refused.

    Raises:
        SystemExit: it ended in another way than with a report or a refusal.
    """
    command = [sys.executable, "-m", "slmprof", "show", str(path), *options]
    answer = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURE, *command], capture_output=True, text=True, check=True
    )
    code, seconds, peak_kib = answer.stdout.split()
    text = answer.stderr.strip()
    if code not in ("0", "2") or "Traceback" in text:
        raise SystemExit(f"{' '.join(command)} ended with {code}: {text[-300:]}")
    return float(seconds), int(peak_kib) * 1024, text if code != "0" else ""


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--megabytes", type=_sizes, default=_sizes("0,1,9.9"),
        help="sizes of files in 10^6 bytes, separated by commas (default: 0,1,9.9)",
    )  # fmt: skip
    arguments.add_argument("--kinds", default=",".join(KINDS), help="default: %(default)s")
    options = arguments.parse_args()
    rows, bars = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bomb.slmprof"
        for kind in options.kinds.split(","):
            for size in options.megabytes:
                bombs.save_tight(KINDS[kind](size), path)
                bombs.padded(path, size)
                for view, chosen in VIEWS.items():
                    seconds, peak, refusal = show(path, *chosen)
                    of_file = f"{kind}, {path.stat().st_size / MB:.1f} MB, {view}"
                    rows.append(
                        {
                            "file": of_file, "s": seconds, "peak MiB": peak / 2**20,
                            "refused": refusal[-60:],
                        }
                    )  # fmt: skip
                    bars.append(Bar(f"{of_file}, s", seconds, _MOST_SECONDS, is_most=True))
                    bars.append(
                        Bar(f"{of_file}, MiB", peak / 2**20, _MOST_BYTES / 2**20, is_most=True)
                    )
    return publish("hostile_profiles", rows, bars, options)


def _sizes(text: str) -> list[int]:
    try:
        return [int(float(part) * MB) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers") from None


if __name__ == "__main__":
    sys.exit(main())
