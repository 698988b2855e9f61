"""What differs in machine, build and settings, and what makes times incomparable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...profiles.vocabulary import PHASES
from .intervals import MIN_PROCESSES
from .matching import Pair
from .places import OP
from .samples import Subject, warning_kind

_MACHINE = ("cpu", "n_cores", "memory_bytes", "os", "governor")
_MODEL = (
    "name", "architecture", "n_params", "n_layer", "n_embd", "n_vocab", "file_type", "size_bytes",
    "random_weights",
)  # fmt: skip
# Of the processes of a side; where more were disturbed throughout, their ops tell nothing.
_MOST_WITHHELD = 0.5
# How long to wait for a run is no property of what was run.
_UNTOLD = ("timeout",)


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; None where a profile does not say."""

    part: str
    what: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Obstacle:
    """Why there is no verdict about times of some phases; `what` is `op` where only what the op
    passes tell is meant, and empty for all times."""

    phases: tuple[str, ...]
    reason: str
    what: str = ""


def differences(a: Subject, b: Subject) -> tuple[Difference, ...]:
    """Machine, build, model, settings and warnings, where the two differ."""
    of_a, of_b = dict(_facts(a)), dict(_facts(b))
    different = [
        Difference(*key, of_a.get(key), of_b.get(key))
        for key in {**of_a, **of_b}
        if of_a.get(key) != of_b.get(key)
    ]
    warned = [{warning_kind(t): t for t in s.meta.environment.warnings} for s in (a, b)]
    for kind in {**warned[0], **warned[1]}:
        if kind not in warned[0] or kind not in warned[1]:
            text = warned[0].get(kind) or warned[1][kind]
            different.append(Difference("warnings", text, kind in warned[0], kind in warned[1]))
    return tuple(different)


def _facts(subject: Subject) -> Iterator[tuple[tuple[str, str], Any]]:
    meta = subject.meta
    for name in _MACHINE:
        yield ("machine", name), getattr(meta.environment, name)
    yield ("build", "slmprof"), meta.slmprof.version
    yield ("build", "llama.cpp"), meta.slmprof.llama_cpp.version
    yield ("build", "llama.cpp source"), meta.slmprof.llama_cpp.source
    for flag, value in meta.slmprof.build.items():
        yield ("build", flag), value
    for name in _MODEL:
        yield ("model", name), getattr(meta.model, name)
    for type_name, size in sorted(meta.model.tensor_types.items()):
        yield ("model", f"bytes of {type_name}"), size
    for name, value in meta.config.to_json().items():
        if name not in _UNTOLD:
            yield ("settings", name), value
    yield ("run", "complete"), meta.run.complete


def obstacles(a: Subject, b: Subject, pairs: Sequence[Pair]) -> tuple[Obstacle, ...]:
    """Why there can be no verdict about times, of which `pairs` are what was matched."""
    return tuple(_obstacles(a, b, pairs))


def _obstacles(a: Subject, b: Subject, pairs: Sequence[Pair]) -> Iterator[Obstacle]:
    both = [phase for phase in PHASES if phase in a.phases and phase in b.phases]
    if not both:
        yield Obstacle(PHASES, "they have no phase in common")
        return
    for phase in PHASES:
        if (phase in a.phases) != (phase in b.phases):
            lacks = b.name if phase in a.phases else a.name
            yield Obstacle((phase,), f"{lacks} has no {phase}")
    of_ops = [pair for pair in pairs if any(place and place.what == OP for place in pair)]
    if of_ops and not any(all(pair) for pair in of_ops):
        yield Obstacle(PHASES, "they have no op in common")
    if a.n_depth != b.n_depth:
        yield Obstacle(PHASES, f"they ran at depths of {a.n_depth} and {b.n_depth} tokens")
    prompts = [subject.n_tokens.get("prefill") for subject in (a, b)]
    if None not in prompts and prompts[0] != prompts[1]:
        yield Obstacle(PHASES, f"their prompts have {prompts[0]} and {prompts[1]} tokens")
    generated = [subject.n_tokens.get("decode") for subject in (a, b)]
    if None not in generated and generated[0] != generated[1]:
        yield Obstacle(("decode",), f"they generated {generated[0]} and {generated[1]} tokens")
    few = [(subject.n_processes, subject.name) for subject in (a, b)]
    least, name = min(few)
    if least < MIN_PROCESSES:
        count = "one process" if least == 1 else f"only {least} processes"
        who = "each has" if few[0][0] == few[1][0] else f"{name} has"
        yield Obstacle(
            PHASES,
            f"{who} {count}, and a verdict on times needs {MIN_PROCESSES} or more a side: what "
            "one process measures says nothing of the next (--processes 10)",
        )
    for subject in (a, b):
        of = subject.n_processes
        found: dict[int, list[str]] = {}
        for phase in PHASES:
            n = subject.n_withheld[phase]
            if n > _MOST_WITHHELD * of or phase in subject.withheld:
                found.setdefault(n, []).append(phase)
        for n, phases in found.items():
            where = f", in {n} of {of} process{'es' if of > 1 else ''}" if n else ""
            text = (
                f"the ops of {subject.name} are those of other {' and '.join(phases)} steps than "
                f"were timed{where}: run again when nothing else uses this machine"
            )
            yield Obstacle(tuple(phases), text, OP)
    for subject in (a, b):
        if subject.serialized:
            names = " and ".join(subject.serialized)
            text = f"serialized: {names} ran the ops of {subject.name} one by one, not as they run"
            yield Obstacle(PHASES, text, OP)
        for said in subject.joins:
            yield Obstacle(PHASES, f"{subject.name}: {said}", OP)
        if not subject.has_ops:
            text = f"{subject.name} keeps one statistic of an op for all processes (--events all)"
            yield Obstacle(PHASES, text, OP)
