"""Predicted, allocated and resident bytes side by side, and what none of them explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ...profiles.records.meta import Meta, Observation, ObservedBuffer
from ...profiles.tables import PlaceTable
from ...settings.devices import is_mapped, is_repacked

COLUMNS: dict[str, str] = {
    "term": "object", "kind": "object", "device": "object", "buffer_type": "object",
    "predicted_bytes": "Int64", "allocated_bytes": "Int64", "resident_bytes": "Int64",
}  # fmt: skip

ORIGINALS = "mmapped source of repacked weights"
# What is no buffer of llama.cpp, in the order of the rows.
RECORDER, HEAP, LIBRARIES, START = "recorder", "heap", "libraries", "process"
BETWEEN, DIFFERENCE = "between_points", "difference"
TERMS: dict[str, str] = {
    "kv_cache": "KV cache",
    "recurrent_state": "recurrent state",
    "compute": "compute buffer",
    "output": "output buffer",
    "work": "threads' work buffer",
    RECORDER: "slmprof's recorder",
    HEAP: "heap since the start",
    LIBRARIES: "libraries since the start",
    START: "process before loading",
    BETWEEN: "peak between the points",
    DIFFERENCE: "difference",
}
_MOST = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Reconciliation:
    """The rows, and what they are about.

    Attributes:
        rows: one row a term, in `COLUMNS`. Where the peak is known, the resident bytes add up to
            it exactly, the difference included, which has a sign.
        point: the observed point at which most was resident, which the rows describe; None where
            nothing was observed.
        n_past: tokens in the context at that point.
        peak_bytes: the most that the process had resident, or None.
        difference_bytes: what no term explains, or None where it cannot be told.
    """

    rows: pd.DataFrame
    point: str | None
    n_past: int
    peak_bytes: int | None
    difference_bytes: int | None


_Buffer = tuple[str | None, str | None, str]
_Key = tuple[str, _Buffer]


@dataclass(frozen=True)
class _Term:
    term: str
    kind: str
    device: str | None = None
    buffer_type: str | None = None
    predicted_bytes: int | None = None
    allocated_bytes: int | None = None
    resident_bytes: int | None = None

    @property
    def buffer(self) -> _Buffer:
        """What a prediction tells buffers apart by."""
        return self.device, self.buffer_type, self.kind


def reconcile(meta: Meta, places: PlaceTable) -> Reconciliation:
    """The reconciliation of a run's memory, at the observed point with most of it resident.

    A profile without observations has the rows of its buffers, and null for what is not known.
    """
    observations = meta.memory.observations
    seen = [o for o in observations if o.rss_bytes is not None and o.point != "start"]
    at = max(seen, key=lambda o: o.rss_bytes or 0) if seen else None
    terms = _with_predictions(_buffer_terms(meta, at, places), meta)
    peaks = [meta.memory.rss_peak_bytes, *(o.rss_bytes for o in observations)]
    peaks += [o.rss_peak_bytes for o in observations]
    peak = max((int(value) for value in peaks if value is not None), default=None)
    difference = None
    if at is not None and peak is not None:
        start = next((o for o in observations if o.point == "start"), None)
        terms += _process_terms(at, start, peak)
        known = [term.resident_bytes for term in terms]
        if None not in known:
            difference = peak - sum(value for value in known if value is not None)
        terms.append(_Term(TERMS[DIFFERENCE], DIFFERENCE, resident_bytes=difference))
    return Reconciliation(
        rows=_table(terms),
        point=at.point if at else None,
        n_past=at.n_past if at else 0,
        peak_bytes=peak,
        difference_bytes=difference,
    )


def _buffer_terms(meta: Meta, at: Observation | None, places: PlaceTable) -> list[_Term]:
    """One term for each kind and type of buffer, and for what differs within these.

    What was allocated is what there was at the end, also where most was resident before.
    """
    if at is None:
        return _merged(
            [
                _Term(
                    term=_name(buffer.kind or "other", buffer.buffer_type, None),
                    kind=buffer.kind or "other",
                    device=buffer.device,
                    buffer_type=buffer.buffer_type,
                    allocated_bytes=buffer.size_bytes,
                )
                for buffer in meta.memory.buffers
            ]
        )
    windows: dict[int, int] = {}
    for number, window in zip(places.buffer.tolist(), places.n_swa.tolist(), strict=True):
        windows[number] = max(window, windows.get(number, 0))

    def terms_at(observation: Observation) -> dict[_Key, _Term]:
        parts = [part for seen in observation.buffers for part in _parts(seen, windows)]
        return {(term.term, term.buffer): term for term in _merged(parts)}

    now, last = terms_at(at), terms_at(meta.memory.observations[-1])
    nothing = _Term("", "", resident_bytes=0, allocated_bytes=0)
    return [
        replace(
            term,
            allocated_bytes=last.get(key, nothing).allocated_bytes,
            resident_bytes=now.get(key, nothing).resident_bytes,
        )
        for key, term in {**last, **now}.items()
    ]


def _parts(seen: ObservedBuffer, windows: Mapping[int, int]) -> list[_Term]:
    """A buffer as one term, or as two where it holds the source of weights that were repacked."""
    window = windows.get(seen.buffer) if seen.buffer >= 0 else None
    whole = _Term(
        term=_name(seen.kind, seen.buffer_type, window),
        kind=seen.kind,
        device=seen.device,
        buffer_type=seen.buffer_type,
        allocated_bytes=seen.size_bytes,
        resident_bytes=seen.resident_bytes,
    )
    if not seen.original_bytes:
        return [whole]
    resident, of_originals = seen.resident_bytes, seen.original_resident_bytes
    used = None if resident is None or of_originals is None else resident - of_originals
    return [
        replace(whole, allocated_bytes=seen.size_bytes - seen.original_bytes, resident_bytes=used),
        replace(
            whole, term=ORIGINALS, allocated_bytes=seen.original_bytes, resident_bytes=of_originals
        ),
    ]


def _name(kind: str, buffer_type: str, window: int | None) -> str:
    if kind == "weights":
        if is_mapped(buffer_type):
            return "weights, memory-mapped"
        return "weights, repacked" if is_repacked(buffer_type) else "weights"
    if kind == "kv_cache" and window:
        return f"sliding-window cache ({window})"
    return TERMS.get(kind, kind)


def _merged(terms: Sequence[_Term]) -> list[_Term]:
    """Terms of one name, kind, device and type added up, in the order of their first."""
    merged: dict[_Key, _Term] = {}
    for term in terms:
        key = (term.term, term.buffer)
        before = merged.get(key)
        merged[key] = term if before is None else _sum(before, term)
    return list(merged.values())


def _sum(a: _Term, b: _Term) -> _Term:
    known = a.resident_bytes is not None and b.resident_bytes is not None
    return replace(
        a,
        allocated_bytes=(a.allocated_bytes or 0) + (b.allocated_bytes or 0),
        resident_bytes=(a.resident_bytes or 0) + (b.resident_bytes or 0) if known else None,
    )


def _with_predictions(terms: list[_Term], meta: Meta) -> list[_Term]:
    """The terms with what the planner said of them, and those that it alone knows of.

    It knows a buffer as a whole: of one that is several terms, all but the first are taken as they
    were allocated, and the first has the rest.
    """
    predicted: dict[_Buffer, int] = {}
    for buffer in meta.memory.predicted:
        key: _Buffer = (buffer.device, buffer.buffer_type, buffer.kind or "other")
        predicted[key] = predicted.get(key, 0) + buffer.size_bytes
    if not predicted:
        return terms
    result = []
    seen = set()
    for term in terms:
        size = predicted.get(term.buffer, 0)
        if term.buffer in seen:
            size = term.allocated_bytes or 0
        else:
            parts = [other.allocated_bytes or 0 for other in terms if other.buffer == term.buffer]
            size -= sum(parts) - (term.allocated_bytes or 0)
        seen.add(term.buffer)
        result.append(replace(term, predicted_bytes=size))
    for key, size in predicted.items():
        if key not in seen:
            device, buffer_type, kind = key
            name = _name(kind, buffer_type or "", None)
            result.append(_Term(name, kind, device, buffer_type, size, 0, 0))
    return result


def _process_terms(at: Observation, start: Observation | None, peak: int) -> list[_Term]:
    """What the process has in memory beside the buffers; a term that is not told is left out."""
    terms = []

    def add(kind: str, size: int | None) -> None:
        if size is not None:
            terms.append(_Term(TERMS[kind], kind, resident_bytes=size))

    if at.recorder_bytes:
        add(RECORDER, at.recorder_resident_bytes)
    if start is not None:
        if at.heap_bytes is not None and start.heap_bytes is not None:
            add(HEAP, at.heap_bytes - start.heap_bytes)
        if at.library_bytes is not None and start.library_bytes is not None:
            add(LIBRARIES, at.library_bytes - start.library_bytes)
        add(START, start.rss_bytes)
    add(BETWEEN, peak - (at.rss_bytes or 0))
    return terms


def _table(terms: Sequence[_Term]) -> pd.DataFrame:
    columns = {}
    for name, dtype in COLUMNS.items():
        values = [getattr(term, name) for term in terms]
        if dtype == "Int64":
            values = [None if v is None else max(-_MOST, min(v, _MOST)) for v in values]
        columns[name] = pd.Series(values, dtype=dtype)
    table: pd.DataFrame = pd.DataFrame(columns)
    return table
