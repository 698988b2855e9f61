"""What was measured at each depth, as JSON holds it."""

from __future__ import annotations

from typing import Any

from ...analysis.tables.depth import DepthReport
from ...analysis.timing.phases import phase_record
from .records import records


def depth_document(report: DepthReport) -> dict[str, Any]:
    """`depths`: phases and blocks of each depth; `depth_fits`: the lines through them."""
    return {
        "depths": [
            {
                "n_depth": part.n_depth,
                "phases": [phase_record(summary) for summary in part.phases],
                "blocks": records(part.blocks),
            }
            for part in report.slices
        ],
        "depth_fits": records(report.fits),
    }
