"""Some mutated cases of each kind, as thousands of them are run by hand (tests/fuzz)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from case_maker import KINDS
from child_builder import PACKAGE_ROOT

ROOT = Path(__file__).resolve().parents[3]
N_CASES, N_PAIRS = 3, 3


def run(folder: Path, *options: str) -> tuple[int, str, list[dict[str, object]]]:
    """What the runner says, and its results."""
    results = folder / "results.jsonl"
    answer = subprocess.run(
        [
            sys.executable, str(ROOT / "tests" / "fuzz" / "cases.py"), *options, "--seed", "1",
            "--slots", "1", "--keep", str(folder / "kept"), "--results", str(results),
        ],
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    return answer.returncode, answer.stdout + answer.stderr, [json.loads(line) for line in lines]


def test_cases_of_every_kind_end_well(tmp_path: Path) -> None:
    n_cases = N_CASES * len(KINDS)
    status, said, results = run(tmp_path, "--cases", str(n_cases))
    assert status == 0, said
    assert [result["number"] for result in results] == list(range(n_cases))
    assert len({result["kind"] for result in results}) >= 4
    assert f"0 of {n_cases} cases ended as none should" in said


@pytest.mark.parametrize("kind", ["gguf memory", "profile show"])
def test_a_fork_ends_as_a_process_of_its_own(kind: str, tmp_path: Path) -> None:
    found = []
    for name, more in (("forked", ()), ("own", ("--really",))):
        (tmp_path / name).mkdir()
        _, said, results = run(tmp_path / name, "--kinds", kind, "--cases", str(N_PAIRS), *more)
        assert len(results) == N_PAIRS, said
        # A model that is planned in another type lies in a folder of its own for the time.
        says = [re.sub(r"\S*/slmprof-\w+/", "", str(result["says"])) for result in results]
        found.append([(r["outcome"], r["complaints"]) for r in results] + says)
    assert found[0] == found[1]
