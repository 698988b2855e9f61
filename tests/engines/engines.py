"""The native engine with settings by name, for the tests of what it records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slmprof import _core


def make_settings(path: Path, **settings: Any) -> _core.EngineSettings:
    native = _core.EngineSettings()
    native.path = str(path)
    native.n_ctx = 512
    native.n_threads = 1
    for name, value in settings.items():
        setattr(native, name, value)
    return native


def open_engine(path: Path, **settings: Any) -> _core.Engine:
    return _core.Engine(make_settings(path, **settings))
