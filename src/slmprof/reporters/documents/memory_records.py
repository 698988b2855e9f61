"""Memory as JSON holds it."""

from __future__ import annotations

from typing import Any

from ...analysis.verdicts.breakdown import Breakdown
from .records import records


def memory_document(breakdown: Breakdown) -> dict[str, Any]:
    """The part `memory` of a breakdown; `places` only where that view was asked for."""
    report = breakdown.memory
    found = report.reconciliation
    places = {"places": records(breakdown.tables["place"])} if breakdown.by == "place" else {}
    return {
        "buffers": records(report.buffers),
        "totals_bytes": report.totals,
        "repacked_bytes": report.repacked_bytes,
        "rss_peak_bytes": report.rss_peak_bytes,
        "predicted": records(report.predicted),
        "reconciliation": {
            "point": found.point,
            "n_past": found.n_past,
            "peak_bytes": found.peak_bytes,
            "difference_bytes": found.difference_bytes,
            "terms": records(found.rows),
        },
        "observations": [seen.to_json() for seen in report.observations],
        "n_past": report.n_past,
        "caches": records(report.caches),
        **places,
    }
