"""What the monitors of a run see, and where they say it."""

from __future__ import annotations

from typing import Any

import pytest

from slmprof.capture.monitors import load
from slmprof.capture.monitors.load import LoadMonitor
from slmprof.capture.monitors.memory import MemoryMonitor
from slmprof.capture.monitors.protocol import Monitor
from slmprof.profiles.meta import Buffer, Environment, Meta

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
    for point in ("context", "prefill", "decode", "warm-up", "repeat", "repeat", "end"):
        monitor.reach(point, engine)  # type: ignore[arg-type]
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
        monitor.reach(point, engine)  # type: ignore[arg-type]
    assert seen(monitor) == [("decode", 2), ("end", 3)]


def test_the_load_is_measured_from_the_warm_up_to_the_last_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = ["before"]

    class Meter:
        def __init__(self) -> None:
            self.begin = now[0]

        def warnings(self) -> list[str]:
            return [f"{self.begin} to {now[0]}"]

    monkeypatch.setattr(load, "LoadMeter", Meter)
    engine: Any = None
    monitor: Monitor = LoadMonitor()
    meta = Meta(environment=Environment(warnings=("known",)))
    monitor.reach("context", engine)
    monitor.reach("repeat", engine)
    assert monitor.describe(meta) == meta
    for time, point in (("warm", "warm-up"), ("1", "repeat"), ("2", "repeat"), ("late", "end")):
        now[0] = time
        monitor.reach(point, engine)  # type: ignore[arg-type]
    assert monitor.describe(meta).environment.warnings == ("known", "warm to 2")
