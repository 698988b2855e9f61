"""`slmprof doctor`: what this build and this machine can measure, and what would spoil it."""

from __future__ import annotations

import argparse
import sys

from ..reporters.renderers import render
from ..settings.kinds import Seconds
from .options import FORMATS, value_of

NAME = "doctor"
HELP = "say what this machine can measure, and what would spoil a measurement"

_BROKEN = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.description = (
        "Looks at this build and this machine: what they can measure, and what would spoil a "
        "measurement, with what to do about it. Changes nothing and runs no model. The exit code "
        "is 1 where something is broken."
    )
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument(
        "--timeout",
        type=value_of(Seconds()),
        metavar="SECONDS",
        default=None,
        help="when the native module, or a driver, counts as hanging (20)",
    )


def run(args: argparse.Namespace) -> int:
    """Prints what was found; returns the exit code."""
    from ..machine.doctor.examination import TIMEOUT_SECONDS, doctor
    from ..reporters.documents.examination import examination_document

    examination = doctor(timeout=TIMEOUT_SECONDS if args.timeout is None else args.timeout)
    render(examination_document(examination), args.format, sys.stdout)
    return _BROKEN if examination.is_broken else 0
