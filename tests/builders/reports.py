"""Documents as texts."""

from __future__ import annotations

import io
import json
from typing import Any

from slmprof.analysis.verdicts.breakdown import Breakdown, break_down
from slmprof.reporters.documents.parts import Document
from slmprof.reporters.documents.runs.run import run_document
from slmprof.reporters.renderers import load, terminal
from slmprof.views import Profile


def shown(
    report: Document | Breakdown | Profile,
    form: str = "table",
    *,
    encoding: str = "utf-8",
    width: int = 80,
    is_full: bool = False,
    **chosen: Any,
) -> str:
    """What a renderer writes to a stream of an encoding; `chosen` as `break_down` takes it."""
    made = break_down(report, **chosen) if isinstance(report, Profile) else report
    document = run_document(made, is_full=is_full) if isinstance(made, Breakdown) else made
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    if form == "table":
        terminal.render(document, stream, width)
    else:
        load(form).render(document, stream)
    stream.flush()
    return raw.getvalue().decode(encoding)


def data(report: Document | Breakdown | Profile, **chosen: Any) -> dict[str, Any]:
    """The JSON of a report, which must not hold what JSON does not have."""

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    loaded: dict[str, Any] = json.loads(shown(report, "json", **chosen), parse_constant=refuse)
    return loaded
