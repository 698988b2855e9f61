"""Probes of the environment's variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from subject_builder import example_facts, quiet_machine

from slmprof.machine.doctor import variables


@pytest.mark.parametrize(
    ("given", "state", "said"),
    [
        ({}, "ok", "none is set"),
        ({"OMP_NUM_THREADS": ""}, "ok", "none is set"),
        ({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "x"}, "ok", "OMP_NUM_THREADS=2, MKL_NUM"),
        ({"OMP_NUM_THREADS": "2, 16"}, "unfavourable", "OMP_NUM_THREADS=2, 16: more threads"),
        ({"OPENBLAS_NUM_THREADS": "3"}, "unfavourable", "than the 2 CPUs"),
        ({"OMP_PROC_BIND": "close"}, "ok", "none is set"),  # ggml's threads are not OpenMP's
    ],
)
def test_numbers_of_threads(tmp_path: Path, given: dict[str, str], state: str, said: str) -> None:
    found = variables.threads(quiet_machine(tmp_path, variables=given))
    assert found.state == state and said in found.found
    if state == "unfavourable":
        assert found.remedy == f"unset {next(iter(given))}"


def test_openmp_is_steered_where_ggml_is_built_with_it(tmp_path: Path) -> None:
    facts = example_facts(build={"openmp": True})
    subject = quiet_machine(tmp_path, build=facts, variables={"OMP_PROC_BIND": "close"})
    found = variables.threads(subject)
    assert found.state == "unfavourable" and found.remedy == "unset OMP_PROC_BIND"


def test_preloaded_libraries(tmp_path: Path) -> None:
    assert variables.preload(quiet_machine(tmp_path)).state == "ok"
    found = variables.preload(quiet_machine(tmp_path, variables={"LD_PRELOAD": "a.so" * 40}))
    assert found.state == "unfavourable" and "LD_PRELOAD=a.so" in found.found
    assert "…" in found.found and len(found.found) < 150


def test_what_changes_how_llama_cpp_runs(tmp_path: Path) -> None:
    harmless = {"GGML_NO_BACKTRACE": "1", "LLAMA_ARG_N_GPU_LAYERS": "3", "PATH": "/bin"}
    assert variables.llama_cpp(quiet_machine(tmp_path, variables=harmless)).state == "ok"
    given = {**harmless, "LLAMA_GRAPH_REUSE_DISABLE": "1", "GGML_CPU_DISABLE_FUSION": "1"}
    found = variables.llama_cpp(quiet_machine(tmp_path, variables=given))
    assert found.state == "unfavourable"
    assert found.remedy == "unset GGML_CPU_DISABLE_FUSION LLAMA_GRAPH_REUSE_DISABLE"
    found = variables.llama_cpp(quiet_machine(tmp_path, variables={"CUDA_LAUNCH_BLOCKING": "1"}))
    assert found.remedy == "unset CUDA_LAUNCH_BLOCKING"
