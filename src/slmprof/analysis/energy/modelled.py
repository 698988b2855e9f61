"""The energy of a step divided among blocks: a model, for no counter sees a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from .figures import EnergyFigure, main_figure


def modelled_energy(figures: Sequence[EnergyFigure], blocks: pd.DataFrame) -> list[dict[str, Any]]:
    """The energy of a step divided among the blocks by their shares of its op time.

    No counter sees a block: this supposes that every millisecond of ops takes the same power.

    Args:
        blocks: rows of the table of blocks; where shares are withheld, nothing follows from them.

    Returns:
        A row for each phase and block: phase, block, source (whose energy it is), share, energy_j,
        net_j; none of a phase in which a source is refused.
    """
    rows = []
    for row in blocks.to_dict("records"):
        figure = main_figure(figures, row["phase"])
        if figure is None or figure.energy_j is None or figure.net_j is None:
            continue
        if pd.isna(row["share"]):
            continue
        share = float(row["share"])
        rows.append(
            {
                "phase": row["phase"],
                "block": row["block"],
                "source": figure.source,
                "share": share,
                "energy_j": share * figure.energy_j,
                "net_j": share * figure.net_j,
            }
        )
    return rows
