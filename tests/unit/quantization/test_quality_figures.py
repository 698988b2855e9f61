"""Figures of quality: means and their errors, quantiles, layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from slmprof.quantization.quality.layers import LayerSums
from slmprof.quantization.quality.records import Estimate
from slmprof.quantization.quality.statistics import (
    divergence,
    exponential,
    mean,
    perplexity,
    spread,
)

RNG = np.random.default_rng(3)


def test_a_mean_has_the_error_of_independent_values() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    assert mean(values) == Estimate(3.0, math.sqrt(2.5 / 3))
    assert mean(np.array([7.0])) == Estimate(7.0, 0.0)
    assert perplexity(np.array([math.log(8)] * 5)).value == pytest.approx(8)
    assert exponential(Estimate(1000.0, 1.0)).value < math.inf


def test_quantiles_lie_between_values() -> None:
    found = spread(np.arange(101, dtype=np.float64))
    assert (found.max, found.p99, found.p90, found.median, found.p05, found.min) == (
        100, 99, 90, 50, 5, 0
    )  # fmt: skip
    assert found.p999 == pytest.approx(99.9)


def test_errors_count_what_two_models_have_in_common() -> None:
    reference = RNG.uniform(0, 5, 400)
    nll = reference + RNG.normal(0.1, 0.01, 400)
    found = divergence(
        {
            "nll": nll,
            "reference_nll": reference,
            "kld": np.full(400, 0.25),
            "probability_change": np.array([0.1, -0.3] * 200),
            "same_top": np.array([1, 1, 1, 0] * 100, np.uint8),
        }
    )
    assert found.ln_ratio.value == pytest.approx(np.mean(nll - reference))
    error = np.std(nll - reference) / math.sqrt(399)
    assert found.ln_ratio.error == pytest.approx(error, rel=1e-6)
    assert found.ratio.value == pytest.approx(math.exp(found.ln_ratio.value))
    assert found.correlation == pytest.approx(np.corrcoef(nll, reference)[0, 1])
    assert found.kld == Estimate(0.25, 0.0)
    assert found.probability_change.value == pytest.approx(-0.1)
    assert found.probability_change_rms.value == pytest.approx(math.sqrt(0.05))
    assert found.top1_agreement.value == 0.75
    assert found.top1_agreement.error == pytest.approx(math.sqrt(0.75 * 0.25 / 399))
    both = exponential(mean(nll)).value - found.perplexity.value
    assert found.difference.value == pytest.approx(both)


def test_a_model_without_spread_has_no_correlation() -> None:
    same = np.ones(5)
    columns = {"nll": same, "reference_nll": same, "kld": same * 0, "probability_change": same * 0,
               "same_top": np.ones(5, np.uint8)}  # fmt: skip
    found = divergence(columns)
    assert found.correlation is None
    assert found.probability_change_rms == Estimate(0.0, 0.0)


def test_layers_deviate_by_their_lengths() -> None:
    sums = LayerSums()
    reference = np.array([[3.0, 4.0]], np.float32)
    sums.add({0: reference * 1.1, 1: reference * 0}, {0: reference, 1: reference * 0})
    sums.add({0: reference}, {0: reference})
    first, second = sums.deviations()
    assert first.relative_error == pytest.approx(0.1 / math.sqrt(2), rel=1e-6)
    assert first.cosine == pytest.approx(2.1 / math.sqrt((1.21 + 1) * 2), rel=1e-6)
    assert (second.layer, second.relative_error, second.cosine) == (1, None, None)
    assert sums.n_tokens == 2
