"""The report of a device's ceilings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ...analysis.work.roofs import device_level_roofs, device_peak_roofs
from ...profiles.records.device_ceilings import DeviceCeilings
from .ceilings import bandwidth_figures
from .parts import Caveat, Column, Document, Headline, Note, Part, Rows, Section, Table, said
from .quantities import rate

_COLUMNS = (
    "kind", "name", "operation", "unit_of_device", "working_set_bytes", "value", "unit", "device",
    "card", "measured_at", "warnings",
)  # fmt: skip
_DIRECTIONS = {"to_device": "host to device", "to_host": "device to host"}
_UNITS = {"core": "cores", "tensor": "tensor cores"}


def device_ceilings_document(ceilings: DeviceCeilings, source: str) -> Document:
    """The report of a device's ceilings; `source` is where they come from, as words."""
    return Document(
        lambda: _parts(ceilings, source),
        lambda: _data(ceilings, source),
        lambda: Rows(_COLUMNS, _figures(ceilings)),
    )


def _data(ceilings: DeviceCeilings, source: str) -> dict[str, Any]:
    """The object that a file of a device's ceilings holds, with `source` and the tables' rows."""
    return {
        **ceilings.to_json(),
        "source": source,
        "levels": [asdict(row) for row in device_level_roofs(ceilings)],
        "instructions": [asdict(row) for row in device_peak_roofs(ceilings)],
    }


def _figures(ceilings: DeviceCeilings) -> Iterator[dict[str, Any]]:
    """One row for each figure, with its unit; kinds are bandwidth, peak, transfer, op."""
    always = {
        "device": ceilings.device,
        "card": ceilings.fingerprint.name,
        "measured_at": ceilings.measured_at,
        "warnings": "; ".join(ceilings.warnings),
    }
    yield from bandwidth_figures(ceilings.bandwidth, always)
    for peak in ceilings.peaks:
        if peak.gflops is not None:
            yield {
                "kind": "peak", "name": peak.name, "unit_of_device": peak.unit,
                "value": peak.gflops, "unit": "GFLOP/s", **always,
            }  # fmt: skip
    for transfer in ceilings.transfers:
        yield {
            "kind": "transfer", "name": transfer.direction,
            "working_set_bytes": transfer.size_bytes, "value": transfer.gbps, "unit": "GB/s",
            **always,
        }  # fmt: skip
    yield {"kind": "op", "value": ceilings.op_ns, "unit": "ns", **always}


def _parts(ceilings: DeviceCeilings, source: str) -> list[Part]:
    of = ceilings.fingerprint
    major, minor = divmod(of.compute_capability, 10)
    facts = [
        f"{ceilings.device} {of.name}",
        f"compute capability {major}.{minor}",
        f"driver {of.driver}" if of.driver else None,
    ]
    when = f"{source}: {ceilings.measured_at}, {ceilings.seconds:.1f} s"
    caveats: list[Part] = [Caveat(text) for text in ceilings.warnings]
    sections = said([_bandwidth(ceilings), _transfers(ceilings), _peaks(ceilings)])
    about = ("Ceilings", *(fact for fact in facts if fact))
    return [Headline((about, (when,))), *sections, *caveats]


def _bandwidth(ceilings: DeviceCeilings) -> Section:
    columns = (
        Column("level"), Column("size", "size", "size_bytes"),
        Column("measured on", "size", "working_set_bytes"),
        Column("read GB/s", "rate", "read_gbps"), Column("copy GB/s", "rate", "copy_gbps"),
    )  # fmt: skip
    table = Table.of(columns, device_level_roofs(ceilings))
    text = "L2 is the cache that all multiprocessors share. Both arrays of a copy count."
    if ceilings.nominal_gbps is not None:
        text += f" By clock and width of its bus, memory has {rate(ceilings.nominal_gbps)} GB/s."
    return Section("Bandwidth", (table, Note(text)))


def _transfers(ceilings: DeviceCeilings) -> Section:
    columns = (
        Column("direction"), Column("size", "size", "size_bytes"), Column("GB/s", "rate", "gbps"),
    )  # fmt: skip
    rows = [
        {**row.to_json(), "direction": _DIRECTIONS.get(row.direction, row.direction)}
        for row in ceilings.transfers
    ]
    text = "Pinned memory of the host; what ggml copies from ordinary memory is slower."
    return Section("Link to the host", (Table.of(columns, rows), Note(text)) if rows else ())


def _peaks(ceilings: DeviceCeilings) -> Section:
    columns = [
        Column("instruction", key="name"), Column("on", key="unit"),
        Column("GFLOP/s", "rate", "gflops"), Column("FLOP/B", "rate", "ridge"),
    ]  # fmt: skip
    roofs = device_peak_roofs(ceilings)
    if any(row.gflops is None for row in roofs):
        columns.append(Column("note"))
    rows = [
        {
            **asdict(row),
            "unit": _UNITS.get(row.unit, row.unit),
            "note": "not offered by this device" if row.gflops is None else "",
        }
        for row in roofs
    ]
    text = (
        "Single instructions on registers, named by the types of factors and sums. A multiply-add "
        "counts as 2, of integers too. FLOP/B is the ridge point: the FLOP per byte from memory "
        f"above which arithmetic is the lower roof. An empty kernel takes {ceilings.op_ns:.0f} ns."
    )
    return Section("Instructions", (Table.of(tuple(columns), rows), Note(text)) if rows else ())
