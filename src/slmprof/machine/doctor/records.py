"""What an examination found."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from ...profiles.records.decoding import Json, Record
from ...profiles.records.meta import Program

SCHEMA_VERSION = 1

State = Literal["ok", "unavailable", "unfavourable", "broken"]
"""What a finding means: `unavailable` cannot be measured or told here, `unfavourable` would spoil a
measurement, `broken` keeps slmprof from doing what it should until it is mended."""
STATES: tuple[State, ...] = ("broken", "unfavourable", "unavailable", "ok")
"""The worst first."""

Group = Literal["build", "counters", "machine", "surroundings", "storage"]
GROUPS: tuple[Group, ...] = ("build", "counters", "machine", "surroundings", "storage")


class Outcome(NamedTuple):
    """What a probe found, and what would mend it.

    There is no remedy where nothing is amiss, or what is unavailable needs none: counters of a GPU
    on a machine without one.
    """

    state: State
    found: str
    remedy: str | None = None


def ok(found: str) -> Outcome:
    """Nothing is amiss."""
    return Outcome("ok", found)


def unavailable(found: str, remedy: str | None = None) -> Outcome:
    """It cannot be measured or told here."""
    return Outcome("unavailable", found, remedy)


def unfavourable(found: str, remedy: str) -> Outcome:
    """It would spoil a measurement."""
    return Outcome("unfavourable", found, remedy)


def broken(found: str, remedy: str) -> Outcome:
    """Something does not work that should."""
    return Outcome("broken", found, remedy)


class Finding(Record, frozen=True):
    """One thing that was looked at.

    Attributes:
        name: what it is about: `governor`.
        group: what it belongs to.
        found: in words.
        remedy: what to do about it, in words; None where there is nothing to do.
    """

    name: str
    group: Group
    state: State
    found: str
    remedy: str | None = None


class Examination(Record, frozen=True):
    """Everything that was found, in the order of `GROUPS`; `slmprof` is this build."""

    slmprof: Program
    cpu: str
    findings: tuple[Finding, ...]

    @property
    def is_broken(self) -> bool:
        """Whether anything is."""
        return any(finding.state == "broken" for finding in self.findings)

    def of(self, state: State) -> tuple[Finding, ...]:
        """The findings of a state."""
        return tuple(finding for finding in self.findings if finding.state == state)

    def to_json(self) -> Json:
        """The object that `--format json` prints."""
        values: dict[str, Any] = super().to_json()
        del values["cpu"]
        return {"schema_version": SCHEMA_VERSION, **values, "is_broken": self.is_broken}
