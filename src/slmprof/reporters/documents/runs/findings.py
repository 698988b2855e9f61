"""Findings as sentences, each with its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ....analysis.verdicts import findings
from ....analysis.verdicts.findings import Finding
from .. import parts
from ..parts import Section, listed
from ..quantities import bytes_text, milliseconds, rate, ratio
from ..quantities import whole_percent as share_text

_BOUNDS = {
    "memory": "memory-bound",
    "cache": "cache-bound",
    "compute": "compute-bound",
    "kernel": "kernel-bound",
    "sync": "synchronisation-bound",
}
_BLOCKS = {"ffn": "FFN"}
# Below, no single bound limits a phase.
_MAJORITY = 0.5
# Differences so small are not worth a word.
_SLIGHT = 0.005


def diagnosis(found: Sequence[Finding]) -> Section:
    """The sentences under their title."""
    sentences = (parts.Finding(finding_text(finding)) for finding in found)
    return Section("Diagnosis", tuple(sentences))


def main_findings(found: Sequence[Finding], most: int) -> list[Finding]:
    """Those that matter most: what limits each phase, what would help most, and what surprises."""

    def rank(finding: Finding) -> int:
        figures = finding.figures
        if isinstance(figures, (findings.Limit, findings.Most, findings.NoCeilings)):
            return 0
        if isinstance(figures, findings.Gain):
            return 1 if figures.is_largest else 4
        if isinstance(figures, findings.Types):
            return 2 if figures.unfit_share >= _SLIGHT else 6
        return 3 if isinstance(figures, (findings.Waiting, findings.Host)) else 5

    return sorted(found, key=rank)[:most]


def finding_record(finding: Finding) -> dict[str, Any]:
    """A finding as a record of `breakdown --format json`."""
    return {
        "phase": finding.phase,
        "topic": finding.topic,
        "text": finding_text(finding),
        "figures": finding.figures.to_json(),
    }


def finding_text(finding: Finding) -> str:
    """A finding as one or two sentences."""
    return _WORDS[finding.topic](finding.phase or "", finding.figures)


def _limit(phase: str, f: findings.Limit) -> str:
    name = phase.capitalize()
    if f.share < _MAJORITY:
        named = [f"{share_text(s)} {_BOUNDS.get(b, b)}" for b, s in f.shares.items()]
        text = f"No single bound dominates {phase}: its op time is {', '.join(named)}"
    elif f.bound == "unexplained":
        held = f"{share_text(f.share)} of its op time"
        text = f"What limits {phase} is unexplained ({held}): {_reached(f)}"
    else:
        text = f"{name} is {_BOUNDS.get(f.bound, f.bound)}: {share_text(f.share)} of its op time"
        text += _of_roof(f)
    if f.speedup is not None and f.speedup_threads is not None:
        text += f"; {f.speedup_threads} threads make it {ratio(f.speedup)}x as fast as one"
    return f"{text}."


def _reached(f: findings.Limit) -> str:
    """The shares of all roofs that are known."""
    roofs = {
        "memory": f.memory_share,
        "compute": f.compute_share,
        "the kernel's best": f.kernel_share,
    }
    known = [f"{share_text(s)} of {roof}" for roof, s in roofs.items() if s is not None]
    return f"{', '.join(known)} (modelled)" if known else "no roof is known"


def _of_roof(f: findings.Limit) -> str:
    if isinstance(f, findings.MemoryLimit):
        with_threads = f"{f.n_threads} thread{'s' if f.n_threads != 1 else ''}"
        if f.peak_range_gbps is None:
            reached = share_text(f.gbps / f.peak_gbps)
            return f" at {reached} of {rate(f.peak_gbps)} GB/s ({rate(f.gbps)}; {with_threads})"
        low, high = f.peak_range_gbps
        ends = f"{share_text(f.gbps / high)} to {share_text(f.gbps / low)}"
        return (
            f" at {ends} of a bandwidth that moved from {rate(low)} to {rate(high)} GB/s during "
            f"the run ({rate(f.gbps)}; {with_threads})"
        )
    if f.ceiling_share is None or f.bound == "sync":
        return ""
    if f.bound == "kernel":
        own = f" at {share_text(f.ceiling_share)} of the kernel's best"
        hardware = f", {share_text(f.compute_share)} of the hardware's" if f.compute_share else ""
        return f"{own}{hardware} (modelled)"
    return f" at {share_text(f.ceiling_share)} of peak (modelled)"


def _most(phase: str, f: findings.Most) -> str:
    share = share_text(f.share)
    where = f"{f.kernel} of {_block(f.block)}"
    return f"{phase.capitalize()} spends {share} of its op time in {where}."


def _ceilings(_: str, f: findings.NoCeilings) -> str:
    if f.n_cores is not None:
        cores = f"{f.n_cores} core{'s' if f.n_cores != 1 else ''}"
        return (
            f"No bounds: {f.n_threads} threads oversubscribe {cores}, for which there are no "
            "ceilings to compare with."
        )
    if f.measured_for is not None:
        return (
            f"No bounds: the ceilings at hand are those of {f.measured_for} threads, and this "
            f"run had {f.n_threads}."
        )
    return (
        "No bounds: this profile does not hold the machine's ceilings; a run with "
        "`--ceilings auto` measures them."
    )


def _read(_: str, f: findings.Read) -> str:
    rest = f.file_bytes - f.read_bytes
    is_all = rest < _SLIGHT * f.file_bytes
    at_least = "at least " if f.is_lower_bound and not is_all else ""
    text = (
        f"A decode step reads {at_least}{bytes_text(f.read_bytes)} of weights, "
        f"{share_text(f.share)} of the file"
    )
    if f.is_lower_bound or is_all:
        return f"{text}."
    if f.lookup_bytes >= rest / 2:
        return f"{text}; most of the rest is lookup tables, such as embeddings."
    if f.routed_bytes >= rest / 2:
        return f"{text}; most of the rest is experts that its tokens are not routed to."
    return f"{text}."


def _types(_: str, f: findings.Types) -> str:
    types = dict(f.types)
    named = f.named
    # llama.cpp says so where the file does not tell and its tensors do.
    label = (f.file_type or "The file").removeprefix("(guessed) ")
    if named is None:
        held = [f"{share_text(share)} {name}" for name, share in types.items()]
        return f"{label}: by size {listed(held)}."
    types.pop(named, None)
    others = [f"{share_text(share)} {name}" for name, share in types.items() if share >= _SLIGHT]
    text = f"{label}: by size {share_text(f.named_share or 0.0)} {named}"
    text += f", {listed(others)}" if others else ""
    if f.unfit_share >= _SLIGHT:
        rows = listed([str(n) for n in f.unfit_rows])
        text += (
            f"; {share_text(f.unfit_share)} are in other types because rows of {rows} elements "
            f"are no multiple of {named}'s block"
        )
    return f"{text}."


def _waiting(phase: str, f: findings.Waiting) -> str:
    text = (
        f"Threads wait {share_text(f.share)} of {phase} ({milliseconds(f.wait_ms)} of "
        f"{milliseconds(f.time_ms)} ms), {share_text(f.block_share)} of that in "
        f"{_block(f.block)}"
    )
    if f.imbalance_ms is None or f.barrier_ms is None:
        return f"{text}."
    return (
        f"{text}: load imbalance costs {milliseconds(f.imbalance_ms)} ms, barriers and "
        f"wake-up {milliseconds(f.barrier_ms)} ms."
    )


def _host(phase: str, f: findings.Host) -> str:
    return (
        f"A step of {phase} spends {milliseconds(f.host_ms)} of {milliseconds(f.time_ms)} ms "
        f"({share_text(f.share)}) outside the graph, most of it in {f.most} "
        f"({milliseconds(f.most_ms)} ms)."
    )


def _gain(phase: str, f: findings.Gain) -> str:
    if isinstance(f, findings.CeilingGain):
        ops = "matmuls" if f.ops == "products" else f.ops
        what = f"{_block(f.block)} {ops} at the roofline"
    elif isinstance(f, findings.QuantizeGain):
        what = f"{_block(f.block)} weights in {f.to_type} instead of {f.type}"
    else:
        what = "no load imbalance and free barriers"
    modelled = ", modelled" if f.is_modelled else ""
    first = "Largest potential gain" if f.is_largest else "Next potential gain"
    return (
        f"{first} in {phase}: {what}, at most {milliseconds(f.gain_ms)} of "
        f"{milliseconds(f.time_ms)} ms ({share_text(f.share)}{modelled})."
    )


def _block(name: str) -> str:
    return _BLOCKS.get(name, name)


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
