"""`slmprof doctor` here, with the native module and without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import run

import slmprof
from slmprof import _core
from slmprof.machine.instruction_sets import built_sets, unused_sets
from slmprof.system.processor import processor_flags


def test_the_clock_is_described() -> None:
    clock = _core.measure_clock()
    assert clock["source"] in ("tsc", "cntvct", "clock_monotonic")
    assert 0 < clock["resolution_ns"] < 1e6 and 0 < clock["read_ns"] < 1e6


def test_this_build_and_machine_are_examined() -> None:
    answer = run("doctor", "--format", "json")
    values = json.loads(answer.stdout)
    found = {one["name"]: one for one in values["findings"]}
    broken = [one for one in values["findings"] if one["state"] == "broken"]
    assert answer.returncode == int(bool(broken)) == int(values["is_broken"]), broken
    assert answer.stderr == ""
    assert found["module"]["state"] == "ok"
    assert Path(found["module"]["found"]).samefile(_core.__file__)
    build = _core.build_info()
    assert values["slmprof"]["llama_cpp"]["version"] == build["llama_cpp_version"]
    assert ("RPC" in found["features"]["found"].split("without")[0]) is build["rpc"]
    assert found["clock"]["found"].startswith(_core.measure_clock()["source"])
    assert found["devices"]["found"].startswith("CPU")
    # Tests run here, so that this build is for no more than this processor has.
    sets = found["instruction_sets"]
    flags = processor_flags()
    is_less = bool(flags and unused_sets(_core.cpu_features(), flags))
    assert sets["state"] == ("unfavourable" if is_less else "ok" if flags else "unavailable")
    assert all(name in sets["found"] for name in built_sets(_core.cpu_features()))
    assert "kept for 1" in found["ceilings"]["found"]
    for one in values["findings"]:
        assert one["state"] in ("ok", "unavailable") or one["remedy"], one
        assert "looking failed" not in one["found"], one


def test_it_works_from_python_too() -> None:
    made = slmprof.doctor()
    assert {finding.name for finding in made.findings} >= {"module", "clock", "memory"}
    assert made.to_json()["schema_version"] == 1


def test_without_the_native_module_it_says_so(tmp_path: Path) -> None:
    package = Path(slmprof.__file__).parent
    shutil.copytree(
        package, tmp_path / "slmprof", ignore=shutil.ignore_patterns("_core*.so", "__pycache__")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        answer = run("doctor", cwd=tmp_path)
    assert answer.returncode == 1 and answer.stderr == ""
    assert "- module (broken): build it" in " ".join(answer.stdout.split())
    assert "cannot be imported" in answer.stdout and "cpus" in answer.stdout
