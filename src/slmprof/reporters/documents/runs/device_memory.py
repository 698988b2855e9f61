"""Memory of a run on its GPUs: what was predicted, what is held, and the driver's own figure."""

from __future__ import annotations

from typing import Any

from ....analysis.memory.device_use import DeviceUse
from ....analysis.memory.reconciliation import DIFFERENCE
from ....profiles.records.device_memory import DeviceMemory
from ..parts import Column, Quantity, Row, Section, Table, notes
from ..quantities import bytes_text
from ..records import records


def device_memory_data(use: DeviceUse) -> dict[str, Any]:
    """An item of `memory.devices`."""
    return {**use.memory.to_json(), "rest_bytes": use.rest_bytes, "terms": records(use.rows)}


def device_memory_section(use: DeviceUse) -> Section:
    """The terms of one device, and the driver's figure as their sum."""
    rows = records(use.rows)
    columns = (Column("memory, MiB"), Column("predicted", "mib"), Column("held", "mib"))
    cells: list[Row] = [
        (
            row["term"],
            row["predicted_bytes"] if row["predicted_bytes"] is not None else "",
            Quantity(row["held_bytes"], "mib_change")
            if row["kind"] == DIFFERENCE
            else row["held_bytes"],
        )
        for row in rows
    ]
    predicted = [r["predicted_bytes"] for r in rows if r["predicted_bytes"] is not None]
    held = sum(int(row["held_bytes"]) for row in rows if row["held_bytes"] is not None)
    name = "total, without what is not known"
    if use.memory.driver_bytes is not None:
        name = "total; held is the driver's own figure"
    total = (name, sum(predicted) if predicted else "", held)
    title = f"Memory on {use.memory.device} at the end"
    return Section(title, (Table(columns, cells, total), *notes(*_texts(use.memory))))


def _texts(memory: DeviceMemory) -> list[str]:
    texts = []
    if memory.most_used_pool_bytes:
        text = (
            f"The pools held up to {bytes_text(memory.most_pool_bytes or 0)}, of which at most "
            f"{bytes_text(memory.most_used_pool_bytes)} were in use"
        )
        if memory.pool_op is not None:
            text += f", for {memory.pool_op} ({memory.pool_tensor})"
        texts.append(f"{text}.")
    if memory.method == "device":
        texts.append(
            "The driver does not tell what this process holds: its figure is by how much more is "
            "in use on the whole device than before, by whichever process."
        )
    if memory.driver_bytes is not None:
        texts.append(
            "The difference is the driver's own: code of kernels, which is loaded when they first "
            "run, executable graphs, and what it rounds up."
        )
    if memory.note is not None:
        texts.append(f"{memory.note[:1].upper()}{memory.note[1:]}.")
    return texts
