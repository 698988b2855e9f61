"""Feeds one of slmprof's readers with mutated input for so long.

    python tests/fuzz/harness.py TARGET --seconds 60 --seed 1

Guided by what code an input reaches where `atheris` is installed, else by chance alone. The reader
runs in a process of its own, so that one that dies or hangs is told as well. What was found lies in
the folder of `--keep`, with what is wrong beside it, and makes the exit status 1;
`--replay FILE` runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import Any

from endings import MOST_BYTES, Ending, complaints

NAMES = ("profile", "config", "ceilings", "prompt", "options")
_LONGEST_INPUT = 1 << 20
_START_SECONDS = 600.0
_HANG_SECONDS = 60.0
_SECONDS_AN_INPUT = 5.0
_MOST_POOL = 500


def main() -> int:
    options = _parser().parse_args()
    if options.keep is None:
        options.keep = Path(f"found-{options.target}")
    options.keep = options.keep.absolute()
    if options.replay is not None:
        options.replay = options.replay.absolute()
    if options.inside:
        return _run_inside(options)
    options.keep.mkdir(parents=True, exist_ok=True)
    return _watch(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="for what is found (found-TARGET)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input again")
    parser.add_argument("--by-chance", action="store_true", help="without atheris")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser


def _watch(options: argparse.Namespace) -> int:
    """Runs the reader in a process of its own; tells what was found."""
    is_guided = not options.by_chance and importlib.util.find_spec("atheris") is not None
    how = "guided by coverage" if is_guided else "by chance"
    print(f"{options.target}: {options.seconds} s, seed {options.seed}, {how}", flush=True)
    known = set(options.keep.iterdir())
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        log, stats = Path(folder, "log"), Path(folder, "stats.json")
        with log.open("wb") as stream:
            child = subprocess.Popen(
                [sys.executable, __file__, *sys.argv[1:], "--inside"],
                stdout=stream, stderr=stream, cwd=folder,
                env={**os.environ, "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
            status = _wait(child, stats, options)
        done = json.loads(stats.read_bytes()) if stats.is_file() else {}
        if status:
            current = Path(folder, "current")
            if current.is_file() and not options.replay:
                what = f"the process ended with status {status} or hung"
                _report(options.keep, current.read_bytes(), [what])
            print(log.read_text("utf-8", "replace")[-3000:])
    found = [path for path in options.keep.iterdir() if path not in known and path.suffix == ".txt"]
    for path in found:
        print(f"{path}:\n{path.read_text(encoding='utf-8')}")
    print(f"{options.target}: {done}, {len(found)} found", flush=True)
    return 1 if found or status else 0


def _wait(child: subprocess.Popen[bytes], stats: Path, options: argparse.Namespace) -> int:
    """The child's status; it is killed where it does not begin, or does not end in time."""
    end = time.monotonic() + _START_SECONDS
    has_begun = False
    while (status := child.poll()) is None:
        if not has_begun and stats.is_file():
            has_begun = True
            end = time.monotonic() + options.seconds + _HANG_SECONDS
        if time.monotonic() > end:
            child.kill()
            print("it hung" if has_begun else f"it did not begin within {_START_SECONDS:.0f} s")
            return child.wait()
        time.sleep(0.2)
    return status


def _run_inside(options: argparse.Namespace) -> int:
    # The reader's code must be loaded by whom counts what it reaches.
    if options.by_chance or options.replay or importlib.util.find_spec("atheris") is None:
        _load_slmprof()
        runner = _Runner(options)
        if options.replay is not None:
            found = runner.complaints_of(options.replay.read_bytes())
            print("\n".join(found) or "nothing is wrong with it")
            return 1 if found else 0
        return _by_chance(runner, options)
    return _guided(options)


def _load_slmprof() -> None:
    import forked

    forked.load_everything()


def _by_chance(runner: _Runner, options: argparse.Namespace) -> int:
    rng = Random(options.seed)
    pool = runner.target.seeds()
    n_seeds = len(pool)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        data = runner.target.mutate(rng.choice(pool), rng)[:_LONGEST_INPUT]
        is_accepted = runner.run(data)
        # Changes upon changes of what was still read go deeper.
        if is_accepted and rng.random() < 0.2:
            pool.append(data)
            if len(pool) > n_seeds + _MOST_POOL:
                del pool[n_seeds + rng.randrange(_MOST_POOL)]
    runner.write_stats()
    return 0


def _guided(options: argparse.Namespace) -> int:
    import atheris

    with atheris.instrument_imports(include=["slmprof"]):
        _load_slmprof()
        runner = _Runner(options)
    corpus = Path("corpus")
    corpus.mkdir()
    for number, seed in enumerate(runner.target.seeds()):
        (corpus / str(number)).write_bytes(seed)

    def mutate(data: bytes, most_bytes: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.05:
            return bytes(atheris.Mutate(data, most_bytes))
        return runner.target.mutate(bytes(data), rng)[:most_bytes]

    def run(data: bytes) -> None:
        runner.run(bytes(data))

    atheris.Setup(
        [
            sys.argv[0], f"-max_total_time={options.seconds}", f"-seed={options.seed}",
            f"-max_len={_LONGEST_INPUT}", "-rss_limit_mb=0", "-timeout=3600", "-len_control=0",
            str(corpus),
        ],
        run,
        custom_mutator=mutate,
    )  # fmt: skip
    atheris.Fuzz()
    return 0


class _Runner:
    """Runs inputs one after the other, and keeps those after which something is wrong."""

    def __init__(self, options: argparse.Namespace) -> None:
        import targets

        targets.stay_in_process()
        self.target = targets.TARGETS[options.target]
        self.keep: Path = options.keep
        self.home = Path.cwd()
        self.folder = self.home / "input"
        self._known: set[str] = set()
        self._peak = _peak_bytes()
        self.stats: dict[str, Any] = {"inputs": 0, "accepted": 0, "slowest_seconds": 0.0}
        self._told = time.monotonic()
        self.write_stats()

    def run(self, data: bytes) -> bool:
        """Runs an input; returns whether it was read as a good one."""
        (self.home / "current").write_bytes(data)
        found = self.complaints_of(data)
        if found:
            # Once of a kind: numbers and texts of the input differ, what is wrong does not.
            kind = "".join(c for c in found[0][:160] if not c.isdigit())
            if kind not in self._known:
                self._known.add(kind)
                _report(self.keep, data, found)
        self.stats["inputs"] += 1
        self.stats["accepted"] += self._is_accepted
        if time.monotonic() - self._told > 1:
            self._told = time.monotonic()
            self.write_stats()
        return self._is_accepted

    def complaints_of(self, data: bytes) -> list[str]:
        """What is wrong after an input; empty where nothing is."""
        self._is_accepted = False
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        os.chdir(self.folder)
        begin = time.process_time()
        try:
            ending: Ending = self.target.run(data)
        except Exception:
            return [traceback.format_exc()]
        finally:
            os.chdir(self.home)
        seconds = time.process_time() - begin
        self._is_accepted = ending.status == 0
        found = complaints(ending)
        if seconds > _SECONDS_AN_INPUT:
            found.append(f"{seconds:.1f} s of processor time")
        self.stats["slowest_seconds"] = max(self.stats["slowest_seconds"], round(seconds, 2))
        peak = _peak_bytes()
        # What was taken before cannot be told from what this one took.
        if peak > max(MOST_BYTES, self._peak):
            found.append(f"{peak / 2**20:.0f} MiB, {self._peak / 2**20:.0f} before")
        self._peak = max(peak, self._peak)
        self.stats["peak_mib"] = self._peak >> 20
        if found:
            found.append(ending.err.decode("utf-8", "backslashreplace")[:2000])
        return found

    def write_stats(self) -> None:
        (self.home / "stats.json").write_text(json.dumps(self.stats), encoding="utf-8")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _report(keep: Path, data: bytes, found: list[str]) -> None:
    name = hashlib.sha256(data).hexdigest()[:12]
    (keep / name).write_bytes(data)
    text = "\n".join(found).encode("utf-8", "backslashreplace")
    (keep / f"{name}.txt").write_bytes(text + b"\n")


if __name__ == "__main__":
    sys.exit(main())
