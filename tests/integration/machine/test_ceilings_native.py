"""Ceilings as this machine gives them: what there is, never how much."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from slmprof import _core
from slmprof.children.protocol import Progress
from slmprof.errors import CaptureError, EngineError
from slmprof.machine import ceilings as capture
from slmprof.machine.caches import data_caches
from slmprof.machine.instruction_sets import is_built
from slmprof.profiles.records.ceilings import Ceilings

KIB = 2**10
SHORT = 0.001  # seconds for each figure, where only its being there counts
N_THREADS = 2

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.fixture(scope="module")
def progress() -> list[Progress]:
    """What the measurement reported."""
    return []


@pytest.fixture(scope="module")
def measured(progress: list[Progress]) -> Ceilings:
    """One real measurement for all tests."""
    return capture.measure_ceilings(N_THREADS, progress.append)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_bandwidth_of_any_number_of_threads(n_threads: int) -> None:
    figures = _core.measure_bandwidth(48 * KIB * n_threads, n_threads=n_threads, seconds=SHORT)
    assert list(figures) == ["read", "copy", "triad"]
    assert all(math.isfinite(gbps) and gbps > 0 for gbps in figures.values())


def test_bandwidth_of_a_set_that_is_cut_into_chunks() -> None:
    figures = _core.measure_bandwidth(64 * 2**20, n_threads=N_THREADS, seconds=SHORT)
    assert list(figures) == ["read", "copy", "triad"]


@pytest.mark.parametrize(
    ("working_set_bytes", "n_threads", "seconds"),
    [
        (0, 1, SHORT),
        (6143, 1, SHORT),
        (2**62, 1, SHORT),
        (8192, 0, SHORT),
        (8192, -1, SHORT),
        (2**20, 513, SHORT),
        (8192, 1, -1.0),
        (8192, 1, math.nan),
        (8192, 1, math.inf),
    ],
)
def test_impossible_bandwidth(working_set_bytes: int, n_threads: int, seconds: float) -> None:
    with pytest.raises(ValueError):
        _core.measure_bandwidth(working_set_bytes, n_threads=n_threads, seconds=seconds)


def test_every_type_that_a_matrix_can_have() -> None:
    types = _core.arithmetic_types()
    assert {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_K", "q6_K", "iq4_xs", "iq1_s"} <= set(types)
    assert not {"q8_1", "q8_K", "i32", "f64"} & set(types)
    for type_name in types:
        rows = _core.measure_arithmetic(
            type_name, [1, 3], n_threads=N_THREADS, matrix_bytes_per_thread=4096, seconds=SHORT
        )
        assert {(n, impl) for n, impl, _ in rows} >= {(1, "plain"), (3, "plain")}
        assert all(math.isfinite(gflops) and gflops > 0 for _, _, gflops in rows)


def test_impossible_arithmetic() -> None:
    for type_name, n_columns, n_threads in (
        ("q9_Z", [1], 1),
        ("q8_1", [1], 1),
        ("i32", [1], 1),
        ("f32", [0], 1),
        ("f32", [1], 0),
        ("f32", [10**6], 1),
    ):
        with pytest.raises(ValueError):
            _core.measure_arithmetic(
                type_name,
                n_columns,
                n_threads=n_threads,
                matrix_bytes_per_thread=KIB,
                seconds=SHORT,
            )


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no way to bind to a core")
def test_the_caller_keeps_its_cores() -> None:
    before = os.sched_getaffinity(0)
    for cores in ([min(before)], sorted(before), [10**6], [-1]):
        assert _core.measure_bandwidth(48 * KIB, n_threads=2, seconds=SHORT, cores=cores)
        assert _core.measure_op_ns(n_threads=1, seconds=SHORT, cores=cores) > 0
        assert _core.measure_arithmetic(
            "f32", [1], n_threads=1, matrix_bytes_per_thread=KIB, seconds=SHORT, cores=cores
        )
    assert os.sched_getaffinity(0) == before


def test_an_op_with_nothing_to_do() -> None:
    assert _core.measure_op_ns(n_threads=1, seconds=SHORT) > 0
    assert _core.measure_op_ns(n_threads=N_THREADS, seconds=SHORT) > 0
    with pytest.raises(ValueError):
        _core.measure_op_ns(n_threads=0, seconds=SHORT)


def test_single_instructions() -> None:
    rows = _core.measure_instructions(n_threads=N_THREADS, seconds=SHORT)
    assert len({name for name, *_ in rows}) == len(rows)
    assert {type_name for _, _, type_name, _ in rows} <= {"int8", "f32", "f16", "bf16"}
    assert all(g is None or (math.isfinite(g) and g > 0) for *_, g in rows)
    # What ggml's kernels are compiled for, this machine has.
    assert all(gflops is not None for _, isa, _, gflops in rows if is_built(isa))
    for n_threads, seconds in ((0, SHORT), (1, -1.0)):
        with pytest.raises(ValueError):
            _core.measure_instructions(n_threads=n_threads, seconds=seconds)


def test_all_levels_and_types_are_there(measured: Ceilings) -> None:
    assert measured.n_threads == N_THREADS
    assert measured.fingerprint == capture.fingerprint()
    assert measured.caches == data_caches()
    levels = {row.level for row in measured.bandwidth}
    assert "memory" in levels
    assert levels <= {"memory", *(cache.level for cache in measured.caches)}
    assert len(measured.bandwidth) == 3 * len(levels)
    types = {row.type for row in measured.arithmetic}
    assert types == set(_core.arithmetic_types())
    for type_name in types:
        assert measured.peak_gflops(type_name, 1) is not None
        best = measured.best_arithmetic(type_name, 2)
        assert best is not None and best.gflops >= (measured.peak_gflops(type_name, 1) or 0)
    assert len(measured.instructions) == len(_core.measure_instructions(n_threads=1, seconds=SHORT))
    assert measured.op_ns > 0 and measured.seconds > 0
    assert Ceilings.from_json(json.loads(json.dumps(measured.to_json()))) == measured


def test_progress_goes_from_start_to_end(measured: Ceilings, progress: list[Progress]) -> None:
    del measured
    # A round that another load spoiled is measured a second time.
    rounds = sum(report.stage == "done" for report in progress)
    total = progress[0].total
    assert [report.done for report in progress] == [*range(total + 1)] * rounds
    assert {report.total for report in progress} == {total}


def test_kept_and_found_again(
    measured: Ceilings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    path = capture.keep_ceilings(measured)
    assert path is not None and path.parent == tmp_path
    assert capture.find_ceilings(N_THREADS) == measured
    assert capture.ceilings(N_THREADS, path=path) == measured


def _sabotage(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Has the child run `body` in place of the measurement."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'slmprof.machine.caches':\n"
        f"            {body}\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_crash_of_the_child_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _sabotage(
        tmp_path,
        monkeypatch,
        "import os; os.write(2, b'GGML_ASSERT(false) failed\\n'); os.abort()",
    )
    with pytest.raises(EngineError, match=r"SIGABRT.*GGML_ASSERT\(false\)") as caught:
        capture.measure_ceilings(1)
    assert "GGML_ASSERT(false) failed" in caught.value.log_lines


def test_an_early_end_of_the_child_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _sabotage(tmp_path, monkeypatch, "import os; os._exit(0)")
    with pytest.raises(EngineError, match="status 0"):
        capture.measure_ceilings(1)


def test_an_unexpected_exception_of_the_child_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import slmprof._core\n"
        "def fail(*_, **__):\n    raise KeyError('nobody expected this')\n"
        "slmprof._core.measure_bandwidth = fail\n"
    )
    package_root = Path(capture.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package_root), str(tmp_path)]))
    with pytest.raises(CaptureError, match="KeyError") as caught:
        capture.measure_ceilings(1)
    assert "\n" not in str(caught.value)


def test_an_exception_of_the_caller_ends_the_child() -> None:
    def fail(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture.measure_ceilings(1, fail)
