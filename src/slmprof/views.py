"""The public profile: data of one run, and the tables that are derived of it."""

from __future__ import annotations

import os
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING

from .profiles.data import ProfileData
from .profiles.selection import measured_depths, select_depth
from .profiles.storage import file
from .settings.arguments import takes
from .settings.kinds import File, Instance, Text, Whole

if TYPE_CHECKING:
    import pandas as pd

    from .analysis.timing.phases import PhaseSummary
    from .analysis.verdicts.breakdown import Breakdown


_DATA = Instance(ProfileData, "a profile; slmprof.load and slmprof.profile give one")
_BY, _PROFILE = Text("BY", "a view"), File(what="the file of a profile")


class Profile(ProfileData):
    """Meta data and tables of one run (docs/profile-format.md).

    The tables hold raw samples; the methods derive statistics from them, each as a new
    `pandas.DataFrame` with the columns of `breakdown --format json`, in pandas' nullable dtypes
    (`string`, `Int64`, `Float64`, `boolean`; what is null is `pandas.NA`); shapes and other lists
    are tuples, in columns of dtype `object`. Times are milliseconds per step (per prompt, or per
    generated token), averaged over the op-pass steps of the phase.
    `share` is the share of all op time of the phase. Of a run at several depths of the context they
    describe the smallest; `at_depth` gives the others, `depth_costs` and `depth_fits` compare them.
    """

    @classmethod
    @takes(data=_DATA)
    def of(cls, data: ProfileData) -> Profile:
        """A profile with this data. Raises UsageError for what is none."""
        return cls(**{field.name: getattr(data, field.name) for field in fields(data)})

    @property
    def data(self) -> ProfileData:
        """The profile as what it holds, without what is derived of it."""
        return self

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Tokens in the context before the prompt at which was measured, smallest first."""
        return measured_depths(self)

    @takes(n_depth=Whole(0))
    def at_depth(self, n_depth: int) -> Profile:
        """What was measured at one of `depths`, as a profile of its own.

        Raises:
            UsageError: nothing was measured at this depth.
        """
        if n_depth not in self._at_depth:
            self._at_depth[n_depth] = select_depth(self, n_depth)
        return self._at_depth[n_depth]

    @takes(by=_BY)
    def depth_costs(self, by: str = "block") -> pd.DataFrame:
        """What a token costs at each depth, see `analysis.tables.depth.depth_table`."""
        from .analysis.tables.depth import depth_table

        return _published(depth_table(self, by))

    @takes(by=_BY)
    def depth_fits(self, by: str = "block") -> pd.DataFrame:
        """Cost of a token as a + b x context, see `analysis.tables.depth.fit_depths`."""
        from .analysis.tables.depth import depth_table, fit_depths

        return _published(fit_depths(depth_table(self, by), by))

    def phases(self) -> pd.DataFrame:
        """One row a phase; nested keys are joined by dots (`latency_ms.median`)."""
        from .analysis.timing.phases import phase_table

        return _published(phase_table(self.phase_summaries))

    def blocks(self) -> pd.DataFrame:
        """Columns phase, block, time_ms, share; largest first within a phase."""
        from .analysis.tables.grouping import block_table

        return _published(block_table(self.op_rows))

    def parts(self) -> pd.DataFrame:
        """Columns phase, block, part, calls, time_ms, share; largest first within a phase."""
        from .analysis.tables.grouping import part_table

        return _published(part_table(self.op_rows))

    def layers(self) -> pd.DataFrame:
        """Columns phase, layer (null outside the layers), block, time_ms, share; in layer order."""
        from .analysis.layers.table import layer_table

        return _published(layer_table(self.op_rows))

    def layer_flags(self) -> pd.DataFrame:
        """One row for each way in which layers stand out: phase (null for both), layers (a tuple),
        block, kind, and the figures of all kinds of flags, null where a kind has no such figure.
        """
        from .analysis.layers.flags import COLUMNS, Builds, OddTime
        from .analysis.tables.published import figure_table

        flags = self._breakdown.layer_flags
        rows = [({n: getattr(one, n) for n in COLUMNS}, one.figures) for one in flags]
        return figure_table(COLUMNS, rows, Builds | OddTime)

    def kernels(self) -> pd.DataFrame:
        """One row for each kernel and the code that ran, see `analysis.tables.kernels.impl_table`:
        phase, kernel, impl, calls, time_ms, share, gbps, ceiling_share, bound; largest first."""
        from .analysis.tables.kernels import impl_table

        return _published(impl_table(self.op_rows))

    def scaling(self) -> pd.DataFrame:
        """How much faster each kernel gets from one thread to several, in the columns of
        `analysis.work.scaling.COLUMNS`; without rows where `--scaling` was not asked for."""
        from .analysis.tables.ops import scaling_of

        return _published(scaling_of(self.shallowest, self.op_rows))

    def ops(self) -> pd.DataFrame:
        """One row for each op of a phase, in `analysis.tables.ops.COLUMNS`, largest first.

        `flops` and `bytes` are per step and null where slmprof has no exact count.
        """
        return _published(self.op_rows)

    def energy(self) -> pd.DataFrame:
        """One row for each phase and source of energy, in the columns of
        `analysis.energy.figures.COLUMNS`; without rows where `--energy` was not asked for."""
        from .analysis.energy.figures import energy_figures, energy_table

        energy = self.shallowest.meta.energy
        return _published(energy_table(energy_figures(energy) if energy is not None else ()))

    def waits(self) -> pd.DataFrame:
        """What waiting costs, by block, in the columns of `analysis.tables.waits.COLUMNS`."""
        from .analysis.tables.waits import wait_table

        return _published(wait_table(self.op_rows))

    def diagnosis(self) -> pd.DataFrame:
        """One row a finding: phase (null for both), topic, and the figures of all topics, null
        where a topic has no such figure (docs/measurement.md)."""
        from .analysis.tables.published import figure_table
        from .analysis.verdicts.findings import COLUMNS, Figures

        found = self._breakdown.diagnosis
        rows = [({n: getattr(one, n) for n in COLUMNS}, one.figures) for one in found]
        return figure_table(COLUMNS, rows, Figures)

    def memory(self) -> pd.DataFrame:
        """One row for each device, type and kind of buffer, of the whole run.

        Columns device, buffer_type, kind, size_bytes (what was allocated), predicted_bytes (by
        llama.cpp's planner, before), allocated_bytes (the same as size_bytes), resident_bytes (in
        memory at the observed point at which most of the process was). Null where it is not known.
        """
        from .analysis.memory.use import memory_table

        return _published(memory_table(self))

    def resident(self) -> pd.DataFrame:
        """Why the process was as large as it was at its peak: one row a term, in the columns of
        `analysis.memory.reconciliation.COLUMNS`; buffers first, then the rest of the process."""
        from .analysis.memory.reconciliation import reconcile

        return _published(reconcile(self.meta, self.places).rows)

    def caches(self) -> pd.DataFrame:
        """One row for each KV cache or recurrent state: kind, types, layers (a tuple), window
        (`n_swa`), cells reserved and in use, bytes; see `analysis.memory.places.cache_table`."""
        from .analysis.memory.places import cache_table

        return _published(cache_table(self))

    def weights(self) -> pd.DataFrame:
        """One row for each weight: type, shape, size, and what reading it costs in each phase, in
        the columns of `analysis.memory.weight_times.COLUMNS`; null where no op reads it."""
        from .analysis.memory.weight_times import weight_times

        return _published(weight_times(self, self.op_rows))

    def tensor_places(self) -> pd.DataFrame:
        """One row for each tensor of weights and caches, where it lies, in the columns of
        `analysis.memory.places.PLACE_COLUMNS`."""
        from .analysis.memory.places import place_table

        return _published(place_table(self))

    @takes(path=_PROFILE)
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
    def _breakdown(self) -> Breakdown:
        from .analysis.verdicts.breakdown import break_down

        return break_down(self)

    @cached_property
    def _at_depth(self) -> dict[int, Profile]:
        return {}

    @property
    def shallowest(self) -> Profile:
        """What the views describe: the smallest depth, for depths are never added up."""
        return self.at_depth(self.depths[0]) if len(self.depths) > 1 else self


def _published(table: pd.DataFrame) -> pd.DataFrame:
    # pandas takes long to load, and who opens a profile may ask for no table.
    from .analysis.tables.published import published

    return published(table)


@takes(path=_PROFILE)
def load(path: str | os.PathLike[str]) -> Profile:
    """Reads a profile file of this format version or an older one.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        ProfileFormatError: it is not a profile, is damaged, or is of a newer version.
    """
    return Profile.of(file.load(path))
