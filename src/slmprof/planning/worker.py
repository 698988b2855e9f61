"""The process that plans memory: `python -m slmprof.planning.worker`.

Its question is a MemoryRequest, and what is known of its first points; its answer is the report.
The plans are not in it, but in the parts that it hands over (`points`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import _core
from ..children.serving import Parent, serve
from ..settings.planning import MemoryRequest
from .points import Points
from .report import make_report


def _answer(question: dict[str, Any], folder: str, parent: Parent) -> dict[str, Any]:
    _core.log_to_stderr(True)
    request = MemoryRequest.from_json(question["request"])
    points = Points(question["known"], parent.hand_over)
    return make_report(request, Path(folder), parent, points).to_json()


if __name__ == "__main__":
    serve("plan the memory", _answer)
