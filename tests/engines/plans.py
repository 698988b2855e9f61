"""What the planner says, held against what the engine then allocates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from engines import make_settings, open_engine

from slmprof import _core

USAGE_WEIGHTS = 1


def allocated(buffers: list[_core.BufferRecord]) -> list[_core.BufferRecord]:
    """Without the threads' work buffer, which is made in the first step."""
    return [buffer for buffer in buffers if buffer["kind"] != "work"]


def peak_bytes(graph: _core.PlannedGraph) -> int:
    """Where the last of the graph's compute tensors ends in each of the allocator's buffers, added
    up."""
    tensors = graph["tensors"]
    mine = (tensors["offset_bytes"] >= 0) & (tensors["view_src"] < 0)
    ends = tensors["offset_bytes"][mine] + tensors["size_bytes"][mine]
    buffers = tensors["buffer"][mine]
    return sum(int(ends[buffers == buffer].max()) for buffer in np.unique(buffers))


def differences(path: Path, **settings: Any) -> list[str]:
    """In what the plan and the engine disagree, in words; a refusal must be the same one."""
    native = make_settings(path, **settings)
    planner = _core.Planner(native)
    plan: _core.Plan | None = None
    try:
        plan = planner.plan(native)
        answer = ""
    except (_core.NativeEngineError, ValueError) as error:
        answer = str(error)
    try:
        engine = open_engine(path, **settings)
    except (_core.NativeEngineError, ValueError) as error:
        return [] if answer == str(error) else [f"refused: {answer!r} against {error}"]
    if plan is None:
        return [f"refused: {answer}"]
    return [
        *_in_buffers(plan, engine),
        *_in_places(planner, plan, engine),
        *_in_graphs(planner, plan),
    ]


def _in_buffers(plan: _core.Plan, engine: _core.Engine) -> list[str]:
    planned = allocated(plan["buffers"])
    found = (
        [] if planned == engine.buffers() else [f"buffers: {planned} against {engine.buffers()}"]
    )
    if plan["context"] != engine.context_info():
        found.append(f"context: {plan['context']} against {engine.context_info()}")
    return found


def _in_places(planner: _core.Planner, plan: _core.Plan, engine: _core.Engine) -> list[str]:
    """All of a tensor's place is planned but which allocation it is in, and where in it."""
    found = []
    real, weights, caches = engine.places(), planner.weights(), plan["caches"]
    planned_weights, planned_caches = dict(weights), dict(caches)
    for column, values in real.items():
        planned = [*planned_weights[column], *planned_caches[column]]
        if column not in ("buffer", "offset_bytes") and planned != list(values):
            found.append(f"places: {column} differs")
    for planned_places in (weights, caches):
        if not (
            (planned_places["buffer"] == -1).all() and (planned_places["offset_bytes"] == -1).all()
        ):
            found.append("places: a planned tensor has an address")
    if not ((real["buffer"] >= 0).all() and (real["offset_bytes"] >= 0).all()):
        found.append("places: an allocated tensor has no address")
    if len(real["name"]) and not _are_apart(real):
        found.append("places: two tensors overlap")
    return found


def _are_apart(places: dict[str, Any]) -> bool:
    order = np.lexsort((places["offset_bytes"], places["buffer"]))
    begin, size = places["offset_bytes"][order], places["size_bytes"][order]
    same = places["buffer"][order][1:] == places["buffer"][order][:-1]
    return bool(((begin + size)[:-1][same] <= begin[1:][same]).all())


def _in_graphs(planner: _core.Planner, plan: _core.Plan) -> list[str]:
    found = []
    largest = 0
    weights = planner.weights()
    types = set(zip(weights["name"], weights["buffer_type"], strict=True))
    for graph in plan["graphs"]:
        size = sum(buffer["size_bytes"] for buffer in graph["buffers"])
        # The allocator rounds the size of each up to its alignment.
        if not size - 64 * len(graph["buffers"]) < peak_bytes(graph) <= size:
            found.append(f"{graph['phase']}: tensors end at {peak_bytes(graph)}, buffer {size}")
        if not _weight_types(graph) <= types:
            found.append(f"{graph['phase']}: weights in {_weight_types(graph) - types}")
        largest = max(largest, size)
    compute = sum(b["size_bytes"] for b in plan["buffers"] if b["kind"] == "compute")
    if compute < largest:
        found.append(f"compute {compute} is less than {largest}")
    return found


def _weight_types(graph: _core.PlannedGraph) -> set[tuple[str, str]]:
    """Names and buffer types of the weights that a graph reads."""
    tensors, strings = graph["tensors"], graph["strings"]
    mine = (tensors["usage"] == USAGE_WEIGHTS) & (tensors["view_src"] < 0)
    names, types = tensors["name"][mine], tensors["buffer_type"][mine]
    return {(strings[name], strings[kind]) for name, kind in zip(names, types, strict=True)}
