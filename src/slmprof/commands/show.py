"""`slmprof show FILE.slmprof`: any view of a saved profile; needs no model and no native code."""

from __future__ import annotations

import argparse

from .options import add_output_options, print_profile

NAME = "show"
HELP = "print any view of a saved profile"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("file", metavar="FILE", help="a profile that --save wrote")
    add_output_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the view; returns the exit code."""
    from ..profiles.file import load

    print_profile(load(args.file), args)
    return 0
