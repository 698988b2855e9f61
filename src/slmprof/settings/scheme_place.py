"""Where a quantization scheme of the user's stands, so that another process can find it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from .kinds import Kind, shown

FILE_SUFFIX = ".py"
# Of files in C and C++, which have kernels of their own.
KERNEL_SUFFIXES = (".c", ".cc", ".cpp", ".cxx")
MOST_FILE_BYTES = 16 << 20
_FILES = (FILE_SUFFIX, *KERNEL_SUFFIXES)


class SchemePlace(Kind):
    """`FILE.py:NAME`, `FILE.c:NAME` (or .cc, .cpp, .cxx), or `MODULE:NAME` of an installed module.

    In Python also the class or function itself, which becomes such a text.
    """

    metavar = "FILE:NAME"

    def check(self, value: Any) -> str:
        text = value if isinstance(value, str) else _place_of(value)
        split_place(text)
        return text


def is_scheme_file(text: str) -> bool:
    """Whether a text is the place of a scheme in a file."""
    place, _, name = text.rpartition(":")
    return place.endswith(_FILES) and name.isidentifier()


def split_place(text: str) -> tuple[str, str]:
    """The file or module, and the name in it. Raises ValueError."""
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise ValueError(f"{shown(text)} is not FILE.py:NAME, FILE.c:NAME or MODULE:NAME")
    return place, name


def _place_of(scheme: type | Callable[..., Any]) -> str:
    name, module = getattr(scheme, "__qualname__", ""), getattr(scheme, "__module__", "")
    if not (isinstance(name, str) and isinstance(module, str) and name.isidentifier()):
        raise ValueError(f"{shown(scheme)} is no class or function at the top of a file")
    if "." in module and module in sys.modules:
        return f"{module}:{name}"
    try:
        file = inspect.getsourcefile(scheme)
    except (TypeError, OSError):
        file = None
    if file is None or not file.endswith(FILE_SUFFIX):
        raise ValueError(
            f"{name} stands in no file, where another process could find it; write it to one"
        )
    return f"{file}:{name}"
