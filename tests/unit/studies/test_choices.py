"""The best types for all weights, against every combination of them."""

from __future__ import annotations

import itertools
import random

import pytest

from slmprof.studies.choices import Choice, Limits, Option, choices, within


def options_of(seed: int, n_weights: int) -> dict[str, list[Option]]:
    """Types of less and less bytes and time, and more and more nats."""
    chance = random.Random(seed)
    return {
        f"w{i}": [
            Option("f16", 1600, 16.0, 0.0),
            *(
                Option(name, bits * 100, bits * chance.uniform(0.5, 2), chance.uniform(0, 1) / bits)
                for name, bits in (("q8", 8), ("q5", 5), ("q4", 4))
            ),
        ]
        for i in range(n_weights)
    }


def every(options: dict[str, list[Option]]) -> list[Choice]:
    """All combinations."""
    found = []
    for picked in itertools.product(*options.values()):
        types = dict(zip(options, (one.type for one in picked), strict=True))
        sums = (sum(getattr(o, n) for o in picked) for n in ("size_bytes", "ms", "nats"))
        found.append(Choice(types, *sums))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_under_a_limit_the_choice_is_near_the_best_of_all(seed: int) -> None:
    options = options_of(seed, 6)
    limits = Limits(size_bytes=3600)
    found, *_ = within(choices(options), limits, 4)
    possible = [one for one in every(options) if one.size_bytes <= 3600]
    best = min(one.nats for one in possible)
    worst = max(one.nats for one in possible)
    assert found.size_bytes <= 3600 and best <= found.nats <= best + 0.15 * (worst - best)


def test_sums_are_those_of_the_types() -> None:
    options = options_of(1, 5)
    for found in choices(options):
        picked = [next(o for o in options[n] if o.type == t) for n, t in found.types.items()]
        assert found.size_bytes == sum(one.size_bytes for one in picked)
        assert found.nats == pytest.approx(sum(one.nats for one in picked))


def test_both_ends_are_there() -> None:
    found = choices(options_of(2, 8))
    assert any(set(one.types.values()) == {"f16"} for one in found)
    assert min(one.size_bytes for one in found) == 8 * 400


def test_the_smallest_comes_first_where_the_divergence_is_limited() -> None:
    found = choices(options_of(3, 8))
    smallest, *_ = within(found, Limits(nats=0.5), 4)
    assert smallest.nats <= 0.5
    assert all(one.size_bytes >= smallest.size_bytes for one in found if one.nats <= 0.5)


def test_without_limits_proposals_are_spread_over_the_front() -> None:
    found = within(choices(options_of(4, 8)), Limits(), 4)
    assert 2 <= len(found) <= 4
    nats = [one.nats for one in found]
    assert nats == sorted(nats) and len({tuple(one.types.items()) for one in found}) == len(found)


def test_what_nothing_meets_gives_nothing() -> None:
    assert within(choices(options_of(5, 4)), Limits(size_bytes=1), 4) == []


def test_a_weight_with_one_type_only_keeps_it() -> None:
    options = {"w": [Option("f32", 10, 1.0, 0.0)]}
    assert [one.types for one in choices(options)] == [{"w": "f32"}]
