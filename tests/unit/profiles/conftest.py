"""A saved profile to damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import example_profile

from slmprof.profiles.storage.file import save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A saved example profile."""
    target = tmp_path / "p.slmprof"
    save(example_profile(), target)
    return target
