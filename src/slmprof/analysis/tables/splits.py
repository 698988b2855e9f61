"""What each device computed of a step in one go, and what went to it before: of steps that ran as
they do unobserved."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...profiles.data import ProfileData
from ...profiles.distinct_rows import distinct_rows, values_of
from ...profiles.vocabulary import PHASES
from ..graphs.structures import Structures
from ..timing.phases import as_run_steps
from ..timing.segments import NS_PER_MS
from .typed import typed_table

SPLIT_COLUMNS: dict[str, str] = {
    "phase": "object", "split": "int64", "device": "object", "n_nodes": "int64",
    "first_layer": "Int64", "last_layer": "Int64", "calls": "float64", "unseen": "float64",
    "time_ms": "float64", "share": "float64",
}  # fmt: skip
COPY_COLUMNS: dict[str, str] = {
    "phase": "object", "tensor": "object", "source": "object", "target": "object",
    "calls": "float64", "bytes": "float64", "time_ms": "float64",
}  # fmt: skip


def split_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each split of a phase's graphs, in their order, in `SPLIT_COLUMNS`.

    `split` counts the splits of a graph; the same in several graphs is one where device and number
    of nodes agree. `first_layer` and `last_layer` are those of its ops, null where none is in a
    layer. `calls` and `time_ms` are per step; `share` is of the mean step. A device's split lasts
    from when it was told to begin until its end was seen: where a backend tells of its end only by
    its results, until the first of them was read. `unseen` are those of the calls of which nothing
    was read: they have no time, what they took is that of what followed.
    """
    splits, runs, steps = profile.splits, profile.runs, profile.steps
    number = np.arange(len(splits)) - np.searchsorted(splits.graph, splits.graph)
    layers = _LayersOfSplits(profile)
    rows = []
    for phase in range(len(PHASES)):
        chosen = as_run_steps(profile, phase)
        n_steps = int(chosen.sum())
        wall = int((steps.end_ns - steps.begin_ns)[chosen].sum())
        of_phase = runs.take(chosen[runs.step])
        split = of_phase.split
        first, group = distinct_rows((number[split], splits.device[split], splits.n_nodes[split]))
        time = np.bincount(group, of_phase.end_ns - of_phase.begin_ns, minlength=len(first))
        calls = np.bincount(group, minlength=len(first))
        unseen = np.bincount(group, of_phase.is_end_seen == 0, minlength=len(first))
        for row, one in enumerate(split[first].tolist()):
            low, high = layers.of(one)
            rows.append(
                {
                    "phase": PHASES[phase],
                    "split": int(number[one]),
                    "device": profile.text(int(splits.device[one])),
                    "n_nodes": int(splits.n_nodes[one]),
                    "first_layer": low,
                    "last_layer": high,
                    "calls": calls[row] / n_steps,
                    "unseen": unseen[row] / n_steps,
                    "time_ms": time[row] / n_steps / NS_PER_MS,
                    "share": time[row] / wall if wall else 0.0,
                }
            )
    return typed_table(rows, SPLIT_COLUMNS)


def copy_table(profile: ProfileData) -> pd.DataFrame:
    """One row for each tensor that goes from one device to another in a phase, in `COPY_COLUMNS`:
    calls, bytes and milliseconds per step, most time first.

    The first copy out of a device that tells of its end only by its results waits for that end:
    what it takes itself is in the time of the split.
    """
    copies, rows = profile.copies, []
    for phase in range(len(PHASES)):
        chosen = as_run_steps(profile, phase)
        n_steps = int(chosen.sum())
        of_phase = copies.take(chosen[copies.step])
        columns = (of_phase.tensor, of_phase.source, of_phase.target)
        first, group = distinct_rows(columns)
        n = len(first)
        calls = np.bincount(group, minlength=n)
        size = np.bincount(group, of_phase.size_bytes, minlength=n)
        time = np.bincount(group, of_phase.end_ns - of_phase.begin_ns, minlength=n)
        for row in np.argsort(-time, kind="stable").tolist():
            (texts,) = values_of(columns, first[[row]])
            tensor, source, target = map(profile.text, texts)
            rows.append(
                {
                    "phase": PHASES[phase],
                    "tensor": tensor,
                    "source": source,
                    "target": target,
                    "calls": calls[row] / n_steps,
                    "bytes": size[row] / n_steps,
                    "time_ms": time[row] / n_steps / NS_PER_MS,
                }
            )
    return typed_table(rows, COPY_COLUMNS)


class _LayersOfSplits:
    """The layers that the ops of a split are of."""

    def __init__(self, profile: ProfileData) -> None:
        self._splits = profile.splits
        self._structures = Structures(profile)

    def of(self, split: int) -> tuple[int | None, int | None]:
        """The first and the last one."""
        splits = self._splits
        first = int(splits.first_node[split])
        layer = self._structures.of(int(splits.graph[split])).attribution.layer
        found = layer[first : first + int(splits.n_nodes[split])]
        found = found[found >= 0]
        return (int(found.min()), int(found.max())) if len(found) else (None, None)
