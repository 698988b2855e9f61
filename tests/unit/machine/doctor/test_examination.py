"""All probes together, and what becomes of those that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from subject_builder import example_facts, put, quiet_machine

import slmprof
from slmprof.errors import UsageError
from slmprof.machine.doctor import examination as room
from slmprof.machine.doctor.answers import BuildFacts, Failure
from slmprof.machine.doctor.examination import PROBES, Probe, doctor, examine
from slmprof.machine.doctor.records import GROUPS, ok
from slmprof.machine.doctor.subject import Subject


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))


def test_a_quiet_machine_has_nothing_that_spoils(tmp_path: Path) -> None:
    made = examine(quiet_machine(tmp_path))
    # What the disks and perf of this machine say is not the example's.
    others = ("perf", "cache_folder", "temporary_folder")
    amiss = {one.name: one.state for one in made.findings if one.state != "ok"}
    assert {name: amiss[name] for name in amiss if name not in others} == {
        "nvml": "unavailable", "cupti": "unavailable",
    }  # fmt: skip
    assert made.cpu == "Example CPU"


def test_findings_stand_in_the_order_of_their_groups() -> None:
    groups = [GROUPS.index(probe.group) for probe in PROBES]
    assert groups == sorted(groups)
    names = [probe.name for probe in PROBES]
    assert len(set(names)) == len(names)


def test_json_says_which_build_and_what_was_found(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    put(subject.proc, {"cpuinfo": "flags: fpu\n"})
    values = json.loads(json.dumps(examine(subject).to_json()))
    assert list(values) == ["schema_version", "slmprof", "findings", "is_broken"]
    assert values["schema_version"] == 1 and values["is_broken"] is True
    assert values["slmprof"]["llama_cpp"] == {"version": "1.2", "source": "there"}
    assert values["slmprof"]["build"]["rpc"] is True
    assert "llama_cpp_version" not in values["slmprof"]["build"]
    finding = next(one for one in values["findings"] if one["name"] == "instruction_sets")
    assert list(finding) == ["name", "group", "state", "found", "remedy"]
    assert (finding["group"], finding["state"]) == ("build", "broken")
    assert "which this processor lacks" in finding["found"]


def test_without_the_module_the_machine_is_looked_at_all_the_same(tmp_path: Path) -> None:
    made = examine(quiet_machine(tmp_path, build=Failure("it is gone", is_import=True)))
    assert made.is_broken
    assert made.of("broken")[0].name == "module"
    assert {one.group for one in made.findings} == set(GROUPS)
    assert made.slmprof.llama_cpp.version is None


def test_a_probe_that_fails_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Subject) -> None:
        raise ZeroDivisionError("by\nnothing")

    probes = (Probe("bad", "build", fail), Probe("good", "machine", lambda _: ok("well")))
    monkeypatch.setattr(room, "PROBES", probes)
    bad, good = examine(quiet_machine(tmp_path)).findings
    assert (bad.name, bad.group, bad.state) == ("bad", "build", "unavailable")
    assert bad.found == "looking failed: ZeroDivisionError: by nothing" and bad.remedy
    assert (good.state, good.found, good.remedy) == ("ok", "well", None)


def test_children_are_asked_about_gpus_only_where_there_may_be_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[float, bool]] = []

    def ask(timeout: float, *, about_gpus: bool) -> tuple[BuildFacts, None]:
        asked.append((timeout, about_gpus))
        return example_facts(), None

    monkeypatch.setattr(room, "ask", ask)
    for is_there in (False, True):
        monkeypatch.setattr(room.counters, "has_nvidia_gpu", lambda _, there=is_there: there)
        assert slmprof.doctor(timeout=3).slmprof.llama_cpp.version == "1.2"
    assert asked == [(3.0, False), (3.0, True)]


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "soon", None, True])
def test_a_timeout_is_a_positive_number(timeout: Any) -> None:
    with pytest.raises(UsageError, match=r"timeout: .* is not a"):
        doctor(timeout=timeout)
