"""The process that collects importances: `python -m slmprof.quantization.imatrix_worker`.

Its question is a MODEL, a text file and settings; it leaves a file in its folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import _core
from ..children.protocol import OnProgress
from ..children.serving import serve
from ..settings.scoring import ImatrixSettings
from .collection import collect


def _answer(question: dict[str, Any], folder: str, on_progress: OnProgress) -> dict[str, Any]:
    _core.log_to_stderr(True)
    settings = ImatrixSettings.from_json(question["settings"])
    return collect(question["model"], question["text"], settings, Path(folder), on_progress)


if __name__ == "__main__":
    serve("collect importances", _answer)
