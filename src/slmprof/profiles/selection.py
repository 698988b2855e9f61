"""The part of a profile that was measured at one depth of the context, by one process, or in one
repeat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .all_tables import TABLES
from .data import ProfileData
from .schema import Table
from .vocabulary import PASS_WARMUP

_Profile = TypeVar("_Profile", bound=ProfileData)


def measured_depths(profile: ProfileData) -> tuple[int, ...]:
    """The depths that timing or op passes were made at, smallest first."""
    steps = profile.steps
    depths: list[int] = np.unique(steps.depth[steps.pass_ != PASS_WARMUP]).tolist()
    return tuple(depths)


def select_depth(profile: _Profile, depth: int) -> _Profile:
    """The profile as if this depth had been the only one.

    Rows of other depths are left out and the others renumbered; graphs and tensors stay whole, so
    that their numbers mean the same. `meta.config.n_depth` is the depth; `meta.energy` is left out
    where it was measured at another one.

    Raises:
        UsageError: nothing was measured at this depth.
    """
    depths = measured_depths(profile)
    if depth not in depths:
        known = ", ".join(map(str, depths)) or "none"
        raise UsageError(f"nothing was measured at a depth of {depth}; the profile has: {known}")
    if len(depths) == 1:
        return profile
    meta = profile.meta.replace(config=replace(profile.meta.config, n_depth=depth))
    if meta.energy is not None and meta.energy.n_depth != depth:
        meta = meta.replace(energy=None)
    return replace(_with_rows(profile, "depth", depth), meta=meta)


def measured_processes(profile: ProfileData) -> tuple[int, ...]:
    """The processes that made timing or op passes, in the order in which they ran."""
    counted = profile.steps.process[profile.steps.pass_ != PASS_WARMUP]
    processes: list[int] = np.unique(counted).tolist()
    return tuple(processes)


def select_process(profile: _Profile, process: int) -> _Profile:
    """The profile as if this process had been the only one; the meta data stay as they are."""
    if len(measured_processes(profile)) == 1:
        return profile
    return _with_rows(profile, "process", process)


def select_repeat(profile: _Profile, repeat: int) -> _Profile:
    """The profile as if this repeat had been the only one, where it keeps events; statistics of ops
    are those of all repeats."""
    return _with_rows(profile, "repeat", repeat)


def _with_rows(profile: _Profile, column: str, value: int) -> _Profile:
    """The profile with the rows that have a value in a column, and what belongs to them."""
    kept: dict[str, npt.NDArray[np.bool_]] = {}
    number: dict[str, npt.NDArray[np.int32]] = {}
    tables: dict[str, Table] = {}
    # A table's rows refer to those of tables before it.
    for table in TABLES:
        rows: Table = getattr(profile, table.NAME)
        columns = rows.columns()
        referring = {n: c.row_of for n, c in table.schema().items() if c.row_of in kept}
        chosen = [
            (columns[name] < 0) | _at(kept[of], columns[name]) for name, of in referring.items()
        ]
        if column in columns:
            chosen.append(columns[column] == value)
        if chosen:
            kept[table.NAME] = np.logical_and.reduce(chosen)
            number[table.NAME] = (np.cumsum(kept[table.NAME]) - 1).astype(np.int32)
            columns = rows.take(kept[table.NAME]).columns()
            renumbered = {
                name: np.where(columns[name] < 0, columns[name], _at(number[of], columns[name]))
                for name, of in referring.items()
            }
            tables[table.NAME] = table.from_columns({**columns, **renumbered})
    return profile.with_tables(tables)


def _at(values: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values at rows, of which a negative one is none."""
    found: npt.NDArray[Any] = np.append(values, values.dtype.type(0))[rows]
    return found
