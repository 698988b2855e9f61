"""`slmprof sweep MODEL... -o DIR`: a grid of settings or models, one profile a point, resumable."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProfileFormatError, UsageError
from ..reporters.renderers import render
from ..settings.kinds import Seconds
from .deadline import deadline
from .options import (
    FORMATS,
    add_settings,
    file_name,
    given,
    note_ignored,
    note_threads,
    value_of,
)
from .streams import note, put, say

if TYPE_CHECKING:
    from ..analysis.verdicts.sweep import SweepPoint
    from ..capture.sweep import Outcome, Point

NAME = "sweep"
HELP = "run a grid of settings or models, resumable, and print the points side by side"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    from ..settings.capture import CaptureConfig

    parser.description = (
        "Measures every combination of the models and of the settings that have several values, "
        "separated by commas; all depths of --n-depth are measured in one run. Each point is saved "
        "as a profile in DIR. Started again, the same command measures only what is missing there."
    )
    parser.add_argument(
        "models",
        type=file_name("a MODEL"),
        metavar="MODEL",
        nargs="*",
        help="GGUF files, preset:NAME, preset:NAME@TYPE or Hugging Face config.json files",
    )
    where = parser.add_argument_group("where")
    folder, help_text = file_name("a folder"), "folder of the points' profiles"
    where.add_argument("-o", "--output", type=folder, metavar="DIR", help=help_text)
    help_text = "print what is in a folder, run nothing"
    where.add_argument("--show", type=folder, metavar="DIR", help=help_text)
    where.add_argument(
        "--pause",
        type=value_of(Seconds()),
        default=0.0,
        metavar=Seconds.metavar,
        help="wait so long between two points, so that the device cools down (0)",
    )
    where.add_argument("--dry-run", action="store_true", help="list the points, run nothing")
    add_settings(parser, NAME, CaptureConfig)
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")


def run(args: argparse.Namespace) -> int:
    """Measures what is missing and prints all points; returns the exit code, 1 if one failed."""
    if args.show is not None:
        if args.models or args.output is not None or args.dry_run:
            raise UsageError("--show DIR prints what is there; it takes no MODEL, -o or --dry-run")
        with deadline(getattr(args, "timeout", None)):
            return _show(Path(args.show), args.format)
    if not args.models:
        raise UsageError("name at least one MODEL to sweep, or a folder with --show DIR")
    if args.output is None:
        raise UsageError("name the folder for the points' profiles with -o DIR")

    from ..capture.sweep import make_grid, open_folder
    from ..settings.capture import CaptureConfig

    points = make_grid(args.models, given(args, CaptureConfig))
    if args.dry_run:
        _list(points, Path(args.output))
        return 0
    for source in dict.fromkeys(point.config.source for point in points):
        note_ignored(source)
    note_threads(*(point.config.n_threads for point in points))
    folder = open_folder(args.output)
    outcomes = _measure(points, folder, args.pause)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    paths = [folder / point.file_name for point in points]
    missing = {outcome.path for outcome in failed}
    failures = [(outcome.path.name, _reason(outcome)) for outcome in failed]
    _print([path for path in paths if path not in missing], failures, args.format)
    return _report_failures(failures, len(points))


def _list(points: Sequence[Point], folder: Path) -> None:
    from ..capture.sweep import in_order_of_running, why_to_measure

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a sweep needs a folder")
    for point in in_order_of_running(points):
        reason = why_to_measure(point, folder / point.file_name)
        state = "done    " if reason is None else "to do   "
        put(f"{state}{point.file_name}{f'  ({reason})' if reason else ''}")


def _measure(points: Sequence[Point], folder: Path, pause_s: float) -> list[Outcome]:
    """Runs the points; says on stderr how far it is."""
    from ..capture.sweep import run_points
    from .progress import ProgressBar, duration

    outcomes: list[Outcome] = []
    try:
        with ProgressBar(sys.stderr) as bar:
            for outcome in run_points(points, folder, bar.update, pause_s=pause_s):
                outcomes.append(outcome)
                again = f" again: {outcome.note}" if outcome.note else ""
                left = f"; {duration(outcome.left_s)} left" if outcome.left_s else ""
                done = f"{len(outcomes)}/{len(points)} {outcome.status}"
                note(f"{done} {outcome.path.name}{again}{left}")
    except KeyboardInterrupt:
        n_done = sum(outcome.status != "failed" for outcome in outcomes)
        note(
            f"{n_done} of {len(points)} points are in {folder}; the same command goes on from there"
        )
        raise
    return outcomes


def _show(folder: Path, form: str) -> int:
    from ..capture.sweep import SUFFIX

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise UsageError(f"{folder} holds no profiles (*{SUFFIX})")
    failures = _print(paths, [], form)
    return _report_failures(failures, len(paths))


def _print(
    paths: Sequence[Path], failures: Sequence[tuple[str, str]], form: str
) -> list[tuple[str, str]]:
    """Prints the profiles; returns the failures, with those of files that cannot be read."""
    from ..analysis.verdicts.sweep import in_order, summarize_point
    from ..reporters.documents.sweep import sweep_document
    from ..views import load

    points: list[SweepPoint] = []
    failures = list(failures)
    for path in paths:
        try:
            # One profile at a time: their events would not fit into memory together.
            points.append(summarize_point(path.name, load(path)))
        except (ProfileFormatError, UsageError) as error:
            failures.append((path.name, str(error)))
    render(sweep_document(in_order(points), failures), form, sys.stdout)
    return failures


def _report_failures(failures: Sequence[tuple[str, str]], n_points: int) -> int:
    sys.stdout.flush()
    for file, message in failures:
        say(f"slmprof: error: {file}: {message}")
    if failures:
        say(f"slmprof: error: {len(failures)} of {n_points} points failed")
    return 1 if failures else 0


def _reason(outcome: Outcome) -> str:
    return " ".join(str(outcome.error).split()) or type(outcome.error).__name__
