"""`slmprof show FILE.slmprof`: any view of a saved profile; needs no model and no native code."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import SlmprofError, UsageError
from ..settings.kinds import Whole
from .compare import VIEWS, print_comparison
from .deadline import add_deadline
from .options import add_bound, add_output_options, file_name, print_profile, value_of
from .streams import say

if TYPE_CHECKING:
    from ..views import Profile

NAME = "show"
HELP = "print any view of a saved profile, or compare several"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument(
        "files",
        type=file_name("a profile"),
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
    parser.add_argument(
        "--join-again",
        action="store_true",
        help="join a GPU's kernels to ops again, from the records that the profile keeps",
    )
    add_deadline(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the view; returns the exit code."""
    from ..views import load

    if len(args.files) > 1:
        return _compare(args)
    profile = load(args.files[0])
    if args.join_again:
        profile = _joined_again(profile, args.files[0])
    print_profile(profile if args.n_depth is None else profile.at_depth(args.n_depth), args)
    return 0


def _joined_again(profile: Profile, source: str) -> Profile:
    """The profile with its kernels joined again; says on stderr what became of them."""
    from ..analysis.graphs.kernel_join import join_again, with_joins

    try:
        joins = join_again(profile)
    except SlmprofError as error:
        raise type(error)(f"cannot join the kernels of {source} again: {error}") from error
    n, n_different = len(joins.way), joins.n_different
    say(f"{n} kernels joined again, {n_different} of them not as in the recording")
    return with_joins(profile, joins)


def _compare(args: argparse.Namespace) -> int:
    from ..capture.comparison import compared, read_profiles

    if args.by is not None and args.by not in VIEWS:
        raise UsageError(
            f"profiles are not compared by {args.by}; choose one of {', '.join(VIEWS)}"
        )
    if args.bound is not None:
        raise UsageError("--bound chooses ops of one profile; several are compared whole")
    if args.join_again:
        raise UsageError("--join-again is for one profile; several are compared as recorded")
    profiles = read_profiles(args.files, args.n_depth)
    return print_comparison(compared(profiles, margin=None, conditions=()), args)
