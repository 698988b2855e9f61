"""`slmprof show FILE.slmprof`: any view of a saved profile; needs no model and no native code."""

from __future__ import annotations

import argparse

from ..settings.kinds import Whole
from .options import add_output_options, print_profile, value_of

NAME = "show"
HELP = "print any view of a saved profile"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("file", metavar="FILE", help="a profile that --save wrote")
    add_output_options(parser)
    parser.add_argument(
        "--n-depth",
        type=value_of(Whole(0)),
        metavar="N",
        help="of a run at several depths, the one to show (the smallest, and a comparison)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints the view; returns the exit code."""
    from ..views import load

    profile = load(args.file)
    print_profile(profile if args.n_depth is None else profile.at_depth(args.n_depth), args)
    return 0
