"""The process that plans memory: `python -m slmprof.planning.worker`.

Its question is {"request": a MemoryRequest, "folder": for temporary files}, its answer the report.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import _core
from ..children.protocol import OnProgress
from ..children.question import leave, serve
from ..settings.planning import MemoryRequest
from .report import make_report


def _answer(question: dict[str, Any], on_progress: OnProgress) -> dict[str, Any]:
    _core.log_to_stderr(True)
    request = MemoryRequest.from_json(question["request"])
    return asdict(make_report(request, Path(question["folder"]), on_progress))


if __name__ == "__main__":
    leave(serve("plan the memory", _answer))
