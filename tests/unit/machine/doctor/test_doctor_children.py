"""The processes that look at what may die or hang, and what is made of their end."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from subject_builder import example_facts

import slmprof
from slmprof.machine.doctor import children, worker
from slmprof.machine.doctor.answers import BuildFacts, Failure, Gpu, GpuFacts
from slmprof.machine.energy.counter import State
from slmprof.machine.energy.find import Counters
from slmprof.profiles.records.energy import EnergyRefusal, EnergySource

MODULE = "a_doctors_child_of_tests"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has children run `body` as their answer, and `before` before they listen."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(children, "_WORKER", MODULE)

    def write(body: str, before: str = "") -> None:
        indented = textwrap.indent(textwrap.dedent(body), "    ")
        (tmp_path / f"{MODULE}.py").write_text(
            f"import os, signal, time\n{before}\n"
            "from slmprof.children.serving import serve\n"
            f"def answer(question, folder, on_progress):\n{indented}\n"
            "serve('do this', answer)\n"
        )

    return write


def test_each_child_answers_its_own_question(child: Any) -> None:
    facts = json.dumps(example_facts().to_json())
    gpus = json.dumps(GpuFacts((Gpu("CUDA0", "A card"),)).to_json())
    child(
        f"""
        import json
        told = {{"build": {facts!r}, "gpus": {gpus!r}}}[question["about"]]
        return {{"facts": json.loads(told)}}
        """
    )
    assert children.ask(60.0, about_gpus=True) == (
        example_facts(),
        GpuFacts((Gpu("CUDA0", "A card"),)),
    )
    assert children.ask(60.0, about_gpus=False) == (example_facts(), None)


def test_a_failure_comes_back_as_one(child: Any) -> None:
    child('return {"failure": {"text": "it is gone", "is_import": True}}')
    assert children.ask(60.0, about_gpus=False)[0] == Failure("it is gone", is_import=True)


def test_one_child_that_dies_leaves_the_others_answer(child: Any) -> None:
    child(
        """
        if question["about"] == "build":
            os.kill(os.getpid(), signal.SIGILL)
            time.sleep(60)
        return {"facts": {}}
        """
    )
    build, gpus = children.ask(60.0, about_gpus=True)
    assert isinstance(build, Failure) and "loads the native module died of SIGILL" in build.text
    assert gpus == GpuFacts()


def test_a_child_that_hangs_is_given_up(child: Any) -> None:
    child("return {}", before="time.sleep(600)")
    build, _ = children.ask(0.2, about_gpus=False)
    assert isinstance(build, Failure) and "not done after 0.2 s (--timeout)" in build.text


def test_an_answer_that_is_none_is_a_failure(child: Any) -> None:
    child('return {"facts": {"path": 3}}')
    build, _ = children.ask(60.0, about_gpus=False)
    assert isinstance(build, Failure) and "path" in build.text


def test_a_system_that_starts_no_process_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    build, gpus = children.ask(60.0, about_gpus=True)
    assert build == gpus == Failure("no process can be started: Resource temporarily unavailable")


def test_the_build_is_asked_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = example_facts()
    core = SimpleNamespace(
        __file__=facts.path,
        build_info=lambda: facts.build,
        cpu_features=lambda: facts.cpu_features,
        measure_clock=lambda: facts.clock.to_json(),
        devices=lambda: [device.to_json() for device in facts.devices],
    )
    monkeypatch.setattr(slmprof, "_core", core, raising=False)
    stages: list[str] = []
    found = worker.look_at_build(lambda progress: stages.append(progress.stage))
    assert isinstance(found, BuildFacts)
    assert found.replace(fingerprint=facts.fingerprint) == facts
    assert found.fingerprint.llama_cpp_version == "1.2"
    # So that what dies or hangs is named.
    assert stages == ["importing the native module", "listing ggml's devices"]


def test_a_module_that_is_not_there_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(slmprof, "_core", raising=False)
    monkeypatch.setitem(sys.modules, "slmprof._core", None)
    found = worker.look_at_build(lambda _: None)
    assert isinstance(found, Failure) and found.is_import and "_core" in found.text
    answer = worker.answer({"about": "build"}, "", lambda _: None)
    assert answer["failure"]["is_import"] is True


def test_gpus_are_those_that_cuda_counts() -> None:
    counter: Any = SimpleNamespace(
        source=EnergySource("CUDA0", "NVML", ("A GPU at 0:65",)),
        state=lambda: State(busy_share=0.5, clock_reasons=("sw_power_cap",)),
        close=lambda: None,
    )
    refusals = [
        EnergyRefusal("no_counter", "package", detail="/sys"),
        EnergyRefusal("not_readable", "CUDA1", detail="Not Supported"),
    ]

    def find(names: list[str], _: Path) -> Counters:
        assert names == ["CUDA0", "CUDA1"]
        return Counters([counter], refusals)

    driver: Any = SimpleNamespace(n_devices=lambda: 2)
    found = worker.look_at_gpus(lambda _: None, lambda: driver, find)
    assert found == GpuFacts(
        (
            Gpu("CUDA0", "A GPU at 0:65", None, 0.5, ("sw_power_cap",)),
            Gpu("CUDA1", refusal="Not Supported"),
        )
    )


def test_a_driver_that_does_not_load_is_a_failure() -> None:
    def refuse() -> Any:
        raise OSError("libcuda.so.1: cannot open shared object file")

    found = worker.look_at_gpus(lambda _: None, refuse)
    assert found == Failure("libcuda.so.1: cannot open shared object file")
