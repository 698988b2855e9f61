"""The diagnosis as sentences, each with its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...analysis.verdicts import findings
from ...analysis.verdicts.breakdown import Breakdown
from ...analysis.verdicts.findings import Finding
from .layer_flags import listed
from .quantities import UNICODE, Glyphs, bytes_text, milliseconds, printable, rate
from .section import Section

_BOUNDS = {
    "memory": "memory bandwidth",
    "cache": "cache bandwidth",
    "compute": "arithmetic",
    "sync": "waiting and starting of threads",
}
# Below, no single bound limits a phase.
_MAJORITY = 0.5
# Whose ops reach less of their ceiling, on the mean, is not limited by it alone.
_NEAR = 0.7
# Differences so small are not worth a word.
_SLIGHT = 0.005


def diagnosis_section(breakdown: Breakdown, glyphs: Glyphs) -> Section:
    """The sentences under their title."""
    prose = tuple(finding_text(finding, glyphs) for finding in breakdown.diagnosis)
    return Section("Diagnosis", (), [], prose=prose)


def finding_record(finding: Finding) -> dict[str, Any]:
    """A finding as a record of `breakdown --format json`."""
    return {
        "phase": finding.phase,
        "topic": finding.topic,
        "text": finding_text(finding, UNICODE),
        "figures": finding.figures.to_json(),
    }


def finding_text(finding: Finding, glyphs: Glyphs) -> str:
    """A finding as one or two sentences."""
    return printable(_WORDS[finding.topic](finding.phase or "", finding.figures), glyphs)


def _limit(phase: str, f: findings.Limit) -> str:
    named = [f"{_BOUNDS.get(bound, bound)} {_share(s)}" for bound, s in f.shares.items()]
    if f.share < _MAJORITY:
        return f"No single thing limits {phase}; of its op time: {', '.join(named)}."
    bound = _BOUNDS.get(f.bound, f.bound)
    reached = f.gbps / f.peak_gbps if isinstance(f, findings.MemoryLimit) else f.ceiling_share
    is_far = reached is not None and reached < _NEAR and f.bound != "sync"
    text = (
        f"The nearest ceiling of {phase} is {bound}: "
        if is_far
        else f"{phase.capitalize()} is limited by {bound}: "
    ) + f"{_share(f.share)} of its op time"
    if isinstance(f, findings.MemoryLimit):
        threads = f.n_threads
        with_threads = f" with {threads} thread{'s' if threads != 1 else ''}" if threads else ""
        return (
            f"{text}, at {rate(f.gbps)} GB/s, {_share(f.gbps / f.peak_gbps)} of the "
            f"{rate(f.peak_gbps)} GB/s that this machine reads{with_threads}."
        )
    if reached is not None and f.bound != "sync":
        return f"{text}, at {_share(reached)} of that ceiling (modelled)."
    return f"{text}."


def _most(phase: str, f: findings.Most) -> str:
    share = _share(f.share)
    return f"{phase.capitalize()} spends {share} of its op time in {f.kernel} of {f.block}."


def _ceilings(_: str, f: findings.NoCeilings) -> str:
    if f.n_cores is not None:
        return (
            f"What limits it cannot be told: {f.n_threads} threads on {f.n_cores} "
            f"core{'s' if f.n_cores != 1 else ''} take turns, so there are no ceilings to "
            "compare with."
        )
    if f.measured_for is not None:
        return (
            f"The ceilings at hand are those of {f.measured_for} threads, and this ran with "
            f"{f.n_threads}: what limits it cannot be told from them."
        )
    return (
        "What limits it, and what would help most, needs the ceilings of the machine, which this "
        "profile does not hold: a run with `--ceilings auto` measures them."
    )


def _read(_: str, f: findings.Read) -> str:
    is_all = f.file_bytes - f.read_bytes < _SLIGHT * f.file_bytes
    at_least = "at least " if f.is_lower_bound and not is_all else ""
    text = (
        f"A decode step reads {at_least}{bytes_text(f.read_bytes)} of weights, "
        f"{_share(f.share)} of the file"
    )
    rest = f.file_bytes - f.read_bytes
    if f.is_lower_bound or is_all:
        return f"{text}."
    if f.lookup_bytes >= rest / 2:
        return (
            f"{text}; most of the rest is tables of which it reads single rows, as embeddings are."
        )
    if f.routed_bytes >= rest / 2:
        return f"{text}; most of the rest is experts that it is not routed to."
    return f"{text}."


def _types(_: str, f: findings.Types) -> str:
    types = dict(f.types)
    named = f.named
    # llama.cpp says so where the file does not tell and its tensors do.
    label = (f.file_type or "The file").removeprefix("(guessed) ")
    if named is None:
        held = [f"{_share(share)} {name}" for name, share in types.items()]
        return f"{label}: of the file's bytes, {listed(held)}."
    types.pop(named, None)
    others = [f"{_share(share)} {name}" for name, share in types.items() if share >= _SLIGHT]
    text = f"{label}: {_share(f.named_share or 0.0)} of the file's bytes are {named}"
    text += f", {listed(others)}." if others else "."
    if f.unfit_share >= _SLIGHT:
        rows = listed([str(n) for n in f.unfit_rows])
        text += (
            f" {_share(f.unfit_share)} are quantized weights with rows of {rows} elements, "
            f"which blocks of {named} do not divide."
        )
    return text


def _waiting(phase: str, f: findings.Waiting) -> str:
    text = (
        f"Threads wait {_share(f.share)} of {phase} ({milliseconds(f.wait_ms)} ms of "
        f"{milliseconds(f.time_ms)}), {_share(f.block_share)} of that in {f.block}"
    )
    if f.imbalance_ms is None or f.barrier_ms is None:
        return f"{text}."
    return (
        f"{text}: unequal shares cost {milliseconds(f.imbalance_ms)} ms, start, barriers and "
        f"waking up {milliseconds(f.barrier_ms)}."
    )


def _host(phase: str, f: findings.Host) -> str:
    return (
        f"Outside the graph, a step of {phase} takes {milliseconds(f.host_ms)} ms of "
        f"{milliseconds(f.time_ms)} ({_share(f.share)}), the largest part in {f.most} "
        f"({milliseconds(f.most_ms)})."
    )


def _gain(phase: str, f: findings.Gain) -> str:
    if isinstance(f, findings.CeilingGain):
        whose = "their" if f.ops == "products" else "its"
        what = f"{f.ops} of {f.block} at {whose} ceiling"
    elif isinstance(f, findings.QuantizeGain):
        what = f"weights of {f.block} in {f.to_type} instead of {f.type}"
    else:
        what = "equal shares for the threads, and barriers at no cost"
    modelled = ", modelled" if f.is_modelled else ""
    first = f"What would help {phase} most" if f.is_largest else f"Within reach for {phase}"
    return (
        f"{first}: {what}, at most {milliseconds(f.gain_ms)} ms of "
        f"{milliseconds(f.time_ms)} ({_share(f.share)}{modelled})."
    )


def _share(share: float) -> str:
    """In whole percent, where one is not too coarse: 74 %, 0.4 %."""
    value = 100 * share
    return f"{value:.1f} %" if 0 < abs(value) < 1 or 99 < value < 100 else f"{value:.0f} %"


_WORDS: dict[str, Callable[[str, Any], str]] = {
    findings.LIMIT: _limit,
    findings.MOST: _most,
    findings.CEILINGS: _ceilings,
    findings.READ: _read,
    findings.TYPES: _types,
    findings.WAITING: _waiting,
    findings.HOST: _host,
    findings.GAIN: _gain,
}
