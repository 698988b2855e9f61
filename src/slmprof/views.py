"""The public profile: data of one run, and the tables that are derived of it."""

from __future__ import annotations

import os
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING

from .profiles.data import ProfileData
from .profiles.selection import measured_depths, select_depth
from .profiles.storage import file

if TYPE_CHECKING:
    import pandas as pd

    from .analysis.timing.phases import PhaseSummary


class Profile(ProfileData):
    """Meta data and tables of one run (docs/profile-format.md).

    The tables hold raw samples; the methods derive statistics from them, each as a new
    `pandas.DataFrame` with the columns of `breakdown --format json`. Times are milliseconds per
    step (per prompt, or per generated token), averaged over the op-pass steps of the phase.
    `share` is the share of all op time of the phase. Of a run at several depths of the context they
    describe the smallest; `at_depth` gives the others, `depth_costs` and `depth_fits` compare them.
    """

    @classmethod
    def of(cls, data: ProfileData) -> Profile:
        """A profile with this data."""
        return cls(**{field.name: getattr(data, field.name) for field in fields(data)})

    @property
    def data(self) -> ProfileData:
        """The profile as what it holds, without what is derived of it."""
        return self

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Tokens in the context before the prompt at which was measured, smallest first."""
        return measured_depths(self)

    def at_depth(self, n_depth: int) -> Profile:
        """What was measured at one of `depths`, as a profile of its own.

        Raises:
            UsageError: nothing was measured at this depth.
        """
        if n_depth not in self._at_depth:
            self._at_depth[n_depth] = select_depth(self, n_depth)
        return self._at_depth[n_depth]

    def depth_costs(self, by: str = "block") -> pd.DataFrame:
        """What a token costs at each depth, see `analysis.tables.depth.depth_table`."""
        from .analysis.tables.depth import depth_table

        return depth_table(self, by)

    def depth_fits(self, by: str = "block") -> pd.DataFrame:
        """Cost of a token as a + b x context, see `analysis.tables.depth.fit_depths`."""
        from .analysis.tables.depth import depth_table, fit_depths

        return fit_depths(depth_table(self, by), by)

    def phases(self) -> pd.DataFrame:
        """One row a phase; nested keys are joined by dots (`latency_ms.median`)."""
        from .analysis.timing.phases import phase_table

        return phase_table(self.phase_summaries)

    def blocks(self) -> pd.DataFrame:
        """Columns phase, block, time_ms, share; largest first within a phase."""
        from .analysis.tables.grouping import block_table

        return block_table(self.op_rows)

    def layers(self) -> pd.DataFrame:
        """Columns phase, layer (nullable), block, time_ms, share; in layer order."""
        from .analysis.layers.table import layer_table

        return layer_table(self.op_rows)

    def kernels(self) -> pd.DataFrame:
        """Columns phase, kernel, calls, time_ms, share; largest first within a phase."""
        from .analysis.tables.grouping import kernel_table

        return kernel_table(self.op_rows)

    def ops(self) -> pd.DataFrame:
        """One row for each op of a phase, in `analysis.tables.ops.COLUMNS`, largest first.

        `flops` and `bytes` are per step and null where slmprof has no exact count.
        """
        rows: pd.DataFrame = self.op_rows.copy()
        return rows

    def waits(self) -> pd.DataFrame:
        """What waiting costs, by block, in the columns of `analysis.tables.waits.COLUMNS`."""
        from .analysis.tables.waits import wait_table

        return wait_table(self.op_rows)

    def memory(self) -> pd.DataFrame:
        """The buffers: columns device, buffer_type, kind, size_bytes."""
        from .analysis.memory.use import buffer_table

        return buffer_table(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the profile file, whole or not at all.

        Raises:
            UsageError: the file cannot be written there.
        """
        file.save(self, path)

    @cached_property
    def op_rows(self) -> pd.DataFrame:
        """What `ops` copies, at the smallest depth; derived once. Not to be changed."""
        from .analysis.tables.ops import op_table

        return op_table(self.shallowest)

    @cached_property
    def phase_summaries(self) -> tuple[PhaseSummary, ...]:
        """The phases that have steps, at the smallest depth, prefill first; derived once."""
        from .analysis.timing.phases import summarize_phases

        return summarize_phases(self.shallowest)

    @cached_property
    def _at_depth(self) -> dict[int, Profile]:
        return {}

    @property
    def shallowest(self) -> Profile:
        """What the views describe: the smallest depth, for depths are never added up."""
        return self.at_depth(self.depths[0]) if len(self.depths) > 1 else self


def load(path: str | os.PathLike[str]) -> Profile:
    """Reads a profile file of this format version or an older one.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        ProfileFormatError: it is not a profile, is damaged, or is of a newer version.
    """
    return Profile.of(file.load(path))
