"""Statistics of raw samples."""

from __future__ import annotations

import numpy as np
import pytest

from slmprof.analysis.timing.statistics import (
    Samples,
    between_processes,
    median_interval,
    overhead,
    summarize,
)

of = Samples.of


def test_summary_of_known_samples() -> None:
    summary = summarize([1, 2, 3, 4, 10])
    assert summary is not None
    assert (summary.median, summary.mad, summary.mean) == (3.0, 1.0, 4.0)
    assert (summary.min, summary.max) == (1.0, 10.0)
    # Between the fourth and the fifth sample: 4 + 0.6 * 6, and 4 + 0.96 * 6.
    assert summary.p90 == pytest.approx(7.6)
    assert summary.p99 == pytest.approx(9.76)


def test_no_samples_have_no_summary() -> None:
    assert summarize([]) is None


def test_one_sample() -> None:
    summary = summarize([5])
    assert summary is not None
    assert (summary.median, summary.mad, summary.p99) == (5.0, 0.0, 5.0)


def test_overhead_of_equal_repeats_has_no_width() -> None:
    result = overhead(of([10, 10, 10], [0, 1, 2]), of([11, 11, 11], [0, 1, 2]))
    assert result is not None
    assert result.ratio == pytest.approx(1.1)
    assert result.ci95 == pytest.approx((1.1, 1.1))


def test_overhead_interval_holds_the_ratio_and_is_the_same_every_time() -> None:
    rng = np.random.default_rng(1)
    repeat = np.repeat(np.arange(6), 10)
    base, observed = rng.normal(100, 2, 60), rng.normal(101, 2, 60)
    first = overhead(of(base, repeat), of(observed, repeat))
    again = overhead(of(base, repeat), of(observed, repeat))
    assert first == again
    assert first is not None and first.ci95 is not None
    assert first.ci95[0] <= first.ratio <= first.ci95[1]


def test_overhead_resamples_whole_repeats() -> None:
    # Every repeat has the ratio 2, though repeats differ tenfold: the interval has no width.
    base, observed = [1, 1, 10, 10], [2, 2, 20, 20]
    result = overhead(of(base, [0, 0, 1, 1]), of(observed, [0, 0, 1, 1]))
    assert result is not None
    assert result.ci95 == pytest.approx((2.0, 2.0))


def test_one_repeat_gives_a_ratio_and_no_interval() -> None:
    result = overhead(of([10], [0]), of([12], [0]))
    assert result is not None
    assert (result.ratio, result.ci95) == (1.2, None)


@pytest.mark.parametrize(("base", "observed"), [([], [1]), ([1], []), ([0], [1])])
def test_no_overhead_without_samples(base: list[int], observed: list[int]) -> None:
    assert overhead(of(base, [0] * len(base)), of(observed, [0] * len(observed))) is None


def resampled(samples: Samples, n: int = 400) -> list[float]:
    """Medians of all samples of drawn repeats, one resample after the other."""
    rng = np.random.default_rng(5)
    processes = np.unique(samples.process)
    found = []
    for _ in range(n):
        values: list[float] = []
        for process in rng.choice(processes, len(processes)):
            repeats = np.unique(samples.repeat[samples.process == process])
            for repeat in rng.choice(repeats, len(repeats)):
                values += samples.values[samples.repeat == repeat].tolist()
        found.append(float(np.median(values)))
    return found


@pytest.mark.parametrize("n_processes", [1, 4])
def test_the_interval_is_that_of_plain_resampling(n_processes: int) -> None:
    rng = np.random.default_rng(2)
    process = np.repeat(np.arange(n_processes), 60)
    repeat = np.repeat(np.arange(6 * n_processes), 10)
    samples = of(rng.normal(100 + 3 * process, 2), repeat, process)
    expected = np.percentile(resampled(samples), [2.5, 97.5])
    assert median_interval(samples) == pytest.approx(expected, rel=0.01)
    assert median_interval(samples) == median_interval(samples)


def test_resamples_of_many_samples_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = of(np.arange(60.0), np.repeat(np.arange(6), 10))
    whole = median_interval(samples)
    monkeypatch.setattr("slmprof.analysis.timing.statistics._MOST_AT_ONCE", 600)
    assert median_interval(samples) == pytest.approx(whole, rel=0.1)


def test_processes_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(100, 0.1, 60) + np.repeat([0, 10, 20], 20)
    repeat, process = np.repeat(np.arange(6), 10), np.repeat(np.arange(3), 20)
    (low, high) = median_interval(of(values, repeat, process)) or (0.0, 0.0)
    assert low == pytest.approx(100, abs=1) and high == pytest.approx(120, abs=1)


def test_one_repeat_has_no_interval_and_one_process_no_spread() -> None:
    assert median_interval(of([1, 2, 3], [0, 0, 0])) is None
    assert between_processes(of([1, 2], [0, 1])) is None


def test_the_spread_between_processes_is_that_of_their_medians() -> None:
    found = between_processes(of([1, 2, 9, 4, 4, 4], [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]))
    assert found is not None
    assert (found.n, found.min_ms, found.max_ms) == (2, 2.0, 4.0)
    assert found.cv == pytest.approx(2**0.5 / 3)
