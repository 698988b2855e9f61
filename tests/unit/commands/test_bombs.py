"""Profiles that are about as bad as the limits let small files be, shown in a gigabyte.

Time decides nothing here; what takes too much of it takes too much memory as well, or is refused.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import bombs
import pytest

from slmprof.analysis.graphs import structures
from slmprof.analysis.tables import ops
from slmprof.errors import ProfileFormatError
from slmprof.views import Profile

SOURCE = Path(__file__).resolve().parents[3] / "src"
# Libraries map some hundred megabytes that they do not use.
MOST_BYTES = 2**30 + 400 * 2**20
ALL_VIEWS = """
import sys
from slmprof.commands.main import main
# Each makes every table; a view by one thing shows one of them.
for view in (["--full"], ["--format", "json"], ["--by", "tensor", "--format", "markdown"]):
    if code := main(["show", sys.argv[1], *view]):
        sys.exit(code)
"""


def shown(path: Path) -> subprocess.CompletedProcess[str]:
    """Views of a file, one after the other, in one process of so much memory."""
    return subprocess.run(
        [sys.executable, "-c", ALL_VIEWS, str(path)],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


CASES: dict[str, Callable[[], Profile]] = {
    "events": lambda: bombs.with_rows(bombs.widest(), "events", 90_000),
    "steps": lambda: bombs.many_steps(22_000),
    "repeats": lambda: bombs.many_steps(22_000, repeat=lambda i: i // 2, index=lambda i: 0 * i),
    "places": lambda: bombs.with_rows(bombs.widest(), "places", 19_000),
    "ops": lambda: bombs.many_ops(5_000),
    "graphs": lambda: bombs.many_graphs(1_500),
}


@pytest.mark.parametrize("made", CASES.values(), ids=CASES)
def test_small_files(made: Callable[[], Profile], tmp_path: Path) -> None:
    path = tmp_path / "p.slmprof"
    bombs.save_tight(made(), path)
    assert path.stat().st_size < 2**20
    answer = shown(path)
    assert (answer.returncode, answer.stderr) == (0, "")


ENTANGLED: dict[str, tuple[str, Callable[[int], list[int]]]] = {
    "chain": ("MUL", lambda i: [i - 1]),
    "views": ("VIEW", lambda i: [i - 1]),
    "fan of views": ("VIEW", lambda _: [0]),
    "sums": ("ADD", lambda i: [i - 1, i // 2]),
    "ten sources": ("MUL", lambda i: [max(i - j, 0) for j in range(1, 11)]),
    "soft maxes": ("SOFT_MAX", lambda i: [i - 1]),
    "copies": ("CPY", lambda i: [i - 1, i]),
}


@pytest.mark.parametrize(("op", "sources"), ENTANGLED.values(), ids=ENTANGLED)
def test_graphs(op: str, sources: Callable[[int], list[int]], tmp_path: Path) -> None:
    n = 3000
    path = tmp_path / "p.slmprof"
    leaf = [n, n] if op in ("ADD", "CPY") else [n]
    bombs.one_graph(n, op, lambda i: sources(i) if i else leaf).save(path)
    answer = shown(path)
    if answer.returncode:
        assert answer.stderr == ("slmprof: error: a graph is too entangled to be that of a model\n")
        assert answer.returncode == 2


def test_graphs_that_have_nothing_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = bombs.many_graphs(3)
    monkeypatch.setattr(structures, "_MOST_ROWS", len(profile.tensors.of_graph(0)))
    found = structures.Structures(profile)
    assert found.of(0) is found.of(1)  # of the same kind
    names = profile.tensors.name.copy()
    names[-1] = names[0]
    other = structures.Structures(
        profile.with_tables({"tensors": profile.tensors.replace(name=names)})
    )
    other.of(0)
    with pytest.raises(ProfileFormatError, match="graphs differ too much"):
        other.of(2)


def test_ops_of_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "_MOST_OPS", 10)
    with pytest.raises(ProfileFormatError, match="different ops of prefill, more than any model"):
        bombs.many_ops(100).ops()
