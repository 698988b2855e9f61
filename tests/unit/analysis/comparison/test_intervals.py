"""Intervals over processes, and the verdicts that they allow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from slmprof.analysis.comparison.intervals import (
    SAME,
    UNCLEAR,
    Floats,
    as_change,
    log_ratio,
    mean,
    size_verdict,
    time_verdict,
)
from slmprof.analysis.timing.student import critical_value, two_sided_tail

Noise = Callable[[np.random.Generator, int], Floats]


@pytest.mark.parametrize(
    ("alpha", "df", "t"),
    [
        (0.05, 1, 12.7062),
        (0.05, 2, 4.3027),
        (0.05, 4, 2.7764),
        (0.05, 9, 2.2622),
        (0.01, 120, 2.6174),
        (0.001, 9, 4.7809),
        (0.001, 4, 8.6103),
    ],
)
def test_quantiles_of_student_are_those_of_the_tables(alpha: float, df: int, t: float) -> None:
    assert critical_value(alpha, df) == pytest.approx(t, abs=1e-4)
    assert two_sided_tail(t, df) == pytest.approx(alpha, rel=1e-3)


def test_paired_processes_cancel_what_slowed_a_round_down() -> None:
    rounds = np.array([1.0, 2.0, 1.5, 4.0, 1.2, 1.1])
    quirks = np.array([1.0, 1.01, 0.99, 1.0, 1.02, 0.98])
    paired = log_ratio(10 * rounds, 11 * rounds * quirks, is_paired=True)
    apart = log_ratio(10 * rounds, 11 * rounds * quirks, is_paired=False)
    assert paired is not None and apart is not None
    assert math.exp(paired.mean) == pytest.approx(1.1, rel=1e-3)
    assert paired.mean == pytest.approx(apart.mean)
    assert paired.error < 0.05 * apart.error and paired.df == 5


def test_the_interval_is_that_of_student() -> None:
    differences = np.array([0.1, 0.2, 0.3, 0.2, 0.2])
    found = log_ratio(np.ones(5), np.exp(differences), is_paired=True)
    assert found is not None
    half = 2.7764 * np.std(differences, ddof=1) / math.sqrt(5)
    assert found.interval(0.05) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-4)


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 0.0], [1.0, 2.0]), ([], [])])
def test_too_few_processes_or_no_time_give_no_estimate(a: list[float], b: list[float]) -> None:
    assert log_ratio(a, b, is_paired=True) is None


def test_a_missing_process_gives_no_estimate() -> None:
    values = [1.0, math.nan, 2.0]
    assert log_ratio(values, [1.0, 1.0, 1.0], is_paired=False) is None
    assert mean(values) is None and mean([1.0, 3.0]) is not None


def test_processes_do_not_agree_better_than_their_steps() -> None:
    found = log_ratio(np.full(6, 10.0), np.full(6, 11.0), is_paired=True, least_error=0.02)
    assert found is not None and found.error == 0.02


@pytest.mark.parametrize(
    ("interval", "is_interleaved", "verdict"),
    [
        ((-0.02, 0.02), True, "same"),
        ((0.01, 0.02), True, "same"),
        ((0.01, 0.04), True, "slower"),
        ((0.01, 0.04), False, "unclear"),
        ((0.031, 0.05), False, "slower"),
        ((-0.2, -0.01), True, "faster"),
        ((-0.2, -0.01), False, "unclear"),
        ((-0.2, -0.05), False, "faster"),
        ((-0.01, 0.2), True, "unclear"),
        ((-0.5, 0.5), False, "unclear"),
    ],
)
def test_verdicts_of_times(
    interval: tuple[float, float], is_interleaved: bool, verdict: str
) -> None:
    assert time_verdict(interval, 0.03, is_interleaved=is_interleaved) == verdict


def test_without_a_margin_nothing_is_the_same() -> None:
    assert time_verdict((-0.001, 0.001), 0.0, is_interleaved=True) == UNCLEAR


def test_verdicts_of_sizes_are_exact() -> None:
    assert [size_verdict(100, b) for b in (99, 100, 101)] == ["smaller", "same", "larger"]
    assert size_verdict(100, 101, slack=1) == SAME


def _disturbed(rng: np.random.Generator, n: int) -> Floats:
    """Processes of two speeds, one in five of them beside something else, with heavy tails."""
    busy = 0.6 * (rng.random(n) < 0.2) * rng.random(n)
    return 0.03 * rng.integers(0, 2, n) + busy + 0.01 * rng.standard_t(3, n)


@pytest.mark.parametrize(
    ("noise", "n"),
    [
        (lambda rng, n: rng.normal(0, 0.02, n), 10),
        (lambda rng, n: rng.normal(0, 0.02, n), 5),
        (lambda rng, n: 0.05 * rng.standard_t(1.5, n), 10),
        (lambda rng, n: rng.exponential(0.3, n), 10),
        (_disturbed, 10),
        (_disturbed, 5),
    ],
)
def test_the_same_thing_twice_is_called_different_no_oftener_than_promised(
    noise: Noise, n: int
) -> None:
    rng = np.random.default_rng(5)
    alpha, n_trials = 0.002, 3000
    wrong = 0
    for _ in range(n_trials):
        found = log_ratio(np.exp(noise(rng, n)), np.exp(noise(rng, n)), is_paired=True)
        assert found is not None
        changed = as_change(found.interval(alpha))
        wrong += time_verdict(changed, 0.03, is_interleaved=True) not in (SAME, UNCLEAR)
    # Six are expected of intervals that are exact; more than 14 would be one chance in 500.
    assert wrong <= 14


@pytest.mark.parametrize("n_slow", [0, 1])
def test_five_percent_are_found_with_sixteen_processes_of_one_percent(n_slow: int) -> None:
    """Also where one of them was slow for a reason of its own."""
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(200):
        base, slowed = rng.normal(0, 0.01, 16), rng.normal(0.0488, 0.01, 16)
        base[:n_slow] += 0.3
        estimate = log_ratio(np.exp(base), np.exp(slowed), is_paired=True)
        assert estimate is not None
        # The level of one of ten blocks.
        changed = as_change(estimate.interval(0.002 / 5 / 10))
        found += time_verdict(changed, 0.03, is_interleaved=True) == "slower"
    assert found >= 190


def test_of_a_pair_the_median_ratio_of_its_repeats_counts() -> None:
    rng = np.random.default_rng(7)
    weather = np.exp(rng.normal(0, 0.5, (12, 5)))  # what the machine did in a turn, to both
    a, b = 10 * weather, 11 * weather
    a[:, 2] *= 3  # and what it did to one of them
    found = log_ratio(a, b, is_paired=True)
    assert found is not None and found.mean == pytest.approx(np.log(1.1))
    assert found.error == pytest.approx(0, abs=1e-12)
    apart = log_ratio(a, b, is_paired=False)
    assert apart is not None and apart.error > 0.05


def test_repeats_that_are_missing_are_left_out() -> None:
    a, b = np.full((6, 3), 10.0), np.full((6, 3), 12.0)
    a[0, 0] = b[1, 2] = np.nan
    found = log_ratio(a, b, is_paired=True)
    assert found is not None and found.mean == pytest.approx(np.log(1.2))
    # Other numbers of repeats have no turns in common.
    fewer = log_ratio(a, b[:, :2], is_paired=True)
    assert fewer is not None and fewer.mean == pytest.approx(np.log(1.2))
    a[3] = np.nan
    assert log_ratio(a, b, is_paired=True) is None
    b[:, 1:], a[3] = np.nan, [np.nan, 10.0, 10.0]  # no repeat of it is in both
    assert log_ratio(a, b, is_paired=True) is None


@pytest.mark.parametrize(("n", "n_out"), [(5, 0), (9, 0), (10, 1), (16, 2), (20, 2), (24, 3)])
def test_means_are_trimmed_at_either_end(n: int, n_out: int) -> None:
    values = np.arange(n, dtype=float)
    found = mean(values)
    assert found is not None and (found.mean, found.df) == ((n - 1) / 2, n - 2 * n_out - 1)
    values[n - n_out :] += 1e6
    assert mean(values) == found
    values[n - n_out - 1] += 1e6
    changed = mean(values)
    assert changed is not None and changed.mean > 1e4
