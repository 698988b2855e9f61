"""What a reader must know before believing a profile's numbers."""

from __future__ import annotations

from ...settings.model_source import ignored_note
from ..tables.derived import Derived
from ..timing.phases import PhaseSummary

# Of the wall time of a step: what may stay without a name (docs/measurement.md).
MAX_UNATTRIBUTED = 0.01
MAX_OVERHEAD = 1.05
MAX_SPREAD = 0.10
MIN_SAMPLES = 3


def caveats(profile: Derived) -> tuple[str, ...]:
    """One sentence for each doubt; the environment's own warnings come first."""
    meta = profile.data.meta
    run = meta.run
    found = list(meta.environment.warnings)
    if run.complete is False:
        done, asked = run.n_repeats_done, run.n_repeats
        of = f"{done} of {asked} repeats" if done is not None and asked else "some repeats"
        reason = f": {run.error}" if run.error else ""
        found.append(f"the run is incomplete, {of} were measured{reason}")
    if run.n_dropped:
        found.append(
            f"{run.n_dropped} events dropped (buffer full); "
            "their time is counted as unrecorded or with the op before"
        )
    if meta.model.ignored:
        found.append(ignored_note(meta.model.ignored, meta.model.file_type))
    ceilings = meta.ceilings
    for doubt in ceilings.warnings if ceilings is not None else ():
        found.append(
            f"when this machine's ceilings were measured, {doubt}; "
            "`slmprof roofline --refresh` measures them again"
        )
    if meta.bandwidth is not None and not meta.bandwidth.is_steady:
        low, high = meta.bandwidth.range_gbps()
        found.append(
            f"the bandwidth of memory moved from {low:.1f} to {high:.1f} GB/s during the run: only "
            "bounds that hold at both are named"
        )
    for phase, entry in run.warmup.items():
        if entry.reason == "limit":
            found.append(f"{phase} did not stabilise within the warm-up limit")
    for summary in profile.phase_summaries:
        found.extend(_phase_caveats(summary))
    return tuple(dict.fromkeys(found))


def _phase_caveats(summary: PhaseSummary) -> list[str]:
    found = []
    name, latency, over = summary.phase, summary.latency_ms, summary.overhead
    if summary.n_samples < MIN_SAMPLES:
        found.append(f"{name} has only {summary.n_samples} samples; raise --repeats")
    if latency is not None and latency.mad > MAX_SPREAD * latency.median > 0:
        found.append(
            f"{name} is noisy: its median absolute deviation is "
            f"{100 * latency.mad / latency.median:.0f} % of the median"
        )
    share = summary.attributed_share
    if share is not None and abs(1 - share) > MAX_UNATTRIBUTED:
        found.append(f"{100 * (1 - share):.1f} % of {name} time is not attributed")
    if over is not None and over.ci95 is not None and over.ci95[0] > MAX_OVERHEAD:
        found.append(f"recording ops slowed {name} down by {100 * (over.ratio - 1):.0f} %")
    return found
