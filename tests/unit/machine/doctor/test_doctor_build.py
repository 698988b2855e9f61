"""Probes of the build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from subject_builder import GIB, example_facts, put, quiet_machine

from slmprof.machine.doctor import build
from slmprof.machine.doctor.answers import Device, Failure
from slmprof.native_variant import VARIABLE

_UNSET = "unset SLMPROF_CPU_VARIANT"
GPU = Device("CUDA0", "Example Card", "gpu", 7 * GIB, 8 * GIB)


def test_a_module_that_works_says_where_it_is(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    assert build.module(subject) == ("ok", "/there/_core.so", None)
    found = build.llama_cpp(subject)
    assert found == ("ok", "llama.cpp 1.2 with ggml 0.9, from there", None)


@pytest.mark.parametrize(
    ("failure", "said", "remedy"),
    [
        (
            Failure("no module named x", is_import=True),
            "cannot be imported: no module",
            "build it:",
        ),
        (
            Failure("the process … died of SIGILL while starting"),
            "another processor",
            "on this machine",
        ),
        (
            Failure("SLMPROF_CPU_VARIANT=x: this build has the variants y"),
            "has the variants y",
            "unset SLMPROF_CPU_VARIANT",
        ),
        (Failure("not done after 20 s (--timeout)"), "not done after 20 s", "see what `python -c"),
    ],
)
def test_a_module_that_does_not_work_is_broken_and_no_more_is_said_of_the_build(
    tmp_path: Path, failure: Failure, said: str, remedy: str
) -> None:
    subject = quiet_machine(tmp_path, build=failure)
    found = build.module(subject)
    assert found.state == "broken" and said in found.found
    assert found.remedy is not None and remedy in found.remedy
    assert ("pip install" in found.remedy) is not found.remedy.startswith("unset")
    for probe in (build.llama_cpp, build.build_type, build.instruction_sets, build.features,
                  build.devices):  # fmt: skip
        assert probe(subject) is None


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({}, "ok", "Release, by GNU 12"),
        ({"build_type": "RelWithDebInfo"}, "ok", "RelWithDebInfo"),
        ({"build_type": "Debug"}, "unfavourable", "may not have optimised"),
        ({"build_type": ""}, "unfavourable", "may not have optimised"),
        ({"sanitizer": "thread"}, "unfavourable", "with the thread sanitizer"),
    ],
)
def test_a_slow_build_is_unfavourable(
    tmp_path: Path, changes: dict[str, Any], state: str, said: str
) -> None:
    found = build.build_type(quiet_machine(tmp_path, build=example_facts(build=changes)))
    assert found is not None and found.state == state and said in found.found


@pytest.mark.parametrize(
    ("flags", "state", "said"),
    [
        ("pni ssse3 avx avx2 fma", "ok", "built for SSE3, SSSE3, AVX, AVX2, FMA: everything"),
        (
            "pni ssse3 avx avx2 fma avx_vnni f16c",
            "unfavourable",
            "but without F16C, AVX_VNNI, which",
        ),
        ("pni ssse3 avx fma avx_vnni", "broken", "built for AVX2, which this processor lacks"),
        ("", "unavailable", "the system does not tell"),
    ],
)
def test_the_build_is_held_against_the_processor(
    tmp_path: Path, flags: str, state: str, said: str
) -> None:
    subject = quiet_machine(tmp_path)
    put(subject.proc, {"cpuinfo": f"flags\t\t: {flags}\n"})
    found = build.instruction_sets(subject)
    assert found is not None and found.state == state and said in found.found
    if state == "broken":
        assert found.remedy is not None and "GGML_NATIVE=OFF" in found.remedy


def test_a_portable_build_uses_no_extension(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path, build=example_facts(cpu_features="CPU : REPACK = 1 | "))
    found = build.instruction_sets(subject)
    assert found is not None and found.state == "unfavourable"
    assert found.found.startswith("built for no extension, but without SSE3, SSSE3, AVX, AVX2, FMA")


def test_of_several_variants_the_one_that_runs_is_named(tmp_path: Path) -> None:
    facts = example_facts(build={"native": False, "variant": "haswell"})
    found = build.instruction_sets(quiet_machine(tmp_path, build=facts))
    assert found is not None and found.state == "ok"
    assert found.found.startswith("the variant haswell, built for SSE3, SSSE3, AVX, AVX2, FMA: ")
    facts = example_facts(build={"variant": "x64"}, cpu_features="CPU : REPACK = 1 | ")
    for variables, remedy in (({}, "build it on this machine"), ({VARIABLE: "x64"}, _UNSET)):
        subject = quiet_machine(tmp_path, build=facts, variables=variables)
        found = build.instruction_sets(subject)
        assert found is not None and found.state == "unfavourable"
        assert found.found.startswith("the variant x64, built for no extension, but without SSE3")
        assert found.remedy is not None and remedy in found.remedy


def test_features_are_named_whether_there_or_not(tmp_path: Path) -> None:
    found = build.features(quiet_machine(tmp_path))
    assert found == ("ok", "RPC, repack, llamafile; without BLAS, CUDA, OpenMP", None)
    facts = example_facts(build={"features": ["hadamard", "tiled_products"]})
    found = build.features(quiet_machine(tmp_path, build=facts))
    assert found is not None
    assert found.found.endswith("; of newer llama.cpp hadamard, tiled_products")
    facts = example_facts(build={"features": []})
    found = build.features(quiet_machine(tmp_path, build=facts))
    assert found is not None and found.found.endswith("; of newer llama.cpp nothing")


def test_devices(tmp_path: Path) -> None:
    found = build.devices(quiet_machine(tmp_path))
    assert found == ("ok", "CPU; servers by --device rpc:HOST:PORT", None)
    facts = example_facts(build={"rpc": False}, devices=(*example_facts().devices, GPU))
    found = build.devices(quiet_machine(tmp_path, build=facts))
    assert found == ("ok", "CPU; CUDA0 (Example Card, 7.0 GiB free)", None)


def test_a_gpu_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    gpu = "bus/pci/devices/0000:65:00.0"
    put(subject.sysfs, {f"{gpu}/class": "0x030200\n", f"{gpu}/vendor": "0x10de\n"})
    found = build.devices(subject)
    assert found is not None and found.state == "unavailable"
    assert found.remedy is not None and "GGML_CUDA=ON" in found.remedy
    found = build.devices(quiet_machine(tmp_path, build=example_facts(build={"cuda": True})))
    assert found is not None and "CUDA finds no GPU" in found.found
