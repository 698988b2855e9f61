"""A child whose files find no room: the error says where, and what helps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from child_builder import MODULE, write_child

from slmprof.children.question import asked
from slmprof.errors import CaptureError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.mark.parametrize(
    "raised", ["OSError(28, 'Full')", "OSError(27, 'Full')", "OSError(28, 'Full', folder + '/x')"]
)
def test_files_of_the_child_alone(raised: str, temporary: Path, tmp_path: Path) -> None:
    write_child(tmp_path, f"raise {raised}")
    told = f"cannot do this: Full in {temporary}; make room there, or set TMPDIR to another folder"
    with (
        asked(MODULE, {}, "does this") as answer,
        pytest.raises(CaptureError, match=f"^{re.escape(told)}$"),
    ):
        answer.wait()


def test_a_file_that_is_to_be_renamed_into_place(temporary: Path, tmp_path: Path) -> None:
    write_child(tmp_path, "raise OSError(28, 'Full')")
    told = f"cannot do this: Full in {tmp_path}; make room there"
    with (
        asked(MODULE, {}, "does this", folder_in=tmp_path) as answer,
        pytest.raises(CaptureError, match=f"^{re.escape(told)}$"),
    ):
        answer.wait()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("raised", ["OSError(28, 'Full', '/x')", "OSError(13, 'Denied', '/x')"])
def test_other_files(raised: str, temporary: Path, tmp_path: Path) -> None:
    write_child(tmp_path, f"raise {raised}")
    with (
        asked(MODULE, {}, "does this") as answer,
        pytest.raises(CaptureError, match=r"^cannot do this: /x: (Full|Denied)$"),
    ):
        answer.wait()
    assert not list(temporary.iterdir())
