"""Ranks: who is certainly faster, and who cannot be told apart."""

from __future__ import annotations

from builders import DECODE, PREFILL, example_profile

from slmprof.analysis.comparison.ranking import Rank, is_of_few_processes, ranking
from slmprof.analysis.timing.samples import LatencySamples, latency_samples


def around(ms: float, n_processes: int = 6, spread: float = 0.002) -> LatencySamples:
    values = tuple(ms * (1 + spread * (-1) ** i) for i in range(max(n_processes, 5)))
    return LatencySamples(values, n_processes)


def test_what_is_certainly_faster_has_the_better_rank() -> None:
    found = ranking({"slow": around(20.0), "fast": around(10.0), "middle": around(14.0)})
    assert found == {"fast": Rank(1, 1), "middle": Rank(2, 2), "slow": Rank(3, 3)}


def test_what_cannot_be_told_apart_shares_its_ranks() -> None:
    # 1 % is within the margin of runs that were not interleaved, however narrow the intervals.
    found = ranking({"a": around(10.0), "b": around(10.1), "c": around(15.0)})
    assert found == {"a": Rank(1, 2), "b": Rank(1, 2), "c": Rank(3, 3)}


def test_noise_hides_a_difference() -> None:
    found = ranking({"a": around(10.0, spread=0.3), "b": around(12.0, spread=0.3)})
    assert found == {"a": Rank(1, 2), "b": Rank(1, 2)}


def test_one_process_must_be_further_apart() -> None:
    many = ranking({"a": around(10.0), "b": around(10.6)})
    assert many["a"] == Rank(1, 1)
    one = {"a": around(10.0, 1), "b": around(10.6, 1)}
    assert all(is_of_few_processes(samples) for samples in one.values())
    assert ranking(one)["a"] == Rank(1, 2)
    assert ranking({"a": around(10.0, 1), "b": around(13.0, 1)})["a"] == Rank(1, 1)


def test_a_single_sample_or_none_tells_nothing() -> None:
    single = LatencySamples((1.0,), 1)
    assert ranking({"a": single, "b": around(100.0)}) == {"a": Rank(1, 2), "b": Rank(1, 2)}
    assert ranking({"a": LatencySamples((), 0), "b": single}) == {"b": Rank(1, 1)}
    assert ranking({}) == {}


def test_samples_are_medians_of_repeats_or_processes_per_token() -> None:
    profile = example_profile()
    assert latency_samples(profile, DECODE) == LatencySamples((15.0, 15.0), 1)
    assert latency_samples(profile, PREFILL) == LatencySamples((25 / 16, 27 / 16), 1)
    from dataclasses import replace

    empty = replace(profile, steps=profile.steps.take(profile.steps.phase > 9))
    assert latency_samples(empty, DECODE) == LatencySamples((), 0)
