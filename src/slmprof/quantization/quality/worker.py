"""The process that measures quality: `python -m slmprof.quantization.quality.worker`.

Its question is a model, a reference or none, a text file and settings; its answer a `Quality`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ... import _core
from ...children.protocol import OnProgress
from ...children.serving import serve
from ...settings.scoring import QualitySettings
from .scoring import measure


def _answer(question: dict[str, Any], _: str, on_progress: OnProgress) -> dict[str, Any]:
    _core.log_to_stderr(True)
    settings = QualitySettings.from_json(question["settings"])
    found = measure(
        question["model"], question["reference"], question["text"], settings, on_progress
    )
    made: dict[str, Any] = msgspec.to_builtins(found)
    return made


if __name__ == "__main__":
    serve("measure quality", _answer)
