"""Size, quality and time of a model in one row, and what lies between two rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..profiles.records.decoding import Record
from ..quantization.modelled import ModelledDecode
from ..quantization.quality.records import Quality
from ..quantization.records import QuantizationPlan
from ..views import Profile

COLUMNS: dict[str, str] = {
    "name": "string", "role": "string", "size_bytes": "int64", "bits_per_weight": "float64",
    "perplexity": "float64", "perplexity_error": "float64", "kld": "float64",
    "kld_error": "float64", "top1_agreement": "float64", "prefill_ms": "float64",
    "decode_ms": "float64", "is_modelled": "boolean",
}  # fmt: skip


class Figures(Record, frozen=True):
    """What a model takes and gives.

    Attributes:
        size_bytes: of its weights; of a scheme without kernels what its blocks would take.
        kld: in nats, from the reference; None of that itself.
        prefill_ms: of the whole prompt. decode_ms: of a token; the least that is possible where
            `is_modelled`, by its bytes. None where it is not known.
    """

    name: str
    role: str
    size_bytes: int
    bits_per_weight: float
    perplexity: float
    perplexity_error: float
    kld: float | None
    kld_error: float | None
    top1_agreement: float | None
    prefill_ms: float | None
    decode_ms: float | None
    is_modelled: bool = False


def figures_of(
    name: str,
    role: str,
    plan: QuantizationPlan | None,
    quality: Quality,
    profile: Profile | None,
    modelled: ModelledDecode | None,
) -> Figures:
    """The row of a model.

    Args:
        plan: None where the model is one that was there.
    """
    found = quality.divergence
    latencies: dict[str, float | None] = {}
    if profile is not None:
        for phase in profile.phase_summaries:
            latencies[phase.phase] = phase.latency_ms.median if phase.latency_ms else None
    size, bits = quality.model.size_bytes, quality.model.bits_per_weight
    if plan is not None:
        size, bits = plan.size_bytes, plan.bits_per_weight or bits
    return Figures(
        name=name,
        role=role,
        size_bytes=size,
        bits_per_weight=bits,
        perplexity=quality.perplexity.value,
        perplexity_error=quality.perplexity.error,
        kld=found.kld.value if found is not None else None,
        kld_error=found.kld.error if found is not None else None,
        top1_agreement=found.top1_agreement.value if found is not None else None,
        prefill_ms=latencies.get("prefill"),
        decode_ms=modelled.ms if modelled is not None else latencies.get("decode"),
        is_modelled=modelled is not None,
    )


class Interpolated(Record, frozen=True):
    """What the neighbours would have at the subject's bits per weight.

    Attributes:
        low, high: the names of the two between which it lies.
    """

    low: str
    high: str
    kld: float
    decode_ms: float | None


def interpolated(subject: Figures, neighbours: Iterable[Figures]) -> Interpolated | None:
    """Between the two neighbours that are next to the subject in bits per weight.

    The logarithm of the divergence, and the time, are taken for linear in the bits. None where the
    subject lies beyond all of them: nothing is extrapolated.
    """
    known = sorted(
        (one for one in neighbours if one.kld is not None and one.kld > 0),
        key=lambda one: one.bits_per_weight,
    )
    at = subject.bits_per_weight
    for low, high in itertools.pairwise(known):
        if not low.bits_per_weight <= at <= high.bits_per_weight:
            continue
        width = high.bits_per_weight - low.bits_per_weight
        part = (at - low.bits_per_weight) / width if width > 0 else 0.0
        assert low.kld and high.kld
        kld = math.exp((1 - part) * math.log(low.kld) + part * math.log(high.kld))
        ms = None
        if low.decode_ms is not None and high.decode_ms is not None:
            ms = (1 - part) * low.decode_ms + part * high.decode_ms
        return Interpolated(low.name, high.name, kld, ms)
    return None


def front(points: Sequence[Sequence[float]]) -> list[int]:
    """Which points no other one is as good as in every respect, and better in one; less is better.

    Args:
        points: each with as many values as the others.
    """
    if not points:
        return []
    values = np.asarray(points, np.float64)
    return [
        at
        for at, own in enumerate(values)
        if not ((values <= own).all(axis=1) & (values < own).any(axis=1)).any()
    ]


def nearest(subject: Figures, neighbours: Sequence[Figures]) -> Figures | None:
    """The neighbour whose bits per weight are nearest."""

    def distance(one: Figures) -> float:
        return abs(one.bits_per_weight - subject.bits_per_weight)

    return min(neighbours, key=distance, default=None)
