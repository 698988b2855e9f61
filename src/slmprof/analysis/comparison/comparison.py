"""Profiles compared with the first of them: rows, verdicts, and what differs in how they ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ...errors import UsageError
from ...profiles.records.decoding import finite
from ..tables.derived import Derived
from ..tables.typed import typed_table
from .conditions import FAILED, UNDECIDED, Condition, Outcome, check
from .intervals import DEFAULT_MARGIN, TOTAL_ALPHA
from .matching import matched
from .memory import memory_rows
from .places import TIMES
from .rows import Row, count_times, row_record, time_rows
from .samples import Subject, are_interleaved, summarize_subject
from .sentence import verdicts
from .setup import Difference, Obstacle, differences, obstacles

SCHEMA_VERSION = 1
# Those of published tables; intervals are tuples.
_DTYPES = {
    "a_name": "string", "b_name": "string", "what": "string", "name": "string", "phase": "string",
    "a": "Float64", "b": "Float64", "unit": "string", "difference": "Float64",
    "relative": "Float64", "ci95": "object", "verdict": "string", "relative_ci95": "object",
    "corrected_ci": "object", "relative_corrected_ci": "object", "impl": "string",
    "layer": "Int64", "block": "string", "part": "string", "op": "string", "device": "string",
    "buffer_type": "string", "is_of_code": "boolean", "note": "string",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pairing:
    """One profile compared with the baseline.

    Attributes:
        b: the profile.
        rows: latencies, blocks, kernels, layers, ops and memory, each largest first.
        is_interleaved: whether its processes and the baseline's ran in turns.
        differences: what differs in machine, build, model and settings.
        obstacles: why some or all times have no verdict.
        verdicts: what to know first, a clause for each phase and each obstacle.
        outcomes: what became of the conditions.
    """

    b: Subject
    rows: tuple[Row, ...]
    is_interleaved: bool
    differences: tuple[Difference, ...]
    obstacles: tuple[Obstacle, ...]
    verdicts: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> str:
        """What to know first, as one sentence."""
        return "; ".join(self.verdicts)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two profiles or more, the first of which is the baseline.

    Attributes:
        a: the baseline.
        pairings: each other one compared with it.
        margin: the relative difference up to which times count as the same.
    """

    a: Subject
    pairings: tuple[Pairing, ...]
    margin: float

    @property
    def verdict(self) -> str:
        """One sentence for each of the others, one a line."""
        return "\n".join(pairing.verdict for pairing in self.pairings)

    @property
    def differences_in_setup(self) -> list[dict[str, Any]]:
        """What differs between the baseline and the first of the others: keys part, what, a, b."""
        return [asdict(one) for one in self.pairings[0].differences]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of the conditions, of all pairs."""
        return tuple(outcome for pairing in self.pairings for outcome in pairing.outcomes)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The conditions that are surely met, each with a row that meets it."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == FAILED)

    @property
    def undecided(self) -> tuple[Outcome, ...]:
        """The conditions that may be met or not."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == UNDECIDED)

    def rows(self) -> pd.DataFrame:
        """One row for each thing compared, in the columns of `_DTYPES`: those of `row_record`.

        Times are milliseconds of a step, sizes bytes; intervals are tuples of low and high end.
        """
        made = [
            {"a_name": self.a.name, "b_name": pairing.b.name, **row_record(row)}
            for pairing in self.pairings
            for row in pairing.rows
        ]
        return typed_table(made, _DTYPES)

    def to_json(self) -> dict[str, Any]:
        """As `compare --format json` writes it (docs/comparison.md)."""
        pairs = [
            {
                "b": _described(pairing.b),
                "interleaved": pairing.is_interleaved,
                "differences_in_setup": [asdict(one) for one in pairing.differences],
                "obstacles": [asdict(one) for one in pairing.obstacles],
                "rows": [row_record(row) for row in pairing.rows],
                "verdict": pairing.verdict,
            }
            for pairing in self.pairings
        ]
        value: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "margin": self.margin,
            "a": _described(self.a),
            **pairs[0],
            "failed": [_record(outcome) for outcome in self.failed],
            "conditions": [{**_record(o), "state": o.state} for o in self.outcomes],
        }
        if len(pairs) > 1:
            value["comparisons"] = pairs
        cleaned: dict[str, Any] = finite(value)
        return cleaned


def compare_subjects(
    subjects: Sequence[Subject],
    *,
    margin: float = DEFAULT_MARGIN,
    conditions: Sequence[Condition] = (),
) -> Comparison:
    """Compares each of the subjects with the first.

    Verdicts on times are corrected for all that is compared: each kind of row has an equal part of
    `TOTAL_ALPHA`, and within it each row of all pairs (Bonferroni).

    Raises:
        UsageError: there are fewer than two, the margin is none, or a condition names nothing.
    """
    if len(subjects) < 2:
        raise UsageError("name at least two profiles or models to compare")
    if not 0 <= margin < 1:
        raise UsageError(f"a margin of {100 * margin:g} % is none; give one from 0 to below 100 %")
    a, *others = subjects
    pairs = [matched(a, b) for b in others]
    counts = [count_times(of) for of in pairs]
    totals = {what: sum(count[what] for count in counts) for what in TIMES}
    n_kinds = max(1, sum(total > 0 for total in totals.values()))
    alphas = {what: TOTAL_ALPHA / n_kinds / max(1, total) for what, total in totals.items()}
    pairings = []
    for b, of in zip(others, pairs, strict=True):
        stand = obstacles(a, b, of)
        is_interleaved = are_interleaved(a, b)
        times = time_rows(a, b, of, alphas, margin, stand, is_interleaved=is_interleaved)
        rows = (*_in_order(times), *memory_rows(a, b))
        pairings.append(
            Pairing(
                b=b,
                rows=rows,
                is_interleaved=is_interleaved,
                differences=differences(a, b),
                obstacles=stand,
                verdicts=verdicts((a.name, b.name), rows, stand, margin),
                outcomes=check(b.name, conditions, rows),
            )
        )
    return Comparison(a, tuple(pairings), margin)


def summarize_all(named: Mapping[str, Sequence[Derived]]) -> list[Subject]:
    """The profiles of each subject by its name, at the smallest depth that all have, or else each
    at its own smallest.

    Raises:
        UsageError: a profile has no steps.
    """
    depths = {
        name: set.intersection(*(set(profile.depths) for profile in profiles))
        for name, profiles in named.items()
    }
    for name, known in depths.items():
        if not known:
            raise UsageError(f"{name} has no steps to compare")
    common = set.intersection(*depths.values())
    return [
        summarize_subject(name, profiles, min(common or depths[name]))
        for name, profiles in named.items()
    ]


def _in_order(rows: Sequence[Row]) -> list[Row]:
    """By kind and phase, prefill first; the largest first, layers in their order."""

    def rank(row: Row) -> tuple[Any, ...]:
        size = max(row.a or 0.0, row.b or 0.0)
        by_size = row.layer if row.what == "layer" else -size
        return TIMES.index(row.what), row.phase != "prefill", by_size

    return sorted(rows, key=rank)


def _described(subject: Subject) -> dict[str, Any]:
    meta = subject.meta
    return {
        "name": subject.name,
        "processes": subject.n_processes,
        "n_depth": subject.n_depth,
        "slmprof": meta.slmprof.to_json(),
        "environment": meta.environment.to_json(),
        "model": meta.model.to_json(),
        "config": meta.config.to_json(),
    }


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "expression": outcome.condition.text,
        "b": outcome.name,
        "row": row_record(outcome.row),
    }
