"""Looks at everything, in the order in which it is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ...profiles.records.meta import LlamaCpp, Program
from ...settings.arguments import takes
from ...settings.kinds import Seconds
from ...version import find_version
from ..environment import cpu_name
from ..load import LoadMeter
from . import build, counters, memory, processors, storage, surroundings, variables
from .answers import BuildFacts, Failure
from .children import ask
from .records import Examination, Finding, Group, Outcome, unavailable
from .subject import Subject

TIMEOUT_SECONDS = 20.0
# The system counts the CPUs' time in steps of 10 ms: so long, and others' load can be told.
_WATCHED_SECONDS = 0.3


class Probe(NamedTuple):
    """What is looked at: `look` says nothing (None) of what there is not."""

    name: str
    group: Group
    look: Callable[[Subject], Outcome | None]


PROBES: tuple[Probe, ...] = (
    Probe("module", "build", build.module),
    Probe("llama_cpp", "build", build.llama_cpp),
    Probe("build_type", "build", build.build_type),
    Probe("instruction_sets", "build", build.instruction_sets),
    Probe("features", "build", build.features),
    Probe("devices", "build", build.devices),
    Probe("clock", "counters", counters.clock),
    Probe("perf", "counters", counters.perf),
    Probe("rapl", "counters", counters.rapl),
    Probe("nvml", "counters", counters.nvml),
    Probe("cupti", "counters", counters.cupti),
    Probe("cpus", "machine", processors.cpus),
    Probe("smt", "machine", processors.smt),
    Probe("virtual_machine", "machine", processors.virtual_machine),
    Probe("memory", "machine", memory.memory),
    Probe("huge_pages", "machine", memory.huge_pages),
    Probe("governor", "surroundings", surroundings.governor),
    Probe("turbo", "surroundings", surroundings.turbo),
    Probe("load", "surroundings", surroundings.load),
    Probe("cpu_quota", "surroundings", surroundings.quota),
    Probe("swap", "surroundings", memory.swap),
    Probe("gpus", "surroundings", surroundings.gpus),
    Probe("thread_variables", "surroundings", variables.threads),
    Probe("preload", "surroundings", variables.preload),
    Probe("llama_variables", "surroundings", variables.llama_cpp),
    Probe("cache_folder", "storage", storage.cache_folder),
    Probe("ceilings", "storage", storage.ceilings),
    Probe("models", "storage", storage.models),
    Probe("temporary_folder", "storage", storage.temporary_folder),
)


@takes(timeout=Seconds())
def doctor(*, timeout: float = TIMEOUT_SECONDS) -> Examination:
    """What this build and this machine can measure, and what would spoil a measurement.

    Nothing is changed, and no model is run. It works where the native module does not.

    Args:
        timeout: seconds after which the native module, or NVIDIA's driver, counts as hanging.

    Returns:
        An examination: `findings`, each with `name`, `group`, `state` (`ok`, `unavailable`,
        `unfavourable` or `broken`), `found` and `remedy`; `is_broken`; `to_json()`.

    Raises:
        UsageError: the timeout is no positive number.
    """
    limit = float(timeout)
    meter, begin = LoadMeter(), time.monotonic()
    subject = Subject(Failure("it was not asked yet"))
    told, gpus = ask(limit, about_gpus=counters.has_nvidia_gpu(subject))
    time.sleep(max(0.0, begin + _WATCHED_SECONDS - time.monotonic()))
    return examine(replace(subject, build=told, gpus=gpus, load=meter.load()))


def examine(subject: Subject) -> Examination:
    """Everything that the probes find. What fails in a probe is a finding of its own."""
    findings = []
    for probe in PROBES:
        try:
            outcome = probe.look(subject)
        except Exception as error:
            reason = " ".join(str(error).split()) or "no reason given"
            outcome = unavailable(
                f"looking failed: {type(error).__name__}: {reason}",
                "please report this with `slmprof doctor --format json`",
            )
        if outcome is not None:
            findings.append(Finding(probe.name, probe.group, *outcome))
    return Examination(_program(subject.facts), cpu_name(subject.proc), tuple(findings))


def _program(facts: BuildFacts | None) -> Program:
    """This slmprof, as profiles describe it; without a build where the module cannot be used."""
    if facts is None:
        return Program(version=find_version())
    build_info = dict(facts.build)
    version, source = (build_info.pop(f"llama_cpp_{of}", None) for of in ("version", "source"))
    return Program(
        version=find_version(),
        llama_cpp=LlamaCpp(
            version=None if version is None else str(version),
            source=None if source is None else str(source),
        ),
        build={**build_info, "cpu_features": facts.cpu_features},
    )
