"""Medians of stretches, and what stands for very many samples."""

from __future__ import annotations

import numpy as np
import pytest

from slmprof.analysis.timing import medians, statistics
from slmprof.analysis.timing.medians import medians_between
from slmprof.analysis.timing.statistics import Samples, median_interval, overhead


@pytest.mark.parametrize("at_once", [1, 7, 1 << 22])
def test_medians_are_those_of_a_loop(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medians, "_MOST_AT_ONCE", at_once)
    rng = np.random.default_rng(0)
    values = rng.random(200)
    begin = rng.integers(0, 190, 50)
    end = begin + rng.integers(1, 10, 50)
    expected = [float(np.median(values[a:b])) for a, b in zip(begin, end, strict=True)]
    assert medians_between(values, begin, end).tolist() == expected


def test_no_stretch() -> None:
    nothing = np.array([], np.int64)
    assert medians_between(np.array([1.0]), nothing, nothing).tolist() == []


def drawn(n: int, n_repeats: int, n_processes: int = 1) -> Samples:
    rng = np.random.default_rng(1)
    repeat = np.arange(n) % n_repeats
    values = rng.normal(10, 1, n) + rng.normal(0, 0.2, n_repeats)[repeat]
    return Samples.of(values, repeat, repeat * n_processes // n_repeats)


def test_fewer_samples_stand_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = drawn(4000, 10)
    assert samples.thinned() is samples
    exact = median_interval(samples)
    monkeypatch.setattr(statistics, "_MOST_SAMPLES", 1000)
    thin = samples.thinned()
    assert len(thin.values) == 1000 and len(thin.repeats()) == 10
    assert np.median(thin.values) == pytest.approx(np.median(samples.values), rel=1e-3)
    assert median_interval(samples) == pytest.approx(exact, rel=1e-2)
    monkeypatch.setattr(statistics, "_MOST_DRAWN", 1)
    assert median_interval(samples) == pytest.approx(exact, rel=2e-2)


def test_many_processes_are_drawn_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    timing, observed = drawn(800, 40, 8), drawn(800, 40, 8)
    one_by_one = median_interval(timing), overhead(timing, observed)
    monkeypatch.setattr(statistics, "_FEW_PROCESSES", 1)
    at_once = median_interval(timing), overhead(timing, observed)
    assert at_once[0] == pytest.approx(one_by_one[0], rel=5e-3)
    assert at_once[1] is not None and one_by_one[1] is not None
    assert at_once[1].ratio == one_by_one[1].ratio
    assert at_once[1].ci95 == pytest.approx(one_by_one[1].ci95, rel=5e-3)
    counts = next(statistics._draws(timing.repeats(), 800, 100, 0))
    assert counts.shape == (100, 40) and set(counts.sum(axis=1).tolist()) == {40}
