"""What several unit tests share."""

from __future__ import annotations

import pytest
from builders import example_profile, stub_attribute

from slmprof.profiles.data import Profile


@pytest.fixture
def by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attribution by the example's tensor names."""
    monkeypatch.setattr("slmprof.analysis.graphs.structures.attribute", stub_attribute)


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The example profile, attributed by its tensor names."""
    monkeypatch.setattr("slmprof.analysis.graphs.structures.attribute", stub_attribute)
    return example_profile()
