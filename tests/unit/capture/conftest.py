"""A model that nobody loads, and a capture that measures nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from depth_builder import profile_at, with_config

from slmprof.errors import EngineError
from slmprof.settings.resolved import ResolvedConfig
from slmprof.views import Profile


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "small.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    return str(path)


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Replaces the capture; `fails` names settings whose points fail, `stop` those of a Ctrl-C."""

    def install(fails: str = "", stop: str = "") -> list[Any]:
        seen: list[Any] = []

        def run_one(config: Any, on_progress: Callable[[Any], None]) -> Profile:  # noqa: ARG001
            seen.append(config)
            text = json.dumps(config.to_json())
            if stop and stop in text:
                raise KeyboardInterrupt
            if fails and fails in text:
                raise EngineError("it died\nin flames")
            used = {f.name: getattr(config, f.name) for f in fields(ResolvedConfig)}
            return with_config(profile_at(config.n_depths), **{**used, "threads": config.n_threads})

        monkeypatch.setattr("slmprof.capture.process.profile_in_one_process", run_one)
        return seen

    return install
