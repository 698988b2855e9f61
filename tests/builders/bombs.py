"""Profiles that are made to take far more time or memory than their files have bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from builders import DECODE, Builder, example_profile
from gpu_builder import gpu_profile
from memory_builder import with_memory

from slmprof.analysis.timing.spans import op_stats
from slmprof.profiles.all_tables import TABLES
from slmprof.profiles.records.meta import Meta
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING
from slmprof.views import Profile

# Tables that stay valid when each row stands several times in its place.
REPEATABLE = (
    *("steps", "segments", "copies", "events", "traces", "stray_kernels", "transfers"),
    *("places", "types"),
)


def padded(path: Path, file_bytes: int) -> None:
    """Makes a file larger by a member that nobody reads, so that more is allowed for its size."""
    missing = file_bytes - path.stat().st_size
    if missing > 0:
        noise = np.random.default_rng(0).bytes(missing)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as old:
            old.writestr("noise", noise)


def save_tight(profile: Profile, path: Path) -> None:
    """Saves a profile packed as tightly as it can be."""
    profile.save(path)
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name, data in members.items():
            new.writestr(name, data)


def widest() -> Profile:
    """A profile with rows in nearly every table."""
    return with_memory(gpu_profile())


def with_rows(profile: Profile, table: str, n_rows: int) -> Profile:
    """The profile with about so many rows in a table, equal ones beside each other."""
    rows = getattr(profile, table)
    if not len(rows):
        return profile
    times = max(1, n_rows // len(rows))
    many = rows.take(np.repeat(np.arange(len(rows)), times))
    return profile.with_tables({table: many})


def many_steps(n: int, **columns: Callable[[Any], Any]) -> Profile:
    """Decode steps of the timing and the op pass, in turns; `columns` of their numbers."""
    profile = example_profile()
    number = np.arange(n)
    begin = number * 1000 + int(profile.steps.end_ns.max())
    made = {
        "phase": np.full(n, DECODE),
        "pass": np.where(number % 2 == 0, PASS_TIMING, PASS_OP),
        "repeat": number % 5,
        "index": number // 10,
        "depth": np.zeros(n),
        "n_tokens": np.ones(n),
        "n_past": number // 10,
        "begin_ns": begin,
        "end_ns": begin + 900 + number % 7,
        **{name: np.zeros(n) for name in ("process", "cpu_ns", "n_preempted", "set_apart")},
        **{name: of(number) for name, of in columns.items()},
    }
    steps = type(profile.steps)
    added = steps.from_columns(
        {
            name: np.asarray(values).astype(steps.schema()[name].dtype)
            for name, values in made.items()
        }
    )
    return profile.with_tables({"steps": steps.concatenate([profile.steps, added])})


def many_ops(n: int, n_kernels: int = 1_900) -> Profile:
    """Statistics of so many ops, with as much code as a profile may name."""
    profile = example_profile()
    stats = op_stats(profile)
    stats = stats.take(np.resize(np.arange(len(stats)), n))
    texts = tuple(f"vec_dot_{i}" for i in range(min(n, n_kernels)))
    stats = stats.replace(path=len(profile.strings) + np.arange(n) % len(texts))
    made = profile.with_tables({"stats": stats, "events": profile.events.take(slice(0, 0))})
    meta = made.meta.replace_run(events="aggregate")
    return replace(made, meta=meta, strings=(*profile.strings, *texts))


def many_graphs(n: int) -> Profile:
    """The same graph so many times, each with ops of its own in the statistics."""
    profile = example_profile()
    graph, n_rows = profile.tensors.of_graph(1), len(profile.tensors.of_graph(1))
    tensors = graph.take(np.resize(np.arange(n_rows), n * n_rows))
    tensors = tensors.replace(graph=np.repeat(np.arange(n), n_rows).astype(np.int32))
    graphs = profile.graphs.take(np.resize([1], n)).replace(hash=np.arange(n, dtype=np.uint64))
    splits = profile.splits.take(np.resize([1], n)).replace(graph=np.arange(n, dtype=np.int32))
    stats = op_stats(profile)
    stats = stats.take(np.flatnonzero((stats.graph == 1) & (stats.phase == DECODE)))
    n_ops = len(stats)
    stats = stats.take(np.resize(np.arange(n_ops), n * n_ops))
    stats = stats.replace(graph=np.repeat(np.arange(n), n_ops).astype(np.int32))
    zeros = np.zeros(len(profile.runs), np.int32)
    made = profile.with_tables(
        {
            "tensors": tensors,
            "graphs": graphs,
            "splits": splits,
            "stats": stats,
            "runs": profile.runs.replace(graph=zeros, split=zeros),
            "events": profile.events.take(slice(0, 0)),
        }
    )
    return replace(made, meta=made.meta.replace_run(events="aggregate"))


def one_graph(n_nodes: int, op: str, sources: Callable[[int], list[int]]) -> Profile:
    """A graph of so many nodes of one operator beside the others, and an op of its last one.

    Args:
        sources: what a node reads, by its number; `n_nodes` is the one leaf.
    """
    builder = Builder().fill()
    graph = builder.graphs.add(hash=2**63, n_nodes=n_nodes, backend=builder.text("CPU"))
    number = builder.text(op)
    size = {"ne0": 1, "ne1": 1, "ne2": 1, "ne3": 1, "nb0": 4, "nb1": 4, "nb2": 4, "nb3": 4}
    common = {
        "graph": graph,
        "type": builder.text("f32"),
        "buffer_type": builder.text("CPU"),
        "view_src": -1,
        "usage": 2,
        "flags": 16,
        "size_bytes": 4,
        **size,
    }
    names = [builder.text(text) for text in ("x", "blk.0.x")]
    for node in range(n_nodes + 1):
        read = sources(node) if node < n_nodes else []
        of = {f"src{i}": read[i] if i < len(read) else -1 for i in range(10)}
        is_leaf = node == n_nodes
        builder.tensors.add(
            **common,
            **of,
            node=-1 if is_leaf else node,
            op=builder.text("NONE") if is_leaf else number,
            name=names[node % 2],
        )
    profile = builder.build()
    stats = op_stats(example_profile())
    last = stats.take(slice(0, 1)).replace(graph=[graph], node=[n_nodes - 1], n_fused=[0])
    made = profile.with_tables(
        {
            "stats": type(stats).concatenate([stats, last]),
            "events": profile.events.take(slice(0, 0)),
        }
    )
    return replace(made, meta=made.meta.replace_run(events="aggregate"))


def with_meta(change: Callable[[dict[str, Any]], None]) -> Profile:
    """The example with its meta data changed, whatever that does to it."""
    profile = example_profile()
    meta = profile.meta.to_json()
    change(meta)
    return replace(profile, meta=Meta.from_json(meta))


def save_with_meta(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A file with meta data that no record could hold."""
    from archive_edits import edit, meta_bytes

    example_profile().save(path)
    edit(path, meta_bytes(change))


def table_bytes(profile: Profile) -> int:
    return sum(
        column.nbytes for t in TABLES for column in getattr(profile, t.NAME).columns().values()
    )
