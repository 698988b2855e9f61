"""Files of the user's that are read whole, whatever stands under their name."""

from __future__ import annotations

from pathlib import Path


def read_input(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file.

    Raises:
        ValueError: it cannot be read, is no regular file, or is larger than so many bytes; the
            message names it.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is not a regular file")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        if "\0" not in str(path):
            raise
        raise ValueError(f"cannot read {str(path)!r}: {error}") from None
    if len(content) > most_bytes:
        raise ValueError(f"{path} is larger than {most_bytes} bytes")
    return content


def read_input_text(path: Path, most_bytes: int) -> str:
    """The same as UTF-8 text. Raises ValueError."""
    try:
        return read_input(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
