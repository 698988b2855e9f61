"""A window: what was read from its begin to its end."""

from __future__ import annotations

import threading

import pytest
from energy_builder import ScriptedCounter

from slmprof.machine.energy.counter import State
from slmprof.machine.energy.window import Window


class ReadCounter(ScriptedCounter):
    """Says when it has been read so often."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n_left, self.was_read = n, threading.Event()

    def read_uj(self) -> tuple[int, ...]:
        self.n_left -= 1
        if self.n_left <= 0:
            self.was_read.set()
        return super().read_uj()


def test_a_window_is_read_from_begin_to_end() -> None:
    times = iter([1_000, 5_001_000])
    counter = ReadCounter(30)
    window = Window([counter], 0.25, lambda: next(times))
    window.begin()
    assert counter.was_read.wait(60)
    duration_ns, (reading,) = window.end()
    assert duration_ns == 5_000_000
    assert reading.n_updates >= 29
    # Each update is one of the counter's steps.
    assert reading.energy_uj == 1000 * reading.n_updates
    assert not reading.ran_backwards and reading.n_wraps == 0


def test_states_are_those_within_the_window() -> None:
    counter = ScriptedCounter(state=State(2000.0, ("sw_power_cap",), 4, 0.25))
    window = Window([counter], 10.0)
    window.begin()
    counter.told = State(3000.0, ("gpu_idle",), 6, 0.75)
    _, (reading,) = window.end()
    assert 2000.0 <= (reading.clock_mhz or 0.0) <= 3000.0
    assert reading.n_throttles == 2
    assert set(reading.clock_reasons) == {"sw_power_cap", "gpu_idle"}


def test_a_counter_that_fails_is_told_at_the_end() -> None:
    counter = ReadCounter(5)
    window = Window([counter], 0.01)
    window.begin()
    assert counter.was_read.wait(60)
    counter.failure = PermissionError(13, "Permission denied")
    with pytest.raises(PermissionError):
        window.end()
    window.stop()


def test_a_counter_that_leaps_has_not_counted() -> None:
    window = Window([ScriptedCounter(step_uj=2**50)], 10.0)
    window.begin()
    _, (reading,) = window.end()
    assert reading.ran_backwards and reading.energy_uj < 2**48
