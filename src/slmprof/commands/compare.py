"""`slmprof compare A B …`: profiles or models side by side, with a verdict for each difference."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..profiles.vocabulary import PHASES
from ..reporters.renderers import render
from ..settings.kinds import Share, Whole, read_number, shown
from .deadline import deadline
from .options import FORMATS, add_settings, file_name, given, note_threads, text_of, value_of
from .streams import drop_stdout, note, say

if TYPE_CHECKING:
    from ..analysis.comparison.comparison import Comparison
    from ..views import Profile

NAME = "compare"
HELP = "compare profiles or models, with a verdict for each difference"
VIEWS = ("block", "part", "layer", "kernel", "op", "memory")


class Percentage(Share):
    """A part of a hundred: 3% or 3."""

    metavar = "PERCENT"

    def read(self, text: str) -> Any:
        try:
            return read_number(text.removesuffix("%")) / 100
        except ValueError:
            raise ValueError(f"{shown(text)} is no percentage") from None

    def check(self, value: Any) -> Any:
        if not 0 <= value < 1:
            raise ValueError(f"{100 * value:g} % is not from 0 to below 100 %")
        return value


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    from ..capture.comparison import DEFAULTS
    from ..settings.capture import CaptureConfig

    parser.description = (
        "Compares each of the others with the first: latency, blocks, kernels, layers, ops and "
        "memory, with intervals over processes. Models are run in turns: one process of each in a "
        "round, and within a round repeat by repeat."
    )
    parser.add_argument(
        "sources",
        type=file_name("a profile or model"),
        metavar="SOURCE",
        nargs="+",
        help="profiles that --save wrote, or models (as for breakdown); the first is the baseline",
    )
    group = parser.add_argument_group("what counts")
    group.add_argument(
        "--fail-if",
        action="append",
        type=text_of("a condition"),
        default=[],
        metavar="EXPR",
        help="end with status 1 where this is sure: 'decode > 3%%', 'ffn.decode > 0.5ms', "
        "'kv_cache > 0'; may be repeated",
    )
    group.add_argument(
        "--margin",
        type=value_of(Percentage()),
        metavar="PERCENT",
        help="times that differ by no more are the same (3%%)",
    )
    add_settings(parser, NAME, CaptureConfig, defaults=DEFAULTS)
    add_comparison_output(parser)
    help_text = "keep the profiles of the models in a folder"
    parser.add_argument("--save", type=file_name("a folder"), metavar="DIR", help=help_text)


def add_comparison_output(parser: argparse.ArgumentParser) -> None:
    """How the comparison is printed."""
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")
    group.add_argument("--by", choices=VIEWS, help="one view only")
    group.add_argument("--full", action="store_true", help="every row, not those that changed")
    group.add_argument("--phase", choices=PHASES, help="one phase only")
    group.add_argument("--top", type=value_of(Whole()), metavar="N", help="rows of a view")


def run(args: argparse.Namespace) -> int:
    """Compares and prints; returns the exit code, 1 where a condition surely failed."""
    from ..analysis.comparison.conditions import Condition
    from ..capture.comparison import (
        compared,
        find_entries,
        most_threads,
        run_entries,
        save_measured,
    )
    from ..capture.sweep import open_folder
    from ..settings.capture import CaptureConfig
    from .progress import ProgressBar

    # Wrong usage is told before anything is measured.
    conditions = [Condition.parse(text) for text in args.fail_if]
    asked = given(args, CaptureConfig)
    with deadline(asked.get("timeout")):
        entries = find_entries(args.sources, asked)
    folder = open_folder(args.save) if args.save is not None else None
    note_threads(most_threads(entries))
    measured: dict[str, list[Profile]] = {}
    try:
        with ProgressBar(sys.stderr) as bar:
            profiles = run_entries(entries, bar.update, measured)
    finally:
        # Where one process fails, those before it are not lost.
        if folder is not None:
            for path in save_measured(measured, folder):
                note(f"saved {path}")
    with deadline(asked.get("timeout")):
        comparison = compared(profiles, margin=args.margin, conditions=conditions)
        return print_comparison(comparison, args)


def print_comparison(comparison: Comparison, args: argparse.Namespace) -> int:
    """Prints to stdout as `add_comparison_output` asked for, and to stderr what became of the
    conditions; returns the exit code."""
    from ..reporters.documents.comparison import comparison_document, outcome_text

    document = comparison_document(
        comparison, by=args.by, phase=args.phase, top=args.top, is_full=args.full
    )
    try:
        render(document, args.format, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # A reader that has seen enough (`head`) makes no pass of a condition that failed.
        drop_stdout()
    for outcome in comparison.undecided:
        say(f"slmprof: warning: {outcome_text(outcome)}")
    for outcome in comparison.failed:
        say(f"slmprof: error: {outcome_text(outcome)}")
    return 1 if comparison.failed else 0
