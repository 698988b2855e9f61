"""The errors that users see: few roots, raised where the cause is known, caught once in `main`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TextIO


class SlmprofError(Exception):
    """Root of all errors of slmprof. The message is one line: the cause, and what to do."""

    exit_code = 1


class SlmprofWarning(UserWarning):
    """Something that the caller should know, though it was done as asked."""


class ModelError(SlmprofError):
    """The model file, preset or configuration is unusable; the message says which and why."""

    exit_code = 2


class EngineError(SlmprofError):
    """llama.cpp refused or died.

    Attributes:
        log_lines: the last lines of llama.cpp's log, oldest first.
        profile: what the complete repeats before the failure gave, a `slmprof.Profile`, or None.
    """

    exit_code = 1

    def __init__(self, message: str, log_lines: tuple[str, ...] = (), profile: Any = None) -> None:
        super().__init__(message)
        self.log_lines = tuple(log_lines)
        self.profile = profile


class CaptureError(SlmprofError):
    """The measurement was made, or could have been, but it is not valid."""

    exit_code = 1


class ProfileFormatError(SlmprofError):
    """A saved profile is unreadable, damaged or of a newer format."""

    exit_code = 2


class SchemeError(SlmprofError):
    """A quantization scheme of the user's breaks its contract; the message says where."""

    exit_code = 2


class UsageError(SlmprofError):
    """The caller asked for something that cannot be done as asked."""

    exit_code = 2


def hand_warnings_to(tell: Callable[[str], None]) -> None:
    """Hands slmprof's own warnings to a function from now on; all others are shown as before."""
    show = warnings.showwarning

    def hand_on(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, SlmprofWarning):
            tell(str(message))
        else:
            show(message, category, filename, lineno, file, line)

    warnings.simplefilter("always", SlmprofWarning)
    warnings.showwarning = hand_on
