"""The report of a run: one screen of what matters, everything, or one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....analysis.timing.phases import phase_record
from ....analysis.timing.traces import LEAST_JOINED, trace_record
from ....analysis.verdicts import findings
from ....analysis.verdicts.breakdown import Breakdown
from ....analysis.verdicts.caveats import N_CONTRADICTIONS
from ....profiles.records.decoding import finite
from ....profiles.vocabulary import VIEWS
from ....settings.resolved import ResolvedConfig
from ....settings.table import FIRST, captions, setting_text, table
from ..fallbacks import fallback_records, fallback_text
from ..parts import (
    Caveat,
    Document,
    Finding,
    Headline,
    Note,
    Part,
    Rows,
    Section,
    Table,
    listed,
    said,
)
from ..quantities import bytes_text, count_text, wrapped
from ..records import records
from .depths import depth_data, depth_sections, depth_summary
from .devices import copy_section, device_summary, split_section
from .energy import energy_data, energy_section, modelled_section
from .findings import diagnosis, finding_record, main_findings
from .gpus import stray_section, trace_section, transfer_section
from .kernel_tables import main_kernels, scaling_section
from .layers import flag_record, layer_section
from .memory_use import memory_data, memory_sections, memory_totals, place_section
from .run_tables import latency, layer_spread, views, waiting, wall

SCHEMA_VERSION = 2
SCREEN_LINES, SCREEN_COLUMNS = 50, 80
_LEAST_FINDINGS, _MOST_FINDINGS, _MOST_CAVEATS = 2, 5, 3
_LEAST_KERNELS, _MOST_KERNELS = 3, 12
_STANDARD = {"block": "blocks", "layer": "layers", "kernel": "kernels", "op": "ops"}
_KEYS = {**_STANDARD, "part": "parts", "tensor": "tensors"}


def run_document(breakdown: Breakdown, *, is_full: bool = False) -> Document:
    """The report of a profile.

    Args:
        breakdown: what it shows; with a view chosen (`by`), that view alone.
        is_full: whether people are shown everything, not one screen of it.
    """

    def parts() -> list[Part]:
        if breakdown.by is not None:
            return _view(breakdown, breakdown.by)
        return _everything(breakdown) if is_full else _screen(breakdown)

    return Document(parts, lambda: _data(breakdown), lambda: _rows(breakdown))


def _data(breakdown: Breakdown) -> dict[str, Any]:
    """As `breakdown --format json` promises it; numbers that JSON does not have are null."""
    meta = breakdown.meta.to_json()
    by = breakdown.by
    shown = [view for view in _KEYS if view == by] if by else list(_STANDARD)
    result: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "slmprof": meta["slmprof"],
        # Every doubt, not the environment's only: who reads the JSON sees no other text.
        "environment": {**meta["environment"], "warnings": list(breakdown.caveats)},
        "model": {**meta["model"], "fallbacks": fallback_records(breakdown.fallbacks)},
        "config": meta["config"],
        "run": meta["run"],
        "lanes": records(breakdown.lanes),
        "serialized": list(breakdown.serialized),
        "traces": [trace_record(trace) for trace in breakdown.traces],
        "phases": [phase_record(summary) for summary in breakdown.phases],
        **{_KEYS[view]: records(breakdown.tables[view]) for view in shown},
        **(depth_data(breakdown.depths) if by in (None, "depth") else {}),
    }
    if by in (None, "layer"):
        result["layer_flags"] = [flag_record(flag) for flag in breakdown.layer_flags]
    if breakdown.meta.bandwidth is not None:
        result["bandwidth"] = breakdown.meta.bandwidth.figures()
    if by in (None, "kernel") and not breakdown.scaling.empty:
        result["scaling"] = records(breakdown.scaling)
    if by in (None, "energy") and breakdown.energy is not None:
        result["energy"] = energy_data(breakdown.energy)
    if by is None:
        result["splits"] = records(breakdown.splits)
        result["copies"] = records(breakdown.copies)
        result["waits"] = records(breakdown.waits)
        result["wait_totals"] = records(breakdown.wait_totals)
        result["diagnosis"] = [finding_record(finding) for finding in breakdown.diagnosis]
    cleaned: dict[str, Any] = finite({**result, "memory": memory_data(breakdown)})
    return cleaned


def _rows(breakdown: Breakdown) -> Rows:
    """The view that was asked for, or the ops: the columns of the JSON, then `model`,
    `random_weights` and `warnings`, which say on every line what a reader must know."""
    rows = breakdown.tables[breakdown.by or "op"]
    added = {
        "model": breakdown.model.name,
        "random_weights": breakdown.model.random_weights,
        "warnings": "; ".join(breakdown.caveats),
    }
    names = [*map(str, rows.columns), *added]
    return Rows(names, ({**row, **added} for row in records(rows)))


def _headline(breakdown: Breakdown, *, is_full: bool) -> Headline:
    """What was measured: model, machine, program, settings."""
    meta, model = breakdown.meta, breakdown.model
    about = [
        model.name or model.path or "unnamed model",
        model.architecture,
        f"{count_text(model.n_params)} parameters" if model.n_params else None,
        model.file_type,
        bytes_text(model.size_bytes) if model.size_bytes else None,
        "RANDOM WEIGHTS" if model.random_weights else None,
    ]
    engine, variant = meta.slmprof.llama_cpp.version, meta.slmprof.build.get("variant")
    place = [
        meta.environment.cpu,
        f"{meta.environment.n_cores} cores" if meta.environment.n_cores else None,
        f"slmprof {meta.slmprof.version or '?'}",
        f"llama.cpp {engine}" if engine else None,
        f"variant {variant}" if variant and variant != "native" else None,
    ]
    entries = table(ResolvedConfig)
    settings = [
        f"{name} {setting_text(value)}"
        for name, value in captions(ResolvedConfig, meta.config).items()
        if is_full or entries[name].caption == FIRST or not entries[name].is_default(value)
    ]
    lines = (about, place, settings)
    return Headline(tuple(tuple(str(fact) for fact in line if fact) for line in lines if line))


@dataclass(frozen=True)
class _Limits:
    """How much of what could be said a screen has room for."""

    n_findings: int
    n_caveats: int
    n_contradictions: int
    shows_devices: bool = True

    def lower(self) -> _Limits | None:
        """Findings go first, then caveats, then what in the run contradicts itself beyond one
        sentence for each reason, then the devices; None where nothing is left that may go."""
        if self.n_findings > _LEAST_FINDINGS:
            return replace(self, n_findings=self.n_findings - 1)
        if self.n_caveats > 1:
            return replace(self, n_caveats=self.n_caveats - 1)
        if self.n_contradictions > N_CONTRADICTIONS:
            return replace(self, n_contradictions=self.n_contradictions - 1)
        return replace(self, shows_devices=False) if self.shows_devices else None


def _screen(breakdown: Breakdown) -> list[Part]:
    """At most `SCREEN_LINES` lines of a model with few blocks, on `SCREEN_COLUMNS` columns."""
    n_findings = _MOST_FINDINGS if len(breakdown.depths.n_depths) < 2 else 3
    limits: _Limits | None = _Limits(n_findings, _MOST_CAVEATS, len(breakdown.contradictions))
    # What no longer fits goes: first kernels, then what `_Limits` says.
    while limits is not None:
        head, tail = _screen_head(breakdown, limits), _screen_tail(breakdown, limits)
        room = _kernel_room(breakdown, head, tail)
        least = _LEAST_KERNELS if limits.n_findings > _LEAST_FINDINGS else 1
        if room >= least:
            break
        lower = limits.lower()
        # The devices tell more than the first kernels do.
        if (
            lower is not None
            and limits.shows_devices > lower.shows_devices
            and _spare(head, tail) >= 0
        ):
            break
        limits = lower
    if room < 1 and len(breakdown.devices) > 1:
        return [*head, *tail]
    n_kernels = max(1, min(room, _MOST_KERNELS))
    kernels = main_kernels(breakdown, n_kernels, has_others=room >= 1)
    return [*head, *map(_untitled, said(_of_ops(breakdown, kernels))), *tail]


def _screen_tail(breakdown: Breakdown, limits: _Limits) -> list[Part]:
    """What stands below the kernels."""
    caveats = [text for text in breakdown.caveats if text not in breakdown.contradictions]
    n_unsaid = len(breakdown.contradictions) - limits.n_contradictions
    if len(caveats) > limits.n_caveats or n_unsaid:
        n_shown = min(limits.n_caveats - 1, len(caveats))
        n = len(caveats) - n_shown + n_unsaid
        caveats = [*caveats[:n_shown], f"and {n} more; --full shows them"]
    return [
        *map(_untitled, said([memory_totals(breakdown.memory)])),
        *map(Caveat, caveats),
        Note(f"More: --full, --by {'|'.join(VIEWS)}"),
    ]


def _screen_head(breakdown: Breakdown, limits: _Limits) -> list[Part]:
    """What stands above the kernels."""
    depths = breakdown.depths.n_depths
    above = [latency(breakdown), _screen_energy(breakdown)]
    found = main_findings(_untold(breakdown), limits.n_findings)
    above.append(replace(diagnosis(found), title=None))
    if len(depths) > 1:
        above[0] = replace(above[0], parts=above[0].parts[:1])
        text = f"All else is of depth {depths[0]}; `show --n-depth N` shows another one."
        summary = depth_summary(breakdown)
        above.append(replace(summary, parts=(*summary.parts, Note(text))))
    if limits.shows_devices:
        above.append(device_summary(breakdown))
    above += _of_ops(breakdown, views(breakdown, "block"))
    n_told = limits.n_contradictions + (breakdown.fallbacks is not None)
    first = _head(breakdown, is_full=False)[: 1 + n_told]
    return [*first, *map(_untitled, said(above))]


def _screen_energy(breakdown: Breakdown) -> Section:
    """The energy; where all of it is refused, the lines that say so are enough."""
    section = energy_section(breakdown)
    has_table = any(isinstance(part, Table) for part in section.parts)
    return section if has_table else replace(section, title=None)


def _kernel_room(breakdown: Breakdown, head: list[Part], tail: list[Part]) -> int:
    """Rows of kernels for each phase that the screen has room for: of each, two lines are its
    heading, and two the blank above and the others."""
    return _spare(head, tail) // max(1, len(breakdown.phases)) - 4


def _spare(head: list[Part], tail: list[Part]) -> int:
    """Lines of a screen that these leave."""
    return SCREEN_LINES - sum(map(_n_lines, head)) - sum(map(_n_lines, tail))


def _untold(breakdown: Breakdown) -> list[findings.Finding]:
    """The findings but for what the caveat of the types that fell back has said already."""
    told = findings.TYPES if breakdown.fallbacks is not None else None
    return [finding for finding in breakdown.diagnosis if finding.topic != told]


def _head(breakdown: Breakdown, *, is_full: bool) -> list[Part]:
    """What was measured, and before any figure what in it contradicts itself."""
    told = list(breakdown.contradictions)
    if breakdown.fallbacks is not None:
        told.insert(0, fallback_text(breakdown.fallbacks))
    return [_headline(breakdown, is_full=is_full), *map(Caveat, told)]


def _untitled(section: Section) -> Section:
    """The section with its title at the head of its table's first column, which saves a line."""
    first = section.parts[0]
    if section.title is None or not isinstance(first, Table):
        return section
    columns = (replace(first.columns[0], title=section.title), *first.columns[1:])
    return Section(None, (replace(first, columns=columns), *section.parts[1:]))


def _n_lines(part: Part) -> int:
    """Lines of a part on a terminal of `SCREEN_COLUMNS`, with the blank one above it; of several
    caveats only the first has one."""
    if isinstance(part, Headline):
        return sum(len(wrapped(" · ".join(facts), SCREEN_COLUMNS)) for facts in part.lines)
    if not isinstance(part, Section):
        return 1 + len(wrapped(part.text, SCREEN_COLUMNS - len("warning: ")))
    n = 1
    for one in part.parts:
        if isinstance(one, Table):
            n += 2 + len(one.rows)
        elif isinstance(one, (Note, Finding)):
            n += len(wrapped(one.text, SCREEN_COLUMNS - 2))
    return n


def _everything(breakdown: Breakdown) -> list[Part]:
    """What the screen has, in full, then the details."""
    tables = [*views(breakdown, "block"), *views(breakdown, "kernel")]
    first = [
        latency(breakdown), trace_section(breakdown), device_summary(breakdown),
        *_of_ops(breakdown, tables),
    ]  # fmt: skip
    spread = [wall(breakdown), layer_spread(breakdown), *views(breakdown, "op")]
    details = [
        modelled_section(breakdown), *_of_ops(breakdown, spread), stray_section(breakdown),
        transfer_section(breakdown),
        split_section(breakdown), copy_section(breakdown),
    ]  # fmt: skip
    made = [
        *_with_depth(breakdown, [*first[:1], energy_section(breakdown)]),
        diagnosis(breakdown.diagnosis),
        *_with_depth(breakdown, first[1:]),
        memory_totals(breakdown.memory),
    ]
    below = [
        *_with_depth(breakdown, [*details, scaling_section(breakdown), waiting(breakdown)]),
        *(
            _of_ops(breakdown, depth_sections(breakdown))
            if len(breakdown.depths.n_depths) > 1
            else ()
        ),
        *memory_sections(breakdown),
    ]
    return [*_head(breakdown, is_full=True), *said(made), *_caveats(breakdown), *said(below)]


def _view(breakdown: Breakdown, by: str) -> list[Part]:
    """The latency and one view."""
    made = _with_depth(breakdown, [latency(breakdown)])
    if by == "depth":
        made += _of_ops(breakdown, depth_sections(breakdown))
    elif by == "energy":
        made += _with_depth(breakdown, [energy_section(breakdown), modelled_section(breakdown)])
    elif by == "place":
        made.append(place_section(breakdown))
    else:
        shown = [layer_section(breakdown)] if by == "layer" else views(breakdown, by)
        if by == "kernel":
            shown.append(scaling_section(breakdown))
        made += _with_depth(breakdown, _of_ops(breakdown, shown))
    return [*_head(breakdown, is_full=True), *said(made), *_caveats(breakdown)]


def _of_ops(breakdown: Breakdown, sections: Sequence[Section]) -> list[Section]:
    """The sections, whose titles say where times are those of ops that ran one by one; a note says
    where too much of the kernels' time has no op."""
    said = ", serialized" if breakdown.serialized else ""
    shares = [
        f"{trace.joined_share:.1%} of {trace.phase}'s"
        for trace in breakdown.traces
        if trace.joined_share < LEAST_JOINED
    ]
    note = (Note(f"Of the time of kernels, {listed(shares)} is joined to ops."),) if shares else ()
    return [
        replace(section, title=f"{section.title}{said}", parts=(*section.parts, *note))
        for section in sections
    ]


def _with_depth(breakdown: Breakdown, sections: Sequence[Section]) -> list[Section]:
    """The sections, whose titles say which of several depths they are about."""
    depths = breakdown.depths.n_depths
    if len(depths) < 2:
        return list(sections)
    return [replace(section, title=f"{section.title} at depth {depths[0]}") for section in sections]


def _caveats(breakdown: Breakdown) -> list[Part]:
    """One for each doubt, and one for random weights."""
    told = breakdown.contradictions
    made: list[Part] = [Caveat(text) for text in breakdown.caveats if text not in told]
    if breakdown.model.random_weights:
        made.append(random_weights_note())
    return made


def random_weights_note() -> Caveat:
    """What figures of synthesised models are good for."""
    return Caveat("random weights; time and memory are real, the text would not be", "note")
