"""`slmprof show FILE.slmprof`: any view of a saved profile; needs no model and no native code."""

from __future__ import annotations

import argparse

from ..errors import UsageError
from ..settings.kinds import Whole
from .compare import VIEWS, print_comparison
from .options import add_bound, add_output_options, print_profile, value_of

NAME = "show"
HELP = "print any view of a saved profile, or compare several"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a profile that --save wrote; of several, each is compared with the first",
    )
    add_output_options(parser)
    add_bound(parser)
    parser.add_argument(
        "--n-depth",
        type=value_of(Whole(0)),
        metavar="N",
        help="of a run at several depths, the one to show (the smallest, and a comparison)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the view; returns the exit code."""
    from ..views import load

    if len(args.files) > 1:
        return _compare(args)
    profile = load(args.files[0])
    print_profile(profile if args.n_depth is None else profile.at_depth(args.n_depth), args)
    return 0


def _compare(args: argparse.Namespace) -> int:
    from ..capture.comparison import compared, read_profiles

    if args.by is not None and args.by not in VIEWS:
        raise UsageError(
            f"profiles are not compared by {args.by}; choose one of {', '.join(VIEWS)}"
        )
    if args.bound is not None:
        raise UsageError("--bound chooses ops of one profile; several are compared whole")
    profiles = read_profiles(args.files, args.n_depth)
    return print_comparison(compared(profiles, margin=None, conditions=()), args)
