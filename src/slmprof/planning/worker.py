"""The process that plans memory: `python -m slmprof.planning.worker`.

Its question is a MemoryRequest, its answer the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import _core
from ..children.protocol import OnProgress
from ..children.serving import serve
from ..settings.planning import MemoryRequest
from .report import make_report


def _answer(question: dict[str, Any], folder: str, on_progress: OnProgress) -> dict[str, Any]:
    _core.log_to_stderr(True)
    request = MemoryRequest.from_json(question)
    return make_report(request, Path(folder), on_progress).to_json()


if __name__ == "__main__":
    serve("plan the memory", _answer)
