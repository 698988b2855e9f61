"""A dossier weight by weight: what fell back and what that costs, which weights gain and lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..profiles.records.fallbacks import Fallbacks
from ..quantization.quality.records import Quality
from ..quantization.records import QuantizationPlan, role_of
from ..views import Profile
from .members import decode_times, weight_table


@dataclass(frozen=True)
class FallbackCost:
    """What it costs that weights did not get the type that was asked for.

    Attributes:
        fallbacks: the weights.
        extra_bytes: that they take; less than none where they got the smaller type.
        extra_ms: of a token, by their measured time and what share of their bytes is extra; None
            where no time was measured.
    """

    fallbacks: Fallbacks
    extra_bytes: int
    extra_ms: float | None


def fallback_cost(plan: QuantizationPlan, profile: Profile | None) -> FallbackCost | None:
    """None where hardly anything fell back."""
    found = plan.fallbacks
    if found is None:
        return None
    extra_ms = None
    if profile is not None:
        times = decode_times(profile)
        extra_ms = sum(
            times.get(one.tensor, 0.0) * (1 - one.asked_bytes / one.size_bytes)
            for one in plan.tensors
            if one.fell_back and one.size_bytes
        )
    return FallbackCost(found, found.size_bytes - found.asked_bytes, extra_ms)


@dataclass(frozen=True)
class RoleTime:
    """What the weights of one role take of a token.

    Attributes:
        gbps: their bytes over their time; None where the bytes are not known.
    """

    ms: float
    gbps: float | None


def role_times(profile: Profile) -> dict[str, RoleTime]:
    """By role, the costliest first."""
    table = weight_table(profile)
    table = table[table["decode_ms"] > 0]
    table = table.assign(
        role=table["tensor"].map(role_of), moved=table["decode_gbps"] * table["decode_ms"]
    )
    sums = table.groupby("role")[["decode_ms", "moved"]].sum(min_count=1)
    return {
        str(role): RoleTime(float(row["decode_ms"]), _rate(row["moved"], row["decode_ms"]))
        for role, row in sums.sort_values("decode_ms", ascending=False).iterrows()
    }


def _rate(moved: Any, ms: Any) -> float | None:
    return None if pd.isna(moved) else float(moved) / float(ms)


@dataclass(frozen=True)
class WeightChange:
    """A weight in two models of one reference.

    Attributes:
        role: its name without its layer.
        type, other_type: in the one, and in the other.
        size_bytes, other_bytes: what it takes.
        snr_db, other_snr_db: signal-to-noise ratios; None where it is as in the reference.
    """

    tensor: str
    role: str
    type: str
    other_type: str
    size_bytes: int
    other_bytes: int
    snr_db: float | None
    other_snr_db: float | None

    @property
    def gain_db(self) -> float | None:
        """How much better it is in the one; None where one of them is the reference's."""
        if self.snr_db is None or self.other_snr_db is None:
            return None
        return self.snr_db - self.other_snr_db


def weight_changes(
    own: tuple[QuantizationPlan, Quality], other: tuple[QuantizationPlan, Quality]
) -> list[WeightChange]:
    """The weights that differ between two models, in the order of the plan."""
    ratios = [{one.tensor: one.snr_db for one in quality.tensors} for _, quality in (own, other)]
    others = {one.tensor: one for one in other[0].tensors}
    return [
        WeightChange(
            tensor=one.tensor,
            role=one.role,
            type=one.type,
            other_type=others[one.tensor].type,
            size_bytes=one.size_bytes,
            other_bytes=others[one.tensor].size_bytes,
            snr_db=ratios[0].get(one.tensor),
            other_snr_db=ratios[1].get(one.tensor),
        )
        for one in own[0].tensors
        if one.tensor in others and one.type != others[one.tensor].type
    ]


@dataclass(frozen=True)
class RoleChange:
    """Weights of one role and of the same two types, together.

    Attributes:
        role: the weight's name without its layer.
        extra_bytes: what they take more in the one than in the other.
        gain_db: the mean of their gains; None where none is known.
    """

    role: str
    type: str
    other_type: str
    n_weights: int
    extra_bytes: int
    gain_db: float | None


def role_changes(changes: Sequence[WeightChange]) -> list[RoleChange]:
    """By role, the largest gain first."""
    groups: dict[tuple[str, str, str], list[WeightChange]] = {}
    for one in changes:
        groups.setdefault((one.role, one.type, one.other_type), []).append(one)
    made = []
    for (role, type_, other), own in groups.items():
        gains = [one.gain_db for one in own if one.gain_db is not None]
        made.append(
            RoleChange(
                role, type_, other, len(own),
                sum(one.size_bytes - one.other_bytes for one in own),
                sum(gains) / len(gains) if gains else None,
            )
        )  # fmt: skip
    return sorted(made, key=lambda one: -(one.gain_db or 0.0))
