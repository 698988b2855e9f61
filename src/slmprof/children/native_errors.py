"""Failures of the native library as slmprof's errors, with llama.cpp's own reason in one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import EngineError, ModelError, UsageError
from ..models.load_errors import explain_load_failure

_Result = TypeVar("_Result")


def guarded(path: Path, call: Callable[[], _Result]) -> _Result:
    """Calls the native library for a model file.

    Raises:
        ModelError: the file is unusable. EngineError: llama.cpp refused.
        UsageError: a setting that the library does not know.
    """
    from .. import _core

    try:
        return call()
    except _core.NativeModelError as error:
        raise ModelError(explain_load_failure(path, _core.log_lines(), str(error))) from None
    except _core.NativeEngineError as error:
        lines = tuple(_core.log_lines())
        raise EngineError(explain_engine(lines, str(error)), log_lines=lines) from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    except (RuntimeError, LookupError, ArithmeticError) as error:
        # An exception of llama.cpp's own that it let through.
        raise EngineError(str(error), log_lines=tuple(_core.log_lines())) from None
    except MemoryError:
        raise EngineError("out of memory", log_lines=tuple(_core.log_lines())) from None


def explain_engine(log_lines: Sequence[str], message: str) -> str:
    """The message, and what llama.cpp last said of a context that it did not make."""
    mark = "llama_init_from_model: "
    reason = next((line for line in reversed(log_lines) if line.startswith(mark)), "")
    if "context" not in message or not reason:
        return message
    return f"{message}: {reason.removeprefix(mark).strip()}"
