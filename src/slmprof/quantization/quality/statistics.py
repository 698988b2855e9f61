"""Figures of many tokens, by the formulas of llama-perplexity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .records import Divergence, Estimate, Spread

Values = NDArray[np.float64]

_QUANTILES = {
    "max": 1.0, "p999": 0.999, "p99": 0.99, "p95": 0.95, "p90": 0.9, "p75": 0.75, "median": 0.5,
    "p25": 0.25, "p10": 0.1, "p05": 0.05, "p01": 0.01, "p001": 0.001, "min": 0.0,
}  # fmt: skip


def mean(values: Values) -> Estimate:
    """The mean, and its standard error: 0 of one value."""
    n = len(values)
    variance = float(values.var()) / (n - 1) if n > 1 else 0.0
    return Estimate(float(values.mean()), math.sqrt(variance))


def spread(values: Values) -> Spread:
    """The quantiles, linear between two values."""
    found = np.quantile(values, list(_QUANTILES.values()))
    return Spread(**dict(zip(_QUANTILES, found.tolist(), strict=True)))


def perplexity(nll: Values) -> Estimate:
    """e to the mean of negative log-likelihoods."""
    return exponential(mean(nll))


def exponential(of: Estimate) -> Estimate:
    """e to an estimate, with the error that follows to first order."""
    value = math.exp(min(of.value, 700.0))
    return Estimate(value, value * of.error)


def divergence(columns: Mapping[str, Any]) -> Divergence:
    """The figures of a model and its reference.

    Args:
        columns: a row for each token: `nll`, `reference_nll`, `kld`, `probability_change`,
            `same_top`.
    """
    nll, reference = (np.asarray(columns[name]) for name in ("nll", "reference_nll"))
    own, other = mean(nll), mean(reference)
    n = len(nll)
    covariance = float(np.mean((nll - own.value) * (reference - other.value))) / max(1, n - 1)
    ln_ratio = Estimate(own.value - other.value, _difference_error(own, other, covariance))
    ppl, reference_ppl = exponential(own), exponential(other)
    both = ppl.value * reference_ppl.value * covariance
    difference = Estimate(
        ppl.value - reference_ppl.value, _difference_error(ppl, reference_ppl, both)
    )
    product = own.error * other.error
    change = np.asarray(columns["probability_change"])
    squares = mean(change**2)
    rms = math.sqrt(squares.value)
    agreement = mean(np.asarray(columns["same_top"], np.float64))
    kld = np.asarray(columns["kld"])
    return Divergence(
        perplexity=reference_ppl,
        ln_ratio=ln_ratio,
        ratio=exponential(ln_ratio),
        difference=difference,
        correlation=covariance / product if product > 0 else None,
        kld=mean(kld),
        kld_spread=spread(kld),
        probability_change=mean(change),
        probability_change_spread=spread(change),
        probability_change_rms=Estimate(rms, squares.error / (2 * rms) if rms > 0 else 0.0),
        top1_agreement=agreement,
    )


def _difference_error(a: Estimate, b: Estimate, covariance: float) -> float:
    return math.sqrt(max(0.0, a.error**2 + b.error**2 - 2 * covariance))
