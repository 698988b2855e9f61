"""The report of an examination: what is wrong and what to do first, then everything."""

from __future__ import annotations

from ...machine.doctor.records import GROUPS, STATES, Examination, Finding, Group
from .parts import Column, Document, Headline, Note, Part, Rows, Section, Table, said
from .parts import Finding as Sentence

_TITLES: dict[Group, str] = {
    "build": "Build",
    "counters": "Counters",
    "machine": "Machine",
    "surroundings": "Surroundings",
    "storage": "Storage",
}
_COLUMNS = ("name", "group", "state", "found", "remedy")
_ABOUT = (
    "unavailable: cannot be measured or told here; unfavourable: would spoil a measurement; "
    "broken: slmprof cannot do what it should until it is mended."
)


def examination_document(examination: Examination) -> Document:
    """The report of an examination."""
    return Document(
        lambda: _parts(examination),
        examination.to_json,
        lambda: Rows(_COLUMNS, (finding.to_json() for finding in examination.findings)),
    )


def _parts(examination: Examination) -> list[Part]:
    program = examination.slmprof
    version = program.llama_cpp.version
    about = [
        f"slmprof {program.version}",
        f"llama.cpp {version}" if version else "",
        examination.cpu,
    ]
    counted = ((state, len(examination.of(state))) for state in STATES)
    counts = tuple(f"{n} {state}" for state, n in counted if n)
    tables = [Section(None, (_table(group, examination.findings),)) for group in GROUPS]
    return [
        Headline((tuple(filter(None, about)), counts)),
        *said([_remedies(examination)]),
        *said(tables),
        Note(_ABOUT),
    ]


def _remedies(examination: Examination) -> Section:
    """What to do, the worst first."""
    sentences = [
        Sentence(f"{finding.name} ({finding.state}): {finding.remedy}")
        for state in STATES
        for finding in examination.of(state)
        if finding.remedy is not None
    ]
    return Section("What to do", tuple(sentences))


def _table(group: Group, findings: tuple[Finding, ...]) -> Table:
    columns = (Column(_TITLES[group], key="name"), Column("state"), Column("found"))
    return Table.of(columns, (finding for finding in findings if finding.group == group))
