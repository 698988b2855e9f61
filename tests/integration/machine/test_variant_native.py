"""Which of ggml's CPU code runs, as this build says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run

from slmprof import Session, _core
from slmprof.machine.instruction_sets import missing_sets
from slmprof.native_variant import VARIABLE, chosen, variants


def _expected() -> str:
    found = chosen()
    if found is not None:
        return found.name
    return "native" if _core.build_info()["native"] else "custom"


def test_the_build_and_each_profile_say_which_variant_runs(
    small_model: Callable[..., Path],
) -> None:
    assert _core.build_info()["variant"] == _expected()
    assert f"variant: {_expected()}" in run("--version", "--verbose").stdout.splitlines()
    with Session(small_model(), n_prompt=4, n_gen=2, threads=1) as session:
        session.decode(2)
        assert session.profile().meta.slmprof.build["variant"] == _expected()


def test_a_variant_is_compiled_for_no_more_than_it_is_listed_for() -> None:
    if (found := chosen()) is not None:
        # SSE3 and SSSE3 come with SSE4.2.
        flags = {*found.flags, "pni", "ssse3"} if "sse4_2" in found.flags else found.flags
        assert missing_sets(_core.cpu_features(), flags) == []


def test_a_variant_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nonsense")
    answer = run("breakdown", "preset:tiny", "--n-gen", "2")
    assert answer.returncode == 2 and answer.stdout == ""
    assert answer.stderr.startswith(f"slmprof: error: {VARIABLE}=nonsense: this build has ")
    answer = run("doctor")
    assert answer.returncode == 1
    assert "- module (broken): unset SLMPROF_CPU_VARIANT" in " ".join(answer.stdout.split())
    for variant in variants():
        monkeypatch.setenv(VARIABLE, variant.name)
        answer = run("--version", "--verbose")
        assert answer.returncode == 0
        assert ("this processor lacks" in answer.stdout) is not (
            f"variant: {variant.name}" in answer.stdout
        )
