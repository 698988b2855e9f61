"""Statistics of raw samples."""

from __future__ import annotations

import numpy as np
import pytest

from slmprof.analysis.timing.statistics import overhead, summarize


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
    result = overhead([10, 10, 10], [0, 1, 2], [11, 11, 11], [0, 1, 2])
    assert result is not None
    assert result.ratio == pytest.approx(1.1)
    assert result.ci95 == pytest.approx((1.1, 1.1))


def test_overhead_interval_holds_the_ratio_and_is_the_same_every_time() -> None:
    rng = np.random.default_rng(1)
    repeat = np.repeat(np.arange(6), 10)
    base, observed = rng.normal(100, 2, 60), rng.normal(101, 2, 60)
    first = overhead(base, repeat, observed, repeat)
    again = overhead(base, repeat, observed, repeat)
    assert first == again
    assert first is not None and first.ci95 is not None
    assert first.ci95[0] <= first.ratio <= first.ci95[1]


def test_overhead_resamples_whole_repeats() -> None:
    # Every repeat has the ratio 2, though repeats differ tenfold: the interval has no width.
    base, observed = [1, 1, 10, 10], [2, 2, 20, 20]
    result = overhead(base, [0, 0, 1, 1], observed, [0, 0, 1, 1])
    assert result is not None
    assert result.ci95 == pytest.approx((2.0, 2.0))


def test_one_repeat_gives_a_ratio_and_no_interval() -> None:
    result = overhead([10], [0], [12], [0])
    assert result is not None
    assert (result.ratio, result.ci95) == (1.2, None)


@pytest.mark.parametrize(("base", "observed"), [([], [1]), ([1], []), ([0], [1])])
def test_no_overhead_without_samples(base: list[int], observed: list[int]) -> None:
    assert overhead(base, [0] * len(base), observed, [0] * len(observed)) is None
