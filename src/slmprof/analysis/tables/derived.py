"""What the analysis of a whole profile asks for: its data, and what others have derived of it."""

from __future__ import annotations

from typing import Protocol

import pandas as pd

from ...profiles.data import ProfileData
from ..timing.phases import PhaseSummary


class Derived(Protocol):
    """A profile whose tables of ops and phases are derived once; `slmprof.Profile` is one."""

    @property
    def data(self) -> ProfileData:
        """What was measured, at all depths."""

    @property
    def depths(self) -> tuple[int, ...]:
        """Tokens in the context before the prompt at which was measured, smallest first."""

    @property
    def shallowest(self) -> Derived:
        """What was measured at the smallest depth, which `op_rows` and `phase_summaries` are of."""

    @property
    def op_rows(self) -> pd.DataFrame:
        """The rows of `op_table`. Not to be changed."""

    @property
    def phase_summaries(self) -> tuple[PhaseSummary, ...]:
        """The phases that have steps, prefill first."""

    def at_depth(self, n_depth: int) -> Derived:
        """What was measured at one of `depths`, as a profile of its own."""
