"""Everything that a report says of a run's energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...profiles.records.energy import Energy, EnergyRefusal
from .figures import EnergyFigure, energy_figures
from .modelled import modelled_energy


@dataclass(frozen=True)
class EnergyReport:
    """The energy of the chosen phases.

    Attributes:
        energy: the windows as they were measured.
        figures: see `energy_figures`.
        refusals: why a source is missing, or all of it.
        modelled: see `modelled_energy`; empty where ops ran one by one.
    """

    energy: Energy
    figures: tuple[EnergyFigure, ...]
    refusals: tuple[EnergyRefusal, ...]
    modelled: tuple[dict[str, Any], ...]


def report_energy(
    energy: Energy | None, phases: Sequence[str], blocks: pd.DataFrame, *, is_serialized: bool
) -> EnergyReport | None:
    """The report of what was measured; None where nothing was asked for.

    Args:
        blocks: rows of the table of blocks.
        is_serialized: whether the times of ops are those of ops that ran one by one.
    """
    if energy is None:
        return None
    figures = tuple(one for one in energy_figures(energy) if one.phase in phases)
    return EnergyReport(
        energy=energy,
        figures=figures,
        # Those of a phase are in its figures.
        refusals=tuple(one for one in energy.refusals if one.phase is None),
        modelled=() if is_serialized else tuple(modelled_energy(figures, blocks)),
    )
