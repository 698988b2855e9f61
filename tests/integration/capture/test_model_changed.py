"""A model's file that changes while it is measured: no result is given for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import slmprof
from slmprof.capture.worker import capture
from slmprof.children.protocol import Progress
from slmprof.settings.capture import CaptureConfig

ModelMaker = Callable[..., Path]
SMALL = {"n_prompt": 4, "n_gen": 2, "repeats": 1, "threads": 1, "n_ctx": 64, "ceilings": "off"}


@pytest.fixture
def model(small_model: ModelMaker, tmp_path: Path) -> Path:
    return Path(shutil.copy(small_model(), tmp_path / "mine.gguf"))


def swap(model: Path, other: Path) -> None:
    shutil.copy(other, model.with_name("other.gguf")).replace(model)


def test_a_profile_says_which_file_was_measured(model: Path) -> None:
    profile = slmprof.profile(model, **SMALL)
    (identity,) = profile.meta.model.identity
    status = model.stat()
    assert (identity.inode, identity.size_bytes) == (status.st_ino, status.st_size)
    assert identity.mtime_ns == status.st_mtime_ns and len(identity.sha256) == 64


def test_a_file_swapped_under_a_run_makes_it_invalid(
    model: Path, small_model: ModelMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A worker sets it for its own process where it is not set.
    monkeypatch.setenv("SLMPROF_LOG", "")
    other = small_model(n_layer=2)
    stages = []

    def on_progress(progress: Progress) -> None:
        stages.append(progress.stage)
        if progress.stage == "repeat 1, ops":
            swap(model, other)

    # In this process, so that the swap comes when it should.
    question = {"config": CaptureConfig(model=str(model), **SMALL).to_json(), "takes_turns": False}
    with pytest.raises(slmprof.CaptureError, match=r"mine.gguf changed while it was measured"):
        capture(question, str(tmp_path), on_progress)
    assert "repeat 1, ops" in stages


def test_a_session_on_a_swapped_file_gives_no_profile(model: Path, small_model: ModelMaker) -> None:
    with slmprof.Session(model, **SMALL) as session:
        session.prefill(4)
        session.profile()
        swap(model, small_model(n_layer=2))
        with pytest.raises(slmprof.CaptureError, match="another file stands in its place"):
            session.profile()
