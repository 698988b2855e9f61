"""The text of a prompt, from a file."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError
from ..input_file import open_input, read_input_text
from ..profiles.writing import reason

_MOST_BYTES = 16 << 20  # several million tokens


def read_prompt(path: str | os.PathLike[str]) -> str:
    """The text of a prompt file.

    Raises:
        UsageError: it cannot be read, is no regular file, is too large for any context, or holds
            no UTF-8 text.
    """
    try:
        return read_input_text(Path(path), _MOST_BYTES)
    except ValueError as error:
        raise UsageError(f"prompt_file: {error}") from None


def check_prompt(path: str | os.PathLike[str]) -> None:
    """Finds out before a process is started whether there is such a file. Raises UsageError."""
    try:
        open_input(path).close()
    except OSError as error:
        raise UsageError(f"prompt_file: cannot read {os.fspath(path)}: {reason(error)}") from None
