"""What a GPU holds: predicted and allocated buffers, what CUDA takes beside them, and the driver's
own figure, with what no term explains."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ...profiles.records.device_memory import DeviceMemory
from ...profiles.records.meta import Buffer, Meta
from ...profiles.vocabulary import MEMORY_KINDS
from ..tables.typed import typed_table
from .reconciliation import DIFFERENCE, TERMS

COLUMNS = {
    "term": "object", "kind": "object", "predicted_bytes": "Int64", "held_bytes": "Int64",
}  # fmt: skip

POOLS, WORKSPACES, GRAPHS, CONTEXT = "pools", "workspaces", "graphs", "context"
_TERMS = {
    **TERMS,
    "weights": "weights",
    POOLS: "pools of kernels",
    WORKSPACES: "cuBLAS's workspaces",
    GRAPHS: "CUDA graphs",
    CONTEXT: "CUDA's context",
}


@dataclass(frozen=True, eq=False)
class DeviceUse:
    """One device.

    Attributes:
        memory: what was told of it.
        rows: one row a term, in `COLUMNS`: buffers by kind, then what is none, then the rest. Where
            the driver's figure is known the held bytes add up to it, the rest included, which has a
            sign; a term that is not known is null, and in the rest.
        rest_bytes: what no term explains, or None where there is no figure of the driver.
    """

    memory: DeviceMemory
    rows: pd.DataFrame
    rest_bytes: int | None


def device_uses(meta: Meta) -> tuple[DeviceUse, ...]:
    """The devices of which there is more to say than their buffers."""
    return tuple(_use(meta, device) for device in meta.memory.told_devices if device.tells)


def _use(meta: Meta, device: DeviceMemory) -> DeviceUse:
    allocated = _by_kind(meta.memory.buffers, device.device)
    predicted = _by_kind(meta.memory.predicted, device.device)
    kinds = [*MEMORY_KINDS, *sorted({*allocated, *predicted} - set(MEMORY_KINDS))]
    rows: list[dict[str, object]] = [
        {
            "term": _TERMS.get(kind, kind),
            "kind": kind,
            # Without a plan nothing is known of what it would have said.
            "predicted_bytes": predicted.get(kind, 0) if meta.memory.predicted else None,
            "held_bytes": allocated.get(kind, 0),
        }
        for kind in kinds
        if kind in allocated or kind in predicted
    ]
    beside = {
        POOLS: device.pool_bytes,
        WORKSPACES: device.workspace_bytes,
        GRAPHS: device.graph_bytes,
        CONTEXT: device.context_bytes,
    }
    rows += [_term(kind, size) for kind, size in beside.items()]
    rest = None
    if device.driver_bytes is not None:
        known = sum(allocated.values()) + sum(size for size in beside.values() if size is not None)
        rest = device.driver_bytes - known
        rows.append(_term(DIFFERENCE, rest))
    return DeviceUse(memory=device, rows=typed_table(rows, COLUMNS), rest_bytes=rest)


def _term(kind: str, held_bytes: int | None) -> dict[str, object]:
    term = {"term": _TERMS[kind], "kind": kind, "predicted_bytes": None}
    return {**term, "held_bytes": held_bytes}


def _by_kind(buffers: tuple[Buffer, ...], device: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for buffer in buffers:
        if buffer.device == device:
            kind = buffer.kind or "other"
            sizes[kind] = sizes.get(kind, 0) + buffer.size_bytes
    return sizes
