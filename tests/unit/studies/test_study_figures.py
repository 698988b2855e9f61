"""What lies between two models, and which models no other one beats."""

from __future__ import annotations

import math

import pytest

from slmprof.studies.figures import Figures, front, interpolated, nearest


def figures(name: str, bits: float, kld: float | None, ms: float | None = 1.0) -> Figures:
    size = int(bits * 1000)
    return Figures(name, "neighbour", size, bits, 3.0, 0.1, kld, None, None, None, ms)


def test_between_two_types_the_logarithm_of_the_divergence_is_linear_in_the_bits() -> None:
    others = [figures("Q8_0", 8.5, 1e-4, 3.0), figures("Q4_0", 4.5, 1e-2, 1.0)]
    found = interpolated(figures("mine", 6.5, 5e-3), others)
    assert found is not None and (found.low, found.high) == ("Q4_0", "Q8_0")
    assert found.kld == pytest.approx(1e-3) and found.decode_ms == pytest.approx(2.0)


def test_of_three_the_two_next_to_it_are_taken() -> None:
    others = [figures("a", 8, 1e-4), figures("b", 2, 1.0), figures("c", 4, 1e-2)]
    found = interpolated(figures("mine", 3, 0.5), others)
    assert found is not None and (found.low, found.high) == ("b", "c")
    assert found.kld == pytest.approx(math.sqrt(1e-2))


@pytest.mark.parametrize("bits", [1.9, 8.1])
def test_nothing_is_extrapolated(bits: float) -> None:
    others = [figures("a", 8, 1e-4), figures("b", 2, 1.0)]
    assert interpolated(figures("mine", bits, 0.1), others) is None


def test_a_type_without_a_divergence_or_time_is_no_end() -> None:
    others = [figures("a", 8, None), figures("b", 2, 1.0)]
    assert interpolated(figures("mine", 4, 0.1), others) is None
    others = [figures("a", 8, 1e-4, None), figures("b", 2, 1.0)]
    found = interpolated(figures("mine", 4, 0.1), others)
    assert found is not None and found.decode_ms is None


def test_two_types_of_the_same_bits_divide_by_nothing() -> None:
    found = interpolated(figures("mine", 4, 0.1), [figures("a", 4, 0.2), figures("b", 4, 0.3)])
    assert found is not None and found.kld == pytest.approx(0.2)


def test_the_front_has_what_nothing_beats() -> None:
    assert front([(1, 3), (2, 2), (3, 1), (2, 3), (3, 3)]) == [0, 1, 2]
    assert front([(1, 1), (1, 1)]) == [0, 1]
    assert front([]) == []


def test_the_nearest_neighbour_is_by_bits() -> None:
    others = [figures("a", 8, 1e-4), figures("b", 2, 1.0)]
    assert nearest(figures("mine", 4.9, 0.1), others) is others[1]
    assert nearest(figures("mine", 4.9, 0.1), []) is None
