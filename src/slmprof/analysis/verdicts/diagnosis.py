"""What limits a model on a machine, and what it reads, holds and waits for: facts with figures.

Reporters make sentences of them. Nothing here is guessed: what the profile cannot tell, because
ceilings or work are not known, has no finding.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from ...profiles.records.bandwidth import RunBandwidth
from ...profiles.records.ceilings import MEMORY, Ceilings
from ...profiles.records.meta import Model
from ...profiles.tables import TensorType
from ..graphs.kernel_names import OF_NO_OP
from ..memory.weights import LOOKED_UP, ROUTED
from ..tables.waits import wait_table, wait_totals
from ..timing.phases import PhaseSummary
from ..work.roofline import SHARES
from .fallbacks import named_type
from .findings import Finding, Host, Limit, MemoryLimit, Most, NoCeilings, Read, Types, Waiting
from .gains import gains, is_product
from .tensor_types import rows_unfit

MAX_FINDINGS = 8
MIN_WAIT_SHARE = 0.03
MIN_HOST_SHARE = 0.05
_N_TYPES = 4
# So much op time may have unknown weight bytes before their sum is called a lower bound.
_MAX_UNKNOWN = 0.01


def diagnose(
    ops: pd.DataFrame,
    phases: Sequence[PhaseSummary],
    model: Model,
    ceilings: Ceilings | None,
    weights: pd.DataFrame,
    types: Mapping[str, TensorType],
    n_threads: Mapping[str, int],
    n_cores: int | None = None,
    bandwidth: RunBandwidth | None = None,
    speedups: Mapping[str, tuple[float, int]] = MappingProxyType({}),
    devices: Collection[str] = (),
) -> tuple[Finding, ...]:
    """At most `MAX_FINDINGS` findings, in the order in which they are to be told.

    Args:
        ops: op rows (`analysis.tables.ops`) of the phases to speak of.
        phases: their summaries.
        model: `meta.model` of the profile; sizes and types may be absent.
        ceilings: `meta.ceilings`; None where this machine's were not measured.
        weights: `analysis.memory.weights.weight_table`.
        types: the profile's tensor types by name.
        n_threads: threads of each phase.
        n_cores: of the machine that it ran on; None where that is not known.
        bandwidth: of memory, beside the passes; None where the ceilings' own counts.
        speedups: for each phase how much faster its ops are than on one thread, and on how many;
            empty where that was not measured.
        devices: those beside the CPU that have ceilings of their own.
    """
    if ops.empty:
        return tuple(_types(model, weights, types))
    by_phase = {str(phase): rows for phase, rows in ops.groupby("phase", sort=False)}
    first: list[Finding] = []
    for phase, rows in by_phase.items():
        first += _limit(phase, rows, ceilings, bandwidth, speedups.get(phase), devices)
    if not ops["bound"].notna().any():
        first += _ceilings(ceilings, n_threads, n_cores)
    if "decode" in by_phase:
        first += _read(by_phase["decode"], model, weights)
    first += _types(model, weights, types)
    costs: list[tuple[str, Waiting | Host]] = [*_waiting(ops, n_threads), *_hosts(phases)]
    last = gains(ops, weights, model, types, n_threads)
    room = max(0, MAX_FINDINGS - len(first) - len(last))
    dearest = sorted(costs, key=lambda cost: -cost[1].share)[:room]
    return (*first, *(Finding(*cost) for cost in costs if cost in dearest), *last)


def _limit(
    phase: str,
    rows: pd.DataFrame,
    ceilings: Ceilings | None,
    bandwidth: RunBandwidth | None,
    speedup: tuple[float, int] | None,
    devices: Collection[str],
) -> list[Finding]:
    """The bound with the largest share; without bounds the largest group of ops."""
    total = float(rows["time_ms"].sum())
    if total <= 0:
        return []
    known = rows[rows["bound"].notna()]
    if known.empty:
        return _most(phase, rows, total)
    shares = (known.groupby("bound")["time_ms"].sum() / total).sort_values(ascending=False)
    bound = str(shares.index[0])
    chosen = known[known["bound"] == bound]
    limit = Limit(
        bound=bound,
        share=float(shares.iloc[0]),
        shares={str(name): float(share) for name, share in shares.items()},
        **_mean_shares(chosen),
        speedup=speedup[0] if speedup else None,
        speedup_threads=speedup[1] if speedup else None,
    )
    # The machine's bandwidth is no measure of what another device has read.
    is_elsewhere = "device" in chosen and bool(chosen["device"].isin(devices).any())
    if bound == "memory" and not is_elsewhere:
        counted = chosen[chosen["bytes"].notna()]
        time = float(counted["time_ms"].sum())
        peak = ceilings.gbps(MEMORY) if ceilings is not None else None
        if time > 0 and ceilings is not None and peak is not None:
            is_of_run = bandwidth is not None and bandwidth.n_threads == ceilings.n_threads
            beside = bandwidth if is_of_run else None
            limit = MemoryLimit(
                **limit.to_json(),
                gbps=float(counted["bytes"].sum()) / time / 1e6,
                peak_gbps=beside.gbps() if beside else peak,
                n_threads=ceilings.n_threads,
                peak_range_gbps=beside.range_gbps() if beside and not beside.is_steady else None,
            )
    return [Finding(phase, limit)]


def _mean_shares(rows: pd.DataFrame) -> dict[str, Any]:
    return {name: _weighted(rows[name], rows["time_ms"]) for name in SHARES}


def _most(phase: str, rows: pd.DataFrame, total: float) -> list[Finding]:
    times = rows[~rows["kernel"].isin(OF_NO_OP)].groupby(["block", "kernel"])["time_ms"].sum()
    if times.empty:
        return []
    block, kernel = times.idxmax()
    share = float(times.max()) / total
    return [Finding(phase, Most(block, kernel, share))]


def _ceilings(
    ceilings: Ceilings | None, n_threads: Mapping[str, int], n_cores: int | None
) -> list[Finding]:
    most = max(n_threads.values(), default=0)
    measured_for = ceilings.n_threads if ceilings is not None else None
    if measured_for == most and ceilings is not None:
        return []
    figures = NoCeilings(
        n_threads=most,
        n_cores=n_cores if n_cores is not None and n_cores < most else None,
        measured_for=measured_for,
    )
    return [Finding(None, figures)]


def _weighted(values: pd.Series, times: pd.Series) -> float | None:
    known = values.notna()
    time = float(times[known].sum())
    return float((values[known] * times[known]).sum()) / time if time > 0 else None


def _read(rows: pd.DataFrame, model: Model, weights: pd.DataFrame) -> list[Finding]:
    file_bytes = model.size_bytes
    known = rows["weight_bytes"].notna()
    read = float(rows.loc[known, "weight_bytes"].sum())
    if not file_bytes or read <= 0:
        return []
    lost = rows[~known]
    is_lower = bool(is_product(lost).any()) or float(lost["time_ms"].sum()) > _MAX_UNKNOWN * float(
        rows["time_ms"].sum()
    )
    size = weights.groupby("read")["size_bytes"].sum()
    figures = Read(
        read_bytes=read,
        file_bytes=float(file_bytes),
        share=read / float(file_bytes),
        is_lower_bound=is_lower,
        lookup_bytes=float(size.get(LOOKED_UP, 0)),
        routed_bytes=float(size.get(ROUTED, 0)),
    )
    return [Finding("decode", figures)]


def _types(model: Model, weights: pd.DataFrame, types: Mapping[str, TensorType]) -> list[Finding]:
    sizes = {name: float(size) for name, size in model.tensor_types.items()}
    total = sum(size for size in sizes.values() if size > 0)
    if total <= 0:
        return []
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    file_type = model.file_type
    named = named_type(file_type or "", types)
    unfit = rows_unfit(weights, named, types)
    figures = Types(
        file_type=file_type,
        named=named,
        named_share=sizes.get(named, 0.0) / total if named else None,
        types={name: size / total for name, size in ordered[:_N_TYPES] if size > 0},
        unfit_share=float(unfit["size_bytes"].sum()) / total,
        unfit_rows=tuple(sorted({int(shape[0]) for shape in unfit["shape"]})),
    )
    return [Finding(None, figures)]


def _waiting(ops: pd.DataFrame, n_threads: Mapping[str, int]) -> list[tuple[str, Waiting]]:
    blocks = wait_table(ops)
    found = []
    for total in wait_totals(ops).to_dict("records"):
        phase, share = total["phase"], total["wait_share"]
        if n_threads.get(phase, 0) < 2 or not share >= MIN_WAIT_SHARE:
            continue
        own = blocks[blocks["phase"] == phase]
        most = own.loc[own["wait_ms"].idxmax()]
        figures = Waiting(
            wait_ms=total["wait_ms"],
            time_ms=total["time_ms"],
            share=share,
            block=most["block"],
            block_share=float(most["wait_ms"]) / total["wait_ms"],
            imbalance_ms=_number(total["imbalance_ms"]),
            barrier_ms=_number(total["barrier_ms"]),
        )
        found.append((phase, figures))
    return found


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _hosts(phases: Sequence[PhaseSummary]) -> list[tuple[str, Host]]:
    found = []
    for summary in phases:
        segments, wall = summary.segments_ms, summary.profiled_latency_ms
        if segments is None or wall is None or wall.mean <= 0:
            continue
        host = segments.host_prepare + segments.host_finish
        if host <= MIN_HOST_SHARE * wall.mean:
            continue
        named = {k: v for k, v in summary.host_segments_ms.items() if k != "copies"}
        most = max(named, key=lambda name: named[name])
        figures = Host(
            host_ms=host, time_ms=wall.mean, share=host / wall.mean, most=most, most_ms=named[most]
        )
        found.append((summary.phase, figures))
    return found
