"""The worker process, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slmprof.capture import worker
from slmprof.errors import ModelError
from slmprof.machine import ceilings
from slmprof.settings.capture import CaptureConfig


def test_a_model_that_is_not_there_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: Any) -> None:
        raise AssertionError("ceilings were measured first")

    monkeypatch.setattr(ceilings, "ceilings_of_run", measured)
    monkeypatch.setenv("SLMPROF_LOG", "")  # a worker sets it, for its own process
    config = CaptureConfig(str(tmp_path / "none.gguf"))
    question = {"config": config.to_json(), "takes_turns": False}
    with pytest.raises(ModelError, match="no such model file"):
        worker.capture(question, str(tmp_path), lambda _: None)
