"""Runs thousands of mutated models, profiles and configurations through slmprof's commands.

    python tests/fuzz/cases.py --cases 20000 --seed 1 --keep FOLDER

Each case must leave its parent alive, and end with exit status 0, 1 or 2, one clear line of error,
no character that steers a terminal, at most 1 GiB and 10 s of processor time. Prints a table of how
cases ended; what is wrong is kept with its files, run once more by an interpreter of its own, and
makes the exit status 1. A case is told by its seed and number: `--first N --cases 1` repeats one.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from case_maker import KINDS, CaseMaker
from endings import Ending, complaints, outcome
from forked import load_everything, run_forked, run_really

_SAY_SECONDS = 30.0
_MOST_CONFIRMED = 100
Result = dict[str, Any]


def main() -> int:
    options = _parser().parse_args()
    options.keep = options.keep.absolute()
    options.keep.mkdir(parents=True, exist_ok=True)
    numbers = range(options.first, options.first + options.cases)
    print(f"{len(numbers)} cases from {options.first} of seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cases-") as folder:
        os.environ["SLMPROF_CACHE_DIR"] = str(Path(folder, "cache"))
        load_everything()
        begin = time.monotonic()
        results = _run_all(numbers, Path(folder), options)
        seconds = time.monotonic() - begin
        print(_tables(results, seconds, options.slots))
        wrong = [result for result in results if result["complaints"]]
        for result in wrong[:_MOST_CONFIRMED]:
            _confirm(result, options.keep)
    print(f"{len(wrong)} of {len(results)} cases ended as none should")
    missing = len(numbers) - len(results)
    if missing and not options.seconds:
        print(f"{missing} cases were not run: one ended what runs them")
        return 1
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--slots", type=int, default=2, help="cases at a time")
    parser.add_argument(
        "--kinds", type=lambda text: tuple(text.split(",")), default=(),
        help=f"of cases, by commas: {', '.join(KINDS)}",
    )  # fmt: skip
    parser.add_argument("--models", type=Path, help="a folder with further GGUF files to change")
    parser.add_argument("--keep", type=Path, default=Path("wrong-cases"), help="for what is wrong")
    parser.add_argument("--results", type=Path, help="a line of JSON for each case")
    parser.add_argument(
        "--really", action="store_true", help="an interpreter for each command, as users have it"
    )
    return parser


def _run_all(numbers: Sequence[int], folder: Path, options: argparse.Namespace) -> list[Result]:
    """Runs the cases in several processes, each of them one case after the other."""
    streams: dict[int, BinaryIO] = {}
    slots = []
    for slot in range(options.slots):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os._exit(_run_slot(numbers[slot :: options.slots], folder / str(slot), writer, options))
        os.close(writer)
        streams[reader] = os.fdopen(reader, "rb")
        slots.append(pid)
    results: list[Result] = []
    said = begin = time.monotonic()
    log = options.results.open("a", encoding="utf-8") if options.results else None
    while streams:
        ready, _, _ = select.select(list(streams), [], [], 1.0)
        for handle in ready:
            line = streams[handle].readline()
            if not line:
                streams.pop(handle).close()
                continue
            results.append(json.loads(line))
            if log is not None:
                log.write(line.decode())
                log.flush()
            if results[-1]["complaints"]:
                print(_line(results[-1]), flush=True)
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            rate = len(results) / (said - begin)
            print(f"{len(results)} cases, {rate:.1f} a second", flush=True)
    if log is not None:
        log.close()
    for pid in slots:
        os.waitpid(pid, 0)
    return results


def _run_slot(
    numbers: Sequence[int], folder: Path, writer: int, options: argparse.Namespace
) -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    maker = CaseMaker(options.seed, options.models)
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    load_everything()  # of this process are the children that cases leave
    for number in numbers:
        if time.monotonic() > end:
            break
        folder.mkdir(parents=True)
        case = maker.make(number, folder, options.kinds)
        os.chdir(folder)
        before = {path.name for path in folder.iterdir()}
        if options.really:
            ending = run_really(case.arguments, folder)
        else:
            ending = run_forked(case.arguments, folder, case.limit_bytes)
        os.chdir("/")
        known = {*before, *case.made, "stdout", "stderr", "tmp"}
        stray = sorted({path.name for path in folder.iterdir()} - known)
        found = complaints(ending, case.arguments) + [f"left behind: {name}" for name in stray]
        result = {
            "number": number, "kind": case.kind, "outcome": outcome(ending), "complaints": found,
            "cpu_seconds": round(ending.cpu_seconds, 3), "peak_mib": ending.peak_bytes >> 20,
            "arguments": case.arguments, "mutations": case.mutations,
            "says": ending.err.decode("utf-8", "replace")[:300],
        }  # fmt: skip
        if found:
            _keep(result, folder, options)
        os.write(writer, json.dumps(result).encode() + b"\n")
        shutil.rmtree(folder)
    return 0


def _keep(result: Result, folder: Path, options: argparse.Namespace) -> None:
    target = options.keep / f"{options.seed}-{result['number']}"
    shutil.rmtree(target, ignore_errors=True)
    # `cp` keeps the holes in place of data.
    os.spawnlp(os.P_WAIT, "cp", "cp", "-r", "--sparse=always", str(folder), str(target))
    (target / "case.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    result["kept"] = str(target)


def _confirm(result: Result, keep: Path) -> None:
    """Says what is wrong with a case where nothing is forked, and no other case runs beside it."""
    folder = keep / Path(result["kept"]).name
    os.chdir(folder)
    ending: Ending = run_really(result["arguments"], folder)
    os.chdir("/")
    found = complaints(ending, result["arguments"])
    print(f"{_line(result)}\n    by itself: {found or 'as it should'}", flush=True)


def _line(result: Result) -> str:
    what = "; ".join(result["complaints"])
    return f"case {result['number']} ({result['kind']}, {', '.join(result['mutations'])}): {what}"


def _tables(results: Sequence[Result], seconds: float, slots: int) -> str:
    """How the cases ended, in Markdown."""
    counts: collections.Counter[tuple[str, str]] = collections.Counter(
        (result["kind"], result["outcome"]) for result in results
    )
    kinds = [kind for kind in KINDS if any(known == kind for known, _ in counts)]
    outcomes = sorted({how for _, how in counts})
    lines = [f"| exit status | {' | '.join(kinds)} | all |", f"|---|{'--:|' * (len(kinds) + 1)}"]
    for how in outcomes:
        cells = [counts[kind, how] for kind in kinds]
        lines.append(f"| {how} | {' | '.join(map(str, cells))} | {sum(cells)} |")
    totals = [sum(counts[kind, how] for how in outcomes) for kind in kinds]
    lines.append(f"| all | {' | '.join(map(str, totals))} | {sum(totals)} |")
    for name, digits in (("cpu_seconds", 2), ("peak_mib", 0)):
        most = [max((r[name] for r in results if r["kind"] == kind), default=0) for kind in kinds]
        texts = [f"{value:.{digits}f}" for value in (*most, max(most, default=0))]
        lines.append(f"| most {name} | {' | '.join(texts)} |")
    rate = len(results) / max(seconds, 1e-9)
    how_fast = f"{rate:.1f} a second, {slots} at a time"
    return "\n".join([*lines, "", f"{len(results)} cases in {seconds:.0f} s: {how_fast}"])


if __name__ == "__main__":
    sys.exit(main())
