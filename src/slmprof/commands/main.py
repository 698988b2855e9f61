"""The command line: finds the command, runs it, and turns every error into one clear line."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, cast

from ..children import addresses
from ..errors import EngineError, SlmprofError, UsageError, hand_warnings_to
from .deadline import deadline
from .options import Parser
from .streams import drop_stdout, note, open_closed_streams, put, say, show_traceback

COMMANDS: tuple[str, ...] = (
    "breakdown", "memory", "roofline", "synth", "show", "compare", "sweep", "quant",
    "doctor",
)  # fmt: skip
EXIT_INTERRUPTED = 130
EXIT_FAILED = 1
EXIT_USAGE = 2
_INTERRUPT_SECONDS = 0.01
_SHOWN_LOG_LINES = 10  # the error object holds more

_DESCRIPTION = "Where do the milliseconds and the bytes of a small language model go?"


class Command(Protocol):
    """What a command module has."""

    NAME: str
    HELP: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class _ShowVersion(argparse.Action):
    # Reading the installed version takes longer than all the rest of `--help`.
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from ..version import find_version

        put(f"slmprof {find_version()}")
        if self.const:
            from ..machine.build import describe_build

            for line in describe_build():
                put(line)
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0 done; 1 the measurement failed; 2 wrong usage or unusable input;
        130 interrupted; 143 terminated.
    """
    open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        # The process is this command's own.
        _unwind_on_sigterm()
        sys.unraisablehook = _interrupt_again
        sys.excepthook = show_traceback
        if too_few := addresses.prepare():
            say(f"slmprof: error: {too_few}")
            return EXIT_FAILED
    debug = "--debug" in arguments
    with warnings.catch_warnings():
        hand_warnings_to(note)
        return _run(arguments, debug)


def _run(arguments: Sequence[str], debug: bool) -> int:
    """As `main`, with warnings as notes."""
    try:
        args = build_parser(arguments).parse_args(arguments)
        if args.verbose:
            raise UsageError("--verbose says more of --version, and of nothing else")
        command = cast(Callable[[argparse.Namespace], int], args.run)
        with deadline(getattr(args, "deadline", None)):
            code = command(args)
            sys.stdout.flush()
        return code
    except SystemExit as stop:
        # argparse ends so after --help and --version.
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        say("slmprof: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`, a pager) has seen enough. Python would complain at its exit.
        drop_stdout()
        return 0
    except SlmprofError as error:
        if debug:
            raise
        return _report(error)
    except OSError as error:
        if debug:
            raise
        if too_few := addresses.shortage(error):
            say(f"slmprof: error: {too_few}")
            return EXIT_FAILED
        drop_stdout()
        where = f"{error.filename}: " if error.filename else ""
        say(f"slmprof: error: {where}{error.strerror or error}")
        return EXIT_USAGE
    except Exception as error:
        if _is_interrupt(error):
            say("slmprof: interrupted")
            return EXIT_INTERRUPTED
        if debug:
            raise
        kind = type(error).__name__
        unexpected = f"unexpected {kind}: {_one_line(error)} (--debug shows where)"
        say(f"slmprof: error: {addresses.shortage(error) or unexpected}")
        return EXIT_FAILED


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it comes of a Ctrl-C: before Python 3.12 one in `__set_name__` is a RuntimeError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _interrupt_again(found: sys.UnraisableHookArgs) -> None:
    """As `sys.unraisablehook`: a Ctrl-C that reached a callback, out of which nothing comes, is
    sent once more."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        # To the thread that waits, which no flag would wake.
        to = threading.main_thread().ident, signal.SIGINT
        later = threading.Timer(_INTERRUPT_SECONDS, signal.pthread_kill, to)
        later.daemon = True
        later.start()
    else:
        sys.__unraisablehook__(found)


def _unwind_on_sigterm() -> None:
    """Lets a termination clean up as a Ctrl-C does: worker ended, temporary files gone."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def build_parser(named: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of all commands; only those that are named get their arguments."""
    parser = Parser(prog="slmprof", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "--version", action=_ShowVersion, nargs=0, const="--verbose" in named,
        help="print the version, with --verbose also of what it is built from",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)
    _add_debug(parser, default=False)
    commands = parser.add_subparsers(
        metavar="COMMAND", required=True, title="commands", parser_class=Parser
    )
    for name in COMMANDS:
        command = cast(Command, importlib.import_module(f".{name}", __package__))
        sub = commands.add_parser(
            command.NAME, help=command.HELP, description=command.HELP, allow_abbrev=False
        )
        if name in named:
            command.configure(sub)
        # After the command's name too; absent there, it must not undo one before the name.
        _add_debug(sub, default=argparse.SUPPRESS)
        sub.set_defaults(run=command.run)
    return parser


def _add_debug(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show a traceback for an error"
    )


def _report(error: SlmprofError) -> int:
    say(f"slmprof: error: {_one_line(error)}")
    if isinstance(error, EngineError):
        for line in error.log_lines[-_SHOWN_LOG_LINES:]:
            say(f"  {line.rstrip()}")
    return error.exit_code


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
