"""Which type each weight could have, what that costs, and the best choices for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Prices of a byte and of a millisecond in nats that are tried, from cheap to dear, and none.
_N_PRICES = 48
_DECADES = 8.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Option:
    """A type that a weight could have.

    Attributes:
        size_bytes: what the weight would take.
        ms: of a token, what its ops would take.
        nats: the divergence that it would bring about alone.
    """

    type: str
    size_bytes: int
    ms: float
    nats: float


@dataclass(frozen=True)
class Limits:
    """What a choice may take at most; None for any."""

    size_bytes: float | None = None
    ms: float | None = None
    nats: float | None = None

    def of_values(self) -> tuple[float | None, float | None, float | None]:
        return self.size_bytes, self.ms, self.nats


@dataclass(frozen=True)
class Choice:
    """A type for each weight.

    Attributes:
        types: by the name of the weight.
        size_bytes, ms, nats: sums over the weights.
    """

    types: Mapping[str, str]
    size_bytes: float
    ms: float
    nats: float


def choices(options: Mapping[str, Sequence[Option]]) -> list[Choice]:
    """The choices that are best for some price of a byte and of a millisecond, each once.

    For given prices the best type of each weight does not depend on the others', as small
    divergences add up. Choices inside the convex hull of the front are not found.

    Args:
        options: of each weight, at least one.
    """
    names = list(options)
    values = [_values(options[name]) for name in names]
    totals = np.array([np.ptp(of, axis=0) for of in values]).sum(axis=0)
    scales = [totals[2] / total if total > 0 else 0.0 for total in totals[:2]]
    steps = np.concatenate([[0.0], np.logspace(-_DECADES / 2, _DECADES / 2, _N_PRICES)])
    found: dict[tuple[int, ...], Choice] = {}
    for of_bytes in steps * scales[0]:
        for of_ms in steps * scales[1]:
            prices = np.array([of_bytes, of_ms, 1.0])
            picked = tuple(int(np.argmin(of @ prices)) for of in values)
            if picked not in found:
                sums = np.sum([of[i] for of, i in zip(values, picked, strict=True)], axis=0)
                types = {name: options[name][i].type for name, i in zip(names, picked, strict=True)}
                found[picked] = Choice(types, *map(float, sums))
    return list(found.values())


def _values(options: Sequence[Option]) -> Floats:
    return np.array([[one.size_bytes, one.ms, one.nats] for one in options], np.float64)


def within(found: Sequence[Choice], limits: Limits, most: int) -> list[Choice]:
    """The best choices under limits, the one with the least divergence first, and others spread
    over what remains of the front.

    Where the divergence is limited the smallest one comes first, or the fastest where bytes are
    limited, too.

    Args:
        most: how many.
    """
    kept = [
        one
        for one in found
        if all(
            limit is None or value <= limit
            for value, limit in zip((one.size_bytes, one.ms, one.nats), limits.of_values(),
                                    strict=True)
        )
    ]  # fmt: skip
    kept = _front(kept)
    kept.sort(key=lambda one: _rank(one, limits))
    if not kept:
        return []
    at = np.unique(np.linspace(0, len(kept) - 1, most).round().astype(int))
    return [kept[i] for i in at]


def _rank(one: Choice, limits: Limits) -> tuple[float, float]:
    if limits.nats is None:
        return one.nats, one.size_bytes
    return (one.ms, one.nats) if limits.size_bytes is not None else (one.size_bytes, one.nats)


def _front(found: Sequence[Choice]) -> list[Choice]:
    from .figures import front

    return [found[i] for i in front([(one.size_bytes, one.ms, one.nats) for one in found])]


def scaled(found: Choice, **by: Any) -> Choice:
    """A choice with its sums multiplied by what measurements say of them."""
    values = {name: getattr(found, name) * factor for name, factor in by.items()}
    return Choice(**{**vars(found), **values})
