"""A process that only keeps a folder of its parent's: `python -m slmprof.children.keeper`.

What takes long and fills a folder may be killed, and could then not clear up itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .question import asked
from .serving import Parent, serve

_MODULE = "slmprof.children.keeper"


@contextlib.contextmanager
def kept_folder() -> Iterator[Path]:
    """A temporary folder, which is gone afterwards, also where this process is killed.

    Raises:
        OSError: it cannot be made. EngineError: the process that keeps it cannot be started.
    """
    with asked(_MODULE, {}, "keeps a folder", needs_native=False) as answer:
        answer.wait()
        yield Path(answer.folder)


def _answer(_: dict[str, Any], __: str, ___: Parent) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    serve("keep a folder", _answer)
