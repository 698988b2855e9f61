"""What a reader must know before believing a profile's numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...profiles.data import ProfileData
from ...settings.model_source import ignored_note
from ..tables.derived import Derived
from ..timing.devices import serialized_devices
from ..timing.phases import PhaseSummary
from ..timing.traces import incomplete_joins
from ..work.roofline import exceeds_roof

# Of the wall time of a step: what may stay without a name (docs/measurement.md).
MAX_UNATTRIBUTED = 0.01
MAX_OVERHEAD = 1.05
MAX_SPREAD = 0.10
MIN_SAMPLES = 3
# Sentences of `contradictions`: one for each reason, whatever the phases.
N_CONTRADICTIONS = 3
# So much op time may exceed a roof before the ceilings are doubted; data may survive in a cache.
MAX_EXCEEDING = 0.01


def caveats(profile: Derived, *, shows_shares: bool = True) -> tuple[str, ...]:
    """One sentence for each doubt: what contradicts itself, then the environment's own warnings.

    Args:
        shows_shares: whether shares of op time and of roofs are shown, or times alone.
    """
    meta = profile.data.meta
    run = meta.run
    found = [
        *contradictions(profile.phase_summaries, shows_shares=shows_shares),
        *serialization(profile.data, profile.phase_summaries),
        *incomplete_joins(profile.data),
        *meta.environment.warnings,
    ]
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
    if meta.model.scheme:
        found.append(
            f"the weights hold what the scheme {meta.model.scheme} gives back, as float32: time "
            "and memory are those of float32, not the scheme's"
        )
    ceilings = meta.ceilings
    for doubt in ceilings.warnings if ceilings is not None else ():
        found.append(
            f"when this machine's ceilings were measured, {doubt}; "
            "`slmprof roofline --refresh` measures them again"
        )
    for device in meta.device_ceilings:
        for doubt in device.warnings:
            found.append(f"when the ceilings of {device.device} were measured, {doubt}")
    has_ceilings = ceilings is not None or bool(meta.device_ceilings)
    if shows_shares and has_ceilings and _exceeds_ceilings(profile.op_rows):
        found.append(
            "ceilings are lower than what this run reached: measured while the machine was busy; "
            "`slmprof roofline --refresh`"
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


def contradictions(summaries: Sequence[PhaseSummary], *, shows_shares: bool = True) -> list[str]:
    """Why ops add up to other steps than the headline's: at most one sentence for each reason."""
    found = []
    differing = [
        f"{one.phase} {one.recorded_ms.mean:.4g} for {one.latency_ms.median:.4g} ms"
        for one in summaries
        if one.contradicts
        and one.recorded_ms is not None
        and one.latency_ms is not None
        and not one.is_slowed_by_tracing
    ]
    if differing:
        withheld = [
            one.phase
            for one in summaries
            if one.contradicts and one.withholds_shares and not one.is_slowed_by_tracing
        ]
        what = "shares of {} are withheld" if shows_shares else "those of {} are of disturbed steps"
        found.append(
            f"profiled steps do not take what unprofiled ones do ({', '.join(differing)}), so "
            "times of ops do not add up to the latency"
            + (f"; {what.format(' and '.join(withheld))}" if withheld else "")
        )
    slowed = [
        f"{one.phase} {100 * one.difference:.0f} %"
        for one in summaries
        if one.is_slowed_by_tracing and one.difference is not None
    ]
    if slowed:
        found.append(
            f"recording kernels makes steps longer ({', '.join(slowed)}): their shares are withheld"
        )
    lacking = [
        f"{100 * one.off_core_share:.0f} % of {one.phase}"
        for one in summaries
        if one.lacks_cores and one.off_core_share is not None
    ]
    if lacking:
        what = "shares are withheld"
        if not shows_shares:
            what = "times of ops are those of disturbed steps"
        found.append(
            f"something else had the threads' cores for {' and '.join(lacking)}: {what}; run again "
            "when nothing else uses this machine"
        )
    lost = [one.phase for one in summaries if 0 < one.n_profiled_samples == one.n_disturbed]
    if lost:
        found.append(
            f"all profiled steps of {' and '.join(lost)} were disturbed, so that there are no "
            "times of ops; run again when nothing else uses this machine"
        )
    return found


def serialization(profile: ProfileData, summaries: Sequence[PhaseSummary]) -> list[str]:
    """That times of ops are of a run that nobody has unobserved: at most one sentence."""
    names = serialized_devices(profile)
    slowed = [
        f"{one.phase} {one.profiled_latency_ms.median:.4g} for "
        f"{one.as_run.latency_ms.median:.4g} ms"
        for one in summaries
        if one.as_run is not None and one.profiled_latency_ms is not None
    ]
    if not names or not slowed:
        return []
    return [
        f"serialized: {' and '.join(names)} ran ops one by one for the times of ops, which "
        f"takes longer than a run as it is ({', '.join(slowed)})"
    ]


def depth_caveats(costs: pd.DataFrame) -> list[str]:
    """One sentence for each phase and depth that the cost model leaves out."""
    if costs["n_depth"].nunique() < 2:
        return []
    left_out = costs[~costs["is_fitted"].astype(bool)][["phase", "n_depth"]].drop_duplicates()
    return [
        f"the cost model of {phase} leaves depth {depth} out: too many of its steps were disturbed"
        for phase, depth in left_out.itertuples(index=False)
    ]


def _exceeds_ceilings(ops: pd.DataFrame) -> bool:
    """Whether more than a trace of a phase's op time exceeds its roof."""
    time_ms, exceeds = ops["time_ms"], exceeds_roof(ops)
    of_phase = time_ms.where(exceeds, 0.0).groupby(ops["phase"]).sum()
    total = time_ms.groupby(ops["phase"]).sum()
    return bool((of_phase > MAX_EXCEEDING * total).any())


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
    is_told = summary.is_slowed_by_tracing  # by a sentence of its own
    if over is not None and over.ci95 is not None and over.ci95[0] > MAX_OVERHEAD and not is_told:
        found.append(f"recording ops slowed {name} down by {100 * (over.ratio - 1):.0f} %")
    return found
