"""Counters read from the beginning of a window to its end."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence

from ...analysis.energy.counting import count
from ...profiles.records.energy import MOST, EnergyReading
from .counter import EnergyCounter, State

# Often enough to see every update of counters that move every 20 ms, and too seldom to cost power.
_MOST_POLL_S = 0.02
_LEAST_POLLS = 250
# Clocks of many cores take longer to read than a counter, and move more slowly.
_POLLS_PER_STATE = 10


class Window:
    """Reads counters in a thread of its own, from `begin` to `end`, once.

    Idle windows are read as often as others, so that what the reading costs is in both.

    Args:
        counters: what to read.
        window_s: about how long it will last.
        clock_ns: the monotonic clock.
    """

    def __init__(
        self,
        counters: Sequence[EnergyCounter],
        window_s: float,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._counters, self._clock_ns = counters, clock_ns
        self._poll_s = min(_MOST_POLL_S, window_s / _LEAST_POLLS)
        self._readings: list[list[tuple[int, ...]]] = [[] for _ in counters]
        self._states: list[list[State]] = [[] for _ in counters]
        self._stop = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def begin(self) -> None:
        """The first reading. Raises OSError where a counter cannot be read."""
        self._look()
        self._begin_ns = self._clock_ns()
        self._read()
        self._thread.start()

    def end(self) -> tuple[int, tuple[EnergyReading, ...]]:
        """The last reading.

        Returns:
            Nanoseconds since the first one, and what each counter told.

        Raises:
            OSError: a counter could not be read.
        """
        self.stop()
        if self._failure is not None:
            raise self._failure
        self._read()
        end_ns = self._clock_ns()
        self._look()
        told = zip(self._counters, self._readings, self._states, strict=True)
        return max(1, end_ns - self._begin_ns), tuple(_reading(*one) for one in told)

    def stop(self) -> None:
        """Ends the thread; also where the window came to nothing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _poll(self) -> None:
        n_polls = 0
        try:
            while not self._stop.wait(self._poll_s):
                self._read()
                n_polls += 1
                if n_polls % _POLLS_PER_STATE == 0:
                    self._look()
        except OSError as error:
            self._failure = error

    def _read(self) -> None:
        for counter, readings in zip(self._counters, self._readings, strict=True):
            readings.append(counter.read_uj())

    def _look(self) -> None:
        for counter, states in zip(self._counters, self._states, strict=True):
            states.append(counter.state())


def _reading(
    counter: EnergyCounter, readings: Sequence[tuple[int, ...]], states: Sequence[State]
) -> EnergyReading:
    series = zip(*readings, strict=True)
    counts = [count(one, most) for one, most in zip(series, counter.ranges_uj, strict=True)]
    clocks = [state.clock_mhz for state in states if state.clock_mhz is not None]
    busy = [state.busy_share for state in states if state.busy_share is not None]
    throttles = [state.n_throttles for state in states if state.n_throttles is not None]
    reasons = dict.fromkeys(name for state in states for name in state.clock_reasons)
    energy_uj = sum(one.energy_uj for one in counts)
    return EnergyReading(
        energy_uj=min(energy_uj, MOST),
        n_updates=min(one.n_updates for one in counts),
        n_wraps=max(one.n_wraps for one in counts),
        # No machine takes so much within a window: the counter was set to something else.
        ran_backwards=energy_uj > MOST or any(one.ran_backwards for one in counts),
        n_throttles=max(0, throttles[-1] - throttles[0]) if throttles else None,
        clock_mhz=statistics.fmean(clocks) if clocks else None,
        clock_reasons=tuple(reasons),
        busy_share=statistics.median(busy) if busy else None,
    )
