"""`slmprof breakdown MODEL`: runs prefill and decode, prints where time and memory go."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import EngineError, SlmprofError
from .options import (
    add_bound,
    add_model,
    add_output_options,
    add_settings,
    file_name,
    given,
    note_ignored,
    note_threads,
    print_profile,
)
from .streams import note

if TYPE_CHECKING:
    from ..views import Profile

NAME = "breakdown"
HELP = "run a model and print where the time and the memory go"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    from ..settings.capture import CaptureConfig

    add_model(parser)
    add_settings(parser, NAME, CaptureConfig)
    add_output_options(parser)
    add_bound(parser)
    help_text = "write the profile, for `slmprof show`"
    parser.add_argument("--save", type=file_name(), metavar="FILE", help=help_text)


def run(args: argparse.Namespace) -> int:
    """Profiles in a worker process and prints the result; returns the exit code.

    When the engine fails after complete repeats, these are saved and printed like any result,
    marked as incomplete, before the error is reported.
    """
    from ..settings.capture import CaptureConfig

    config = CaptureConfig(args.model, **given(args, CaptureConfig))
    if args.save is not None:
        from ..profiles.storage.file import check_writable

        check_writable(args.save)
    note_ignored(config.source)
    note_threads(config.n_threads)
    from ..capture.process import profile_in_worker
    from .progress import ProgressBar

    try:
        with ProgressBar(sys.stderr) as bar:
            profile = profile_in_worker(config, bar.update)
    except EngineError as error:
        if error.profile is not None:
            note("the run is incomplete; this is what it gave")
            _deliver(error.profile, args)
        raise
    _deliver(profile, args)
    return 0


def _deliver(profile: Profile, args: argparse.Namespace) -> None:
    # Saved first: a closed pipe must not cost the measurement; nor must a disk that is full.
    failure = None
    if args.save is not None:
        try:
            profile.save(args.save)
            note(f"saved {args.save}")
        except SlmprofError as error:
            failure = error
    print_profile(profile, args)
    if failure is not None:
        raise failure
