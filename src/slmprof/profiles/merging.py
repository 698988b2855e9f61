"""The profiles of several processes that measured the same, as one profile.

Repeats are counted on from process to process, so that a repeat's number still names one pair of
passes; `steps.process` says who made them. What a process does not measure but has (lanes, types,
places, buffers, observations) is that of the first one, or as for memory of the one that had most
of it resident; graphs that are equal are one graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from .all_tables import TABLES
from .data import ProfileData
from .records.bandwidth import RunBandwidth
from .records.energy import Energy
from .records.load import Load
from .records.meta import Memory, Meta, Run, Warmup
from .reduction import merge_stats
from .renumbering import Texts, renumbered
from .schema import Int32, Table
from .tables import StepTable
from .validation import check_profile
from .vocabulary import PASS_WARMUP


def merge_processes(profiles: Sequence[ProfileData]) -> ProfileData:
    """One profile of several, in the order of their processes.

    `run.n_repeats` and `run.n_repeats_done` are sums, `config.processes` counts the processes, the
    warnings of all are told once each; the rest of `meta` is the first one's.

    Args:
        profiles: at least one, of the same model and settings; each of one process or several.

    Raises:
        ValueError: there is none.
        ProfileFormatError: they do not fit together.
    """
    if not profiles:
        raise ValueError("there is no profile to merge")
    merged = profiles[0]
    for other in profiles[1:]:
        merged = _joined(merged, other)
    return merged


def n_processes(profile: ProfileData) -> int:
    """The processes that steps of the profile are of."""
    return len(np.unique(profile.steps.process))


def _joined(first: ProfileData, second: ProfileData) -> ProfileData:
    texts = Texts(first.strings)
    numbers = texts.numbers(second.strings)
    rows: dict[str, int | Int32] = {
        table.NAME: len(getattr(first, table.NAME)) for table in TABLES if table.NAME != "graphs"
    }
    lanes = renumbered(second.lanes, numbers, {})
    if _equal(first.lanes, lanes):
        rows["lanes"], lanes = 0, lanes.empty()
    tensors = renumbered(second.tensors, numbers, {})
    graphs = renumbered(second.graphs, numbers, {})
    known = _known_graphs(first, graphs, tensors)
    is_new = known < 0
    known[is_new] = len(first.graphs) + np.arange(int(is_new.sum()), dtype=np.int32)
    rows["graphs"] = known
    splits_new = is_new[second.splits.graph]
    rows["splits"] = _joined_splits(first, second, known, splits_new)

    own: dict[str, Table] = {"lanes": lanes, "graphs": graphs.take(is_new)}
    own["splits"] = renumbered(second.splits.take(splits_new), numbers, rows)
    of_new = second.tensors.take(is_new[second.tensors.graph])
    own["tensors"] = renumbered(of_new, numbers, rows)
    of_first = [first.text(name) for name in first.types.name.tolist()]
    new_types = [second.text(name) not in of_first for name in second.types.name.tolist()]
    own["types"] = renumbered(second.types.take(np.array(new_types, bool)), numbers, {})
    places = renumbered(second.places, numbers, {})
    mine, other = first.meta.memory, second.meta.memory
    tables: dict[str, Table] = {}
    for table in TABLES:
        name = table.NAME
        rest: Table = getattr(second, name)
        if name == "places":
            tables[name] = first.places if peak_of(mine) >= peak_of(other) else places
            continue
        if name == "steps":
            rest = _counted_on(first.steps, second.steps)
        elif name not in own:
            rest = renumbered(rest, numbers, rows)
        tables[name] = table.concatenate([getattr(first, name), own.get(name, rest)])
    made = ProfileData.of_tables(_joined_meta(first, second), tuple(texts.texts), tables)
    made = replace(made, stats=merge_stats(made.stats))
    check_profile(made)
    return made


def peak_of(memory: Memory) -> int:
    """The most that the process had resident; 0 where that is not known."""
    return memory.rss_peak_bytes or 0


def load_of(profiles: Sequence[ProfileData]) -> Load | UnsetType:
    """What others took of the cores while all of these were measured; unset where the first does
    not know."""
    loads = [profile.meta.environment.load for profile in profiles]
    joined = loads[0]
    for load in loads[1:]:
        if joined is not UNSET and load is not UNSET:
            joined = joined.joined(load)
    return joined


def _counted_on(first: StepTable, second: StepTable) -> StepTable:
    """The steps of the second, with processes and repeats counted on from the first."""
    counted = second.pass_ != PASS_WARMUP
    n_repeats = int(first.repeat[first.pass_ != PASS_WARMUP].max(initial=-1)) + 1
    return second.replace(
        process=second.process + np.int32(first.process.max(initial=-1) + 1),
        repeat=np.where(counted, second.repeat + np.int32(n_repeats), second.repeat),
    )


def _known_graphs(first: ProfileData, graphs: Table, tensors: Table) -> Int32:
    """For each graph of the second profile the equal one of the first, or -1; texts are one's."""
    hashes: dict[int, list[int]] = {}
    for number, value in enumerate(first.graphs.hash.tolist()):
        hashes.setdefault(value, []).append(number)
    found = np.full(len(graphs), -1, np.int32)
    columns = graphs.columns()
    for number, value in enumerate(columns["hash"].tolist()):
        own = tensors.take(tensors.columns()["graph"] == number)
        for candidate in hashes.get(value, ()):
            theirs = first.tensors.of_graph(candidate)
            theirs = theirs.replace(graph=np.full(len(theirs), number, np.int32))
            if _equal(own, theirs) and _equal(
                graphs.take(slice(number, number + 1)),
                first.graphs.take(slice(candidate, candidate + 1)),
            ):
                found[number] = candidate
                break
    return found


def _joined_splits(
    first: ProfileData, second: ProfileData, known: Int32, is_new: npt.NDArray[np.bool_]
) -> Int32:
    """int32[n]: the row that each split of the second has in both together, whose new graphs bring
    their own."""
    of_graph = np.searchsorted(first.splits.graph, known[second.splits.graph])
    place = np.arange(len(second.splits)) - np.searchsorted(
        second.splits.graph, second.splits.graph
    )
    added = len(first.splits) + np.cumsum(is_new) - 1
    rows: Int32 = np.where(is_new, added, of_graph + place).astype(np.int32)
    return rows


def _equal(one: Table, other: Table) -> bool:
    columns = other.columns()
    return all(np.array_equal(values, columns[name]) for name, values in one.columns().items())


def _joined_meta(first: ProfileData, second: ProfileData) -> Meta:
    meta, other = first.meta, second.meta
    mine = meta.environment.warnings
    config = replace(meta.config, processes=n_processes(first) + n_processes(second))
    environment = meta.environment.replace(load=load_of((first, second)))
    joined = meta.replace(
        config=config,
        environment=environment,
        run=_joined_run(meta.run, other.run),
        bandwidth=_joined_bandwidth(meta.bandwidth, other.bandwidth),
        energy=_joined_energy(meta.energy, other.energy),
        memory=max(meta.memory, other.memory, key=peak_of),
    )
    return joined.with_warnings(text for text in other.environment.warnings if text not in mine)


def _joined_run(first: Run, second: Run) -> Run:
    def added(one: int | None, other: int | None) -> int | None:
        return one + other if one is not None and other is not None else None

    warmup = dict(first.warmup)
    for phase, entry in second.warmup.items():
        before = warmup.get(phase, Warmup(0, entry.reason))
        reasons = {before.reason, entry.reason}
        reason = "limit" if "limit" in reasons else entry.reason
        warmup[phase] = Warmup(added(before.n_passes, entry.n_passes), reason)
    complete = (
        None
        if None in (first.complete, second.complete)
        else bool(first.complete and second.complete)
    )
    return first.replace(
        n_repeats=added(first.n_repeats, second.n_repeats),
        n_repeats_done=added(first.n_repeats_done, second.n_repeats_done),
        n_dropped=added(first.n_dropped, second.n_dropped),
        warmup=warmup,
        complete=complete,
        error=first.error or second.error,
    )


def _joined_bandwidth(
    bandwidth: RunBandwidth | None, other: RunBandwidth | None
) -> RunBandwidth | None:
    """The samples of both, in the order of the processes."""
    if bandwidth is None or other is None:
        return bandwidth or other
    return bandwidth.replace(samples=(*bandwidth.samples, *other.samples))


def _joined_energy(energy: Energy | None, other: Energy | None) -> Energy | None:
    """The windows of both, in the order of the processes."""
    if energy is None or other is None:
        return energy or other
    return energy.joined(other)
