"""What of one profile answers to what of the other."""

from __future__ import annotations

from collections.abc import Sequence

from .places import KERNEL, OP, Place
from .samples import Subject

Pair = tuple[Place | None, Place | None]


def matched(a: Subject, b: Subject) -> list[Pair]:
    """Every thing that took time in either, with what answers to it in the other, or None.

    Things match that are told alike (`Place`). Ops that are left over match where each side has
    exactly one of a phase, layer, block, part and operator: then their names differ alone.
    """
    pairs: list[Pair] = []
    of_a, of_b = _compared(a, b)
    for place in of_a:
        pairs.append((place, place if place in of_b else None))
    pairs += [(None, place) for place in of_b if place not in of_a]
    return _by_role(pairs)


def codes(a: Subject, b: Subject) -> dict[tuple[str, str], str | None]:
    """The code of each phase's kernel, where it is one and the same in both; else None."""
    found = _codes(a, b)
    return {key: next(iter(of)) if len(of) == 1 else None for key, of in found.items()}


def _codes(a: Subject, b: Subject) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for subject in (a, b):
        for place in subject.times:
            if place.what == KERNEL and place.impl is not None:
                found.setdefault((place.phase, place.name), set()).add(place.impl)
    return found


def _compared(a: Subject, b: Subject) -> tuple[dict[Place, None], dict[Place, None]]:
    """The places of both, without the codes of kernels that ran as the same one code in both."""
    found = _codes(a, b)

    def tells(place: Place) -> bool:
        return place.impl is None or len(found[place.phase, place.name]) > 1

    first, second = (dict.fromkeys(filter(tells, subject.times)) for subject in (a, b))
    return first, second


def _by_role(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs, with ops that only one side has matched by all but their names."""
    left: dict[Place, tuple[list[int], list[int]]] = {}
    for i, (first, second) in enumerate(pairs):
        alone = first or second
        if alone is not None and alone.what == OP and (first is None or second is None):
            role = alone._replace(name="")
            left.setdefault(role, ([], []))[0 if second is None else 1].append(i)
    made = list(pairs)
    dropped = set()
    for only_a, only_b in left.values():
        if len(only_a) == len(only_b) == 1:
            made[only_a[0]] = (pairs[only_a[0]][0], pairs[only_b[0]][1])
            dropped.add(only_b[0])
    return [pair for i, pair in enumerate(made) if i not in dropped]
