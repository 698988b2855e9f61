"""Files that would take far more than their size: refused, before or right after unpacking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bombs
import numpy as np
import pytest
from builders import example_profile

from slmprof.errors import ProfileFormatError
from slmprof.profiles import limits
from slmprof.profiles.records.decoding import MOST_TEXT
from slmprof.profiles.storage import archive
from slmprof.profiles.storage.file import load
from slmprof.views import Profile

MIB = 2**20
GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture
def only_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """No column may be unpacked."""
    read = archive._read_data

    def guarded(stream: Any, what: str, *rest: Any) -> Any:
        assert what == "member meta"
        return read(stream, what, *rest)

    monkeypatch.setattr(archive, "_read_data", guarded)


@pytest.mark.parametrize(
    ("table", "n_rows", "message"),
    [
        ("events", 200_000, "rows in table events; at most"),
        ("tensors", 200_000, "its tables would take"),
        ("steps", 80_000, "rows in table steps; at most"),
        ("places", 40_000, "rows in table places; at most"),
        ("types", 3_000, "rows in table types; at most 2000 are read"),
    ],
)
@pytest.mark.usefixtures("only_meta")
def test_tables_are_in_proportion_to_the_file(
    table: str, n_rows: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.slmprof"
    bombs.save_tight(bombs.with_rows(bombs.widest(), table, n_rows), path)
    assert path.stat().st_size < MIB
    with pytest.raises(ProfileFormatError, match=message):
        load(path)


def test_a_larger_file_may_hold_more(tmp_path: Path) -> None:
    path = tmp_path / "p.slmprof"
    bombs.save_tight(bombs.with_rows(bombs.widest(), "events", 200_000), path)
    bombs.padded(path, MIB)
    assert len(load(path).events) > 199_000


@pytest.mark.parametrize("version", range(1, 9))
def test_real_files_are_far_below_the_limits(version: int) -> None:
    path = GOLDEN / f"profile-v{version}.slmprof"
    profile = load(path)
    rows = {
        name: 10 * len(getattr(profile, name)) for name in ("steps", "events", "tensors", "stats")
    }
    limits.check_tables(rows, 10 * bombs.table_bytes(Profile.of(profile)), path.stat().st_size)


def test_four_million_events_of_a_real_run_are_read() -> None:
    """As `run.events` may keep at most; seven bytes of the file each."""
    n = 4_000_000
    rows = {"events": n, "steps": 20_000, "segments": 60_000, "runs": 10_000, "tensors": 200_000}
    limits.check_tables(rows, n * 58 + 200_000 * 185, 7 * n)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (lambda: bombs.many_steps(2000, depth=lambda i: i // 10), "200 depths; at most 100"),
        (lambda: bombs.many_steps(4000, process=lambda i: i // 2), "2000 processes; at most 1000"),
        (
            lambda: bombs.one_graph(2**15, "MUL", lambda i: [i - 1 if i else 2**15]),
            "32769 tensors in one graph",
        ),
    ],
)
def test_counts_that_analysis_goes_through_one_by_one(
    profile: Callable[[], Profile], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.slmprof"
    profile().save(path)
    bombs.padded(path, 8 * MIB)
    with pytest.raises(ProfileFormatError, match=message):
        load(path)


def test_different_ops_among_events(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = example_profile()
    found = {
        (int(run), int(node), int(fused), int(path))
        for run, node, fused, path in zip(
            profile.runs.graph[profile.events.run],
            profile.events.node,
            profile.events.n_fused,
            profile.events.path,
            strict=True,
        )
    }
    assert limits._different_ops(profile) == len(found)
    monkeypatch.setattr(limits, "_OPS", limits._Allowance(len(found) - 1))
    with pytest.raises(ProfileFormatError, match="different ops"):
        limits.check_counts(profile, 10**6)


def test_many_members_in_one_event(tmp_path: Path) -> None:
    profile = bombs.one_graph(200, "MUL", lambda i: [i - 1 if i else 200])
    stats = profile.stats
    n_fused = stats.n_fused.copy()
    node = stats.node.copy()
    node[-1], n_fused[-1] = 0, 100
    path = tmp_path / "p.slmprof"
    profile.with_tables({"stats": stats.replace(node=node, n_fused=n_fused)}).save(path)
    with pytest.raises(ProfileFormatError, match=r"stats\.n_fused holds 100"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(x=[0] * 500_000), "meta data has 5.* values"),
        (lambda m: m.update(x=" " * 17 * MIB), "meta data has .* bytes"),
        (lambda m: m["model"].update(name="x" * (MOST_TEXT + 1)), "a text of 16385 characters"),
        (lambda m: m["strings"].append("x" * (MOST_TEXT + 1)), "strings"),
        (lambda m: m["strings"].extend(["x"] * 100_001), "strings"),
        (lambda m: m["environment"].update(warnings=["x"] * 1001), r"environment\.warnings"),
        (lambda m: m["memory"].update(buffers=[{}] * 1001), r"memory\.buffers"),
        (lambda m: m["memory"].update(predicted=[{}] * 1001), r"memory\.predicted"),
        (
            lambda m: m["model"].update(tensor_types={str(i): 1 for i in range(1001)}),
            r"model\.tensor_types",
        ),
        (lambda m: m["slmprof"].update(build={str(i): 1 for i in range(1001)}), r"slmprof\.build"),
    ],
)
def test_meta_data(change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.slmprof"
    bombs.save_with_meta(path, change)
    with pytest.raises(ProfileFormatError, match=message) as caught:
        load(path)
    assert len(str(caught.value)) < 300


def test_what_a_file_may_say_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.slmprof"
    bombs.save_with_meta(
        path,
        lambda m: (
            m["model"].update(name="x" * MOST_TEXT),
            m["environment"].update(warnings=["x"] * 1000),
            m["strings"].extend(map(str, range(90_000))),
        ),
    )
    assert len(load(path).meta.environment.warnings) == 1000


def test_rows_of_a_graph_stand_together() -> None:
    tensors = example_profile().tensors
    for graph in range(-1, 5):
        found = tensors.of_graph(graph)
        assert np.array_equal(found.name, tensors.name[tensors.graph == graph])
