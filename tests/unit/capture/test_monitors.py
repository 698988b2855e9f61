"""What the monitors of a run see, and where they say it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import slmprof
from slmprof.capture import session
from slmprof.capture.monitors import bandwidth, load
from slmprof.capture.monitors.device_memory import DeviceMemoryMonitor
from slmprof.capture.monitors.load import LoadMonitor
from slmprof.capture.monitors.memory import MemoryMonitor
from slmprof.capture.monitors.model_file import ModelFileMonitor
from slmprof.capture.monitors.protocol import Monitor, Point
from slmprof.capture.planned_run import PlannedRun
from slmprof.capture.session import Session
from slmprof.errors import CaptureError, UsageError
from slmprof.profiles.records.load import Load
from slmprof.profiles.records.meta import Buffer, Environment, Meta
from slmprof.quantization.open_model import OpenModel

BUFFER = {"device": "CPU", "buffer_type": "CPU", "kind": "weights", "size_bytes": 7}


class FakeEngine:
    """An engine that tells how often it was looked at."""

    def __init__(self) -> None:
        self.n_looks = 0

    def buffers(self) -> list[dict[str, Any]]:
        return [{**BUFFER, "size_bytes": 8}]

    def observations(self) -> list[dict[str, Any]]:
        return [self.observe(point) for point in ("start", "load", "context")]

    def observe(self, point: str) -> dict[str, Any]:
        self.n_looks += 1
        return {"point": point, "n_past": self.n_looks, "recorder_bytes": 0, "buffers": []}


def seen(monitor: MemoryMonitor) -> list[tuple[str, int]]:
    return [(o.point, o.n_past) for o in monitor.describe(Meta()).memory.observations]


def test_memory_is_seen_at_its_points_and_no_others() -> None:
    engine: Any = FakeEngine()
    monitor = MemoryMonitor([BUFFER])
    monitor.begin(engine)
    for point in ("prefill", "decode", "warm-up", "repeat", "repeat", "end"):
        monitor.reach(point, engine)
    assert engine.n_looks == 6
    points = ["start", "load", "context", "prefill", "decode", "end"]
    assert seen(monitor) == list(zip(points, range(1, 7), strict=True))
    memory = monitor.describe(Meta()).memory
    assert memory.predicted == (Buffer(**BUFFER),)
    assert [buffer.size_bytes for buffer in memory.buffers] == [8]


def test_of_two_looks_at_one_point_the_last_one_counts() -> None:
    engine: Any = FakeEngine()
    monitor = MemoryMonitor([])
    for point in ("end", "decode", "end"):
        monitor.reach(point, engine)
    assert seen(monitor) == [("decode", 2), ("end", 3)]


def test_the_load_is_measured_from_the_warm_up_to_the_last_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = ["before"]

    class Meter:
        def __init__(self) -> None:
            self.begin = now[0]

        def load(self) -> Load:
            share = 0.5 if (self.begin, now[0]) == ("warm", "2") else 0.0
            return Load(core_seconds=10.0, others_share=share)

    monkeypatch.setattr(load, "LoadMeter", Meter)
    engine: Any = None
    monitor: Monitor = LoadMonitor()
    meta = Meta(environment=Environment(warnings=("known",)))
    monitor.begin(engine)
    monitor.reach("repeat", engine)
    assert monitor.describe(meta) == meta
    for time, point in (("warm", "warm-up"), ("1", "repeat"), ("2", "repeat"), ("late", "end")):
        now[0] = time
        monitor.reach(point, engine)
    environment = monitor.describe(meta).environment
    assert environment.load == Load(core_seconds=10.0, others_share=0.5)
    assert environment.warnings == (
        "known",
        "other processes used 50 % of this machine's CPU time",
    )


def test_the_turns_of_others_are_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([Load(core_seconds=1.0, others_share=0.2), Load(core_seconds=3.0)])

    class Meter:
        def load(self) -> Load:
            return next(loads)

    monkeypatch.setattr("slmprof.capture.monitors.load.LoadMeter", Meter)
    engine: Any = FakeEngine()
    monitor = LoadMonitor()
    monitor.begin(engine)
    for point in ("warm-up", "turn", "repeat", "turn", "repeat"):
        monitor.reach(point, engine)
    load = monitor.describe(Meta()).environment.load
    assert load == Load(core_seconds=4.0, others_share=pytest.approx(0.05), stolen_share=0.0)


def test_the_file_is_looked_at_when_it_is_loaded_and_behind_the_last_repeat(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    engine: Any = None
    monitor = ModelFileMonitor(path)
    monitor.begin(engine)
    monitor.reach("end", engine)
    (identity,) = monitor.describe(Meta()).model.identity
    assert identity.size_bytes == 104
    path.write_bytes(b"GGUF" + bytes(101))
    monitor.reach("repeat", engine)
    for look in (monitor.begin, lambda engine: monitor.reach("end", engine)):
        with pytest.raises(CaptureError, match=r"m.gguf changed while it was measured .104 bytes"):
            look(engine)


def test_bandwidth_is_measured_after_the_warm_up_and_after_each_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = iter([50.0, 60.0, 51.5])

    def measure(n_threads: int) -> dict[str, Any]:
        assert n_threads == 2
        return {"read_gbps": next(rates), "copy_gbps": 30.0, "working_set_bytes": 7}

    monkeypatch.setattr(bandwidth, "memory_bandwidth", measure)
    engine: Any = None
    monitor = bandwidth.BandwidthMonitor(2)
    assert monitor.leaves_caches_cold
    assert monitor.describe(Meta()) == Meta()
    for point in ("prefill", "decode", "warm-up", "repeat", "repeat", "end"):
        monitor.reach(point, engine)
    found = monitor.describe(Meta()).bandwidth
    assert found is not None and (found.n_threads, found.working_set_bytes) == (2, 7)
    assert [(one.point, one.read_gbps) for one in found.samples] == [
        ("warm-up", 50.0), ("repeat", 60.0), ("repeat", 51.5)
    ]  # fmt: skip
    assert found.gbps() == 51.5 and found.gbps("copy") == 30.0 and not found.is_steady


def test_a_low_bandwidth_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    # The first try is far below what the ceilings say; later memory is slow, and stays so.
    rates = iter([1.0, 49.0, 48.0, 30.0, 31.0, 29.0])

    def measure(_: int) -> dict[str, Any]:
        asked.append(next(rates))
        return {"read_gbps": asked[-1], "copy_gbps": asked[-1] / 2, "working_set_bytes": 7}

    monkeypatch.setattr(bandwidth, "memory_bandwidth", measure)
    engine: Any = None
    monitor = bandwidth.BandwidthMonitor(2, usual_gbps=50.0)
    counts = []
    for _ in range(3):
        monitor.reach("repeat", engine)
        counts.append(len(asked))
    assert counts == [2, 3, 6]
    found = monitor.describe(Meta()).bandwidth
    assert found is not None
    assert [one.read_gbps for one in found.samples] == [49.0, 48.0, 31.0]
    assert [one.copy_gbps for one in found.samples] == [24.5, 24.0, 15.5]


def test_a_bandwidth_that_cannot_be_measured_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def fail(n_threads: int) -> dict[str, Any]:
        asked.append(n_threads)
        raise CaptureError("no memory")

    monkeypatch.setattr(bandwidth, "memory_bandwidth", fail)
    engine: Any = None
    monitor = bandwidth.BandwidthMonitor(2)
    monitor.reach("warm-up", engine)
    monitor.reach("repeat", engine)
    meta = monitor.describe(Meta())
    assert asked == [2] and meta.bandwidth is None
    assert [text.endswith("no memory") for text in meta.environment.warnings] == [True]


class FakeMonitor(Monitor):
    """Notes what it is told; `fails` names what raises."""

    def __init__(self, fails: str = "") -> None:
        self.told: list[str] = []
        self.fails = fails

    def begin(self, _: Any) -> None:
        self._note("begin")

    def reach(self, point: Point, _: Any) -> None:
        self._note(point)

    def end(self) -> None:
        self._note("end")

    def _note(self, what: str) -> None:
        self.told.append(what)
        if what == self.fails:
            raise RuntimeError(what)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    """Makes a session without a model, with the monitors given."""

    def make(first: FakeMonitor, second: FakeMonitor) -> Session:
        engine = SimpleNamespace(model_info=dict, context_info=dict)
        native = SimpleNamespace(
            EngineSettings=SimpleNamespace, Engine=lambda _: engine,
            clear_log=lambda: None, log_to_stderr=lambda _: None,
        )  # fmt: skip
        monkeypatch.setattr(slmprof, "_core", native, raising=False)
        planned = PlannedRun(OpenModel(Path("m.gguf")), [], None, DeviceMemoryMonitor([]))
        monkeypatch.setattr(session, "plan_run", lambda _: planned)
        monkeypatch.setattr(session, "ModelFileMonitor", lambda _: Monitor())
        monkeypatch.setattr(session, "MemoryMonitor", lambda *_: first)
        monkeypatch.setattr(session, "LoadMonitor", lambda: second)
        return Session("m.gguf")

    return make


def test_monitors_end_once_with_the_session(watched: Callable[..., Session]) -> None:
    first, second = FakeMonitor(), FakeMonitor()
    with watched(first, second) as run:
        run.reach("warm-up")
        run.close()
    run.close()
    assert first.told == second.told == ["begin", "warm-up", "end"]


@pytest.mark.parametrize("fails", ["warm-up", "end"])
def test_monitors_end_once_after_a_failure(fails: str, watched: Callable[..., Session]) -> None:
    first, second = FakeMonitor(), FakeMonitor(fails)
    with pytest.raises(RuntimeError, match=fails), watched(first, second) as run:
        run.reach("warm-up")
    run.close()
    assert first.told == second.told == ["begin", "warm-up", "end"]
    with pytest.raises(UsageError, match="closed"):
        run.engine  # noqa: B018


def test_a_monitor_that_comes_later_is_told_and_ended(watched: Callable[..., Session]) -> None:
    first, second, later = FakeMonitor(), FakeMonitor(), FakeMonitor()
    with watched(first, second) as run:
        assert not run.leaves_caches_cold
        later.leaves_caches_cold = True
        run.watch(later)
        assert run.leaves_caches_cold
        run.reach("repeat")
    assert later.told == first.told == ["begin", "repeat", "end"]


def test_monitors_end_when_one_cannot_begin(watched: Callable[..., Session]) -> None:
    first, second = FakeMonitor("begin"), FakeMonitor()
    with pytest.raises(RuntimeError, match="begin"):
        watched(first, second)
    assert first.told == ["begin", "end"]
    assert second.told == []
