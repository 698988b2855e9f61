"""Several worker processes in turns, without an engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import example_profile
from workers import stand_in

from slmprof.capture.process import interleaved, profile_in_worker
from slmprof.children.protocol import OnProgress, Progress
from slmprof.errors import CaptureError, EngineError, UsageError
from slmprof.profiles.records.meta import FileIdentity
from slmprof.settings.capture import CaptureConfig
from slmprof.views import Profile

IDENTITY = FileIdentity(device=1, inode=2, size_bytes=3, mtime_ns=4, sha256="0")


class Workers:
    """Stands in for the worker processes; `broken` are the numbers of those that fail."""

    def __init__(self, *broken: int) -> None:
        self.broken = broken
        self.ran: list[str] = []

    def __call__(self, config: CaptureConfig, on_progress: OnProgress) -> Profile:
        self.ran.append(config.model)
        on_progress(Progress("warm-up", 0, 10))
        if len(self.ran) - 1 in self.broken:
            run = example_profile().meta.run.replace(n_repeats_done=2, complete=False)
            meta = example_profile().meta.replace(run=run)
            raise EngineError("killed", profile=replace(example_profile(), meta=meta))
        on_progress(Progress("done", 10, 10))
        return self.result()

    def result(self) -> Profile:
        return example_profile()


def install(monkeypatch: pytest.MonkeyPatch, workers: Workers) -> Workers:
    stand_in(monkeypatch, workers)
    return workers


def config(model: str = "a.gguf", processes: int = 3) -> CaptureConfig:
    return CaptureConfig(model, repeats=2, processes=processes)


def test_configurations_run_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = install(monkeypatch, Workers())
    told: list[Progress] = []
    profiles = interleaved([config("a.gguf"), config("b.gguf")], 3, told.append)
    assert workers.ran == ["a.gguf", "b.gguf", "b.gguf", "a.gguf", "a.gguf", "b.gguf"]
    assert [profile.meta.config.processes for profile in profiles] == [3, 3]
    assert told[-1] == Progress("process 3 of 3: done", 60, 60)
    assert [one.done for one in told] == sorted(one.done for one in told)


def test_one_process_says_nothing_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Workers())
    told: list[Progress] = []
    profile = profile_in_worker(config(processes=1), told.append)
    assert told[-1] == Progress("done", 10, 10)
    assert profile.steps.process.max() == 0


def test_a_failure_keeps_the_repeats_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Workers(1))
    with pytest.raises(EngineError, match="killed") as caught:
        profile_in_worker(config(), lambda _: None)
    run = caught.value.profile.meta.run
    assert (run.n_repeats, run.n_repeats_done, run.complete) == (6, 4, False)
    assert run.error == "killed"


def test_a_file_that_changes_between_two_processes_is_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Swapped(Workers):
        def result(self) -> Profile:
            identity = (IDENTITY.replace(mtime_ns=len(self.ran)),)
            meta = example_profile().meta
            meta = meta.replace(model=meta.model.replace(identity=identity))
            return replace(example_profile(), meta=meta)

    install(monkeypatch, Swapped())
    with pytest.raises(CaptureError, match="changed between two processes"):
        profile_in_worker(config(), lambda _: None)


def test_a_session_is_one_process() -> None:
    from slmprof.capture.session import Session

    with pytest.raises(UsageError, match="this one process"):
        Session("a.gguf", processes=2)
