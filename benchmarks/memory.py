"""Memory of the 0.5 B presets: predicted, allocated, observed, and what none of them explains.

Each setting is run in a worker process of its own, with and without memory mapping, repacking and
flash attention. The difference is what no line of the reconciliation explains, at the peak of the
resident memory; what was resident only between the observed points counts to it here.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

from reporting import Bar, parser, publish

import slmprof
from slmprof.analysis.memory.reconciliation import BETWEEN
from slmprof.analysis.memory.use import memory_report
from slmprof.reporters.documents.records import records

MIB = 2**20
# What may stay without an explanation: the larger of the two.
MOST_SHARE, MOST_MIB = 0.02, 16.0
# ggml's threads ask for theirs by the batch at hand; the planner has that of the largest batch.
BY_BATCH = "work"


def measure(model: str, mmap: bool, repack: bool, flash_attn: str, threads: int) -> dict[str, Any]:
    """One run, as a row of the table; sizes in MiB."""
    profile = slmprof.profile(
        model,
        mmap=mmap,
        repack=repack,
        flash_attn=flash_attn,
        threads=threads,
        repeats=1,
        ceilings="off",
    )
    report = memory_report(profile)
    found = report.reconciliation
    terms = records(found.rows)

    def total(column: str) -> int:
        return sum(row[column] or 0 for row in terms if row["kind"] != BY_BATCH)

    between = sum(row["resident_bytes"] or 0 for row in terms if row["kind"] == BETWEEN)
    peak = found.peak_bytes or 0
    unexplained = (found.difference_bytes or 0) + between
    return {
        "model": model.removeprefix("preset:"),
        "mmap": "on" if mmap else "off",
        "repack": "on" if repack else "off",
        "flash": flash_attn,
        "predicted": total("predicted_bytes") / MIB,
        "allocated": total("allocated_bytes") / MIB,
        "peak": peak / MIB,
        "difference": (found.difference_bytes or 0) / MIB,
        "between": between / MIB,
        "%": 100 * abs(unexplained) / peak if peak else 100.0,
    }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--models", nargs="+", default=["preset:qwen2-0.5b", "preset:qwen1.5-0.5b"]
    )
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    settings = itertools.product(options.models, (True, False), (True, False), ("on", "off"))
    rows = [measure(*setting, options.threads) for setting in settings]
    limits = [max(MOST_MIB, MOST_SHARE * row["peak"]) for row in rows]
    over = [
        abs(row["difference"] + row["between"]) / limit
        for row, limit in zip(rows, limits, strict=True)
    ]
    gaps = [abs(row["predicted"] - row["allocated"]) for row in rows]
    bars = [
        Bar("unexplained, of 16 MiB or 2 % of the peak", max(over), 1.0, is_most=True),
        Bar("allocated but not predicted, MiB", max(gaps), 0.0, is_most=True),
    ]
    return publish("memory (MiB)", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
