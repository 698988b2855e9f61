"""What several unit tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import example_profile, stub_attribute
from ceilings_builder import FINGERPRINT, example_ceilings

from slmprof.machine import ceilings as capture
from slmprof.profiles.records.ceilings import Ceilings
from slmprof.views import Profile


@pytest.fixture
def by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attribution by the example's tensor names."""
    monkeypatch.setattr("slmprof.analysis.graphs.structures.attribute", stub_attribute)


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The example profile, attributed by its tensor names."""
    monkeypatch.setattr("slmprof.analysis.graphs.structures.attribute", stub_attribute)
    return example_profile()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[int]]:
    """The machine of the example, with an empty cache folder; returns the measurements made."""
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(capture, "usable_cores", lambda: 4)
    monkeypatch.setattr("slmprof.system.cores.usable_cores", lambda: 4)
    monkeypatch.setattr(capture, "fingerprint", lambda: FINGERPRINT)

    def install(result: Any = None) -> list[int]:
        made: list[int] = []

        def measure(n_threads: int, *_: object, **__: object) -> Ceilings:
            made.append(n_threads)
            if isinstance(result, BaseException):
                raise result
            return result or example_ceilings(n_threads=n_threads)

        monkeypatch.setattr(capture, "measure_ceilings", measure)
        return made

    return install
