"""The worker process, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slmprof.capture import planned_run, worker
from slmprof.errors import UsageError
from slmprof.machine import ceilings
from slmprof.settings.capture import CaptureConfig


def test_a_run_that_cannot_be_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise UsageError("no cache type")

    def measured(*_: Any) -> None:
        raise AssertionError("ceilings were measured first")

    monkeypatch.setattr(planned_run, "plan_run", refused)
    monkeypatch.setattr(ceilings, "ceilings_of_run", measured)
    monkeypatch.setenv("SLMPROF_LOG", "")  # a worker sets it, for its own process
    question = {"config": CaptureConfig("m.gguf").to_json(), "takes_turns": False}
    with pytest.raises(UsageError, match="no cache type"):
        worker.capture(question, str(tmp_path), lambda _: None)
