"""Sweeps: what is measured, what is kept, and what is measured again."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from depth_builder import profile_at, with_config
from sweep_builder import grid

from slmprof.capture.sweep import Schedule, in_order_of_running, why_to_measure
from slmprof.commands.main import main
from slmprof.commands.progress import duration
from slmprof.profiles.selection import select_process
from slmprof.settings.resolved import ResolvedConfig
from slmprof.views import Profile, load

pytestmark = pytest.mark.usefixtures("by_name")

ARGUMENTS = ["--n-prompt", "16,32", "--threads", "1,2", "--n-depth", "0,512"]


def test_a_sweep_measures_each_point_once(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    seen = capture()
    sweep = ["sweep", model, "-o", str(folder), *ARGUMENTS]
    assert main(sweep) == 0
    first = capsys.readouterr()
    assert len(seen) == len(list(folder.glob("*.slmprof"))) == len(list(folder.iterdir())) == 4
    assert main(sweep) == 0
    second = capsys.readouterr()
    assert len(seen) == 4
    assert second.out == first.out and "4/4 kept" in second.err
    assert main([*sweep, "--n-prompt", "16,32,64"]) == 0
    assert len(seen) == 6
    capsys.readouterr()
    assert main(["sweep", "--show", str(folder), "--format", "csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 1 + 6 * 2 * 2  # points, phases, depths
    assert load(next(folder.glob("*.slmprof"))).meta.run.sweep.settings["n_depth"] == [0, 512]


def test_what_is_not_good_is_measured_again(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    seen = capture()
    sweep = ["sweep", model, "-o", str(folder), "--threads", "1,2"]
    assert main(sweep) == 0
    damaged, other = sorted(folder.glob("*.slmprof"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    capsys.readouterr()
    assert main(sweep) == 0
    assert len(seen) == 3
    assert f"measured {damaged.name} again: cannot read" in capsys.readouterr().err
    os.utime(model, ns=(1, 1))
    assert main(sweep) == 0
    assert len(seen) == 5
    assert "the model has changed" in capsys.readouterr().err
    run = load(other).meta.run
    (point,) = (
        p for p in grid([model], n_prompt=(50,), threads=(1, 2)) if p.file_name == other.name
    )
    assert why_to_measure(point, other) is None
    profile_at((0,), complete=False, sweep=run.sweep).save(other)
    assert why_to_measure(point, other) == f"{other.name} is incomplete"
    profile_at((0,)).save(other)
    assert "other settings" in str(why_to_measure(point, other))


def test_a_failing_point_does_not_stop_the_others(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    seen = capture(fails='"threads": 1')
    sweep = ["sweep", model, "-o", str(folder), *ARGUMENTS]
    assert main([*sweep, "--format", "json"]) == 1
    out, err = capsys.readouterr()
    assert len(seen) == 4 and len(list(folder.iterdir())) == 2
    made = json.loads(out)
    assert len(made["points"]) == len(made["failures"]) == 2
    assert made["varying"] == ["n_prompt"]
    assert made["failures"][0]["message"] == "it died in flames"
    assert err.splitlines()[-1] == "slmprof: error: 2 of 4 points failed"
    capture()
    assert main(sweep) == 0
    assert len(list(folder.iterdir())) == 4


def test_a_model_swapped_meanwhile_keeps_nothing_and_the_others_go_on(
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF" + bytes(200))
    measured = []

    def run_one(config: Any, on_progress: Callable[[Any], None]) -> Profile:  # noqa: ARG001
        measured.append(config.model)
        if config.model == model:
            new = tmp_path / "new.gguf"
            new.write_bytes(b"GGUF" + bytes(100))
            new.replace(model)
        used = {f.name: getattr(config, f.name) for f in fields(ResolvedConfig)}
        return with_config(profile_at(config.n_depths), **{**used, "threads": config.n_threads})

    monkeypatch.setattr("slmprof.capture.process.profile_in_one_process", run_one)
    folder = tmp_path / "sweep"
    arguments = ["sweep", model, str(other), "--n-prompt", "16,32", "-o", str(folder)]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "small.gguf changed since the sweep began (another file stands in its place)" in said
    assert "2 of 4 points failed" in said
    assert sorted(path.name[:5] for path in folder.iterdir()) == ["other", "other"]
    # The second point of the swapped file is not even begun.
    assert measured.count(model) == 1 and measured.count(str(other)) == 2


def test_points_of_several_processes_take_turns_and_go_on_where_they_were(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    sweep = ["sweep", model, "--n-prompt", "16,32", "--processes", "3", "--repeats", "2"]
    sweep += ["-o", str(folder), "--format", "json"]
    seen = capture()
    assert main(sweep) == 0
    order = [config.n_prompt for config in seen]
    assert len(order) == 6 and order[:2] * 3 == order
    capsys.readouterr()
    for path in folder.iterdir():
        profile = load(path)
        assert profile.meta.run.complete is True and profile.meta.config.processes == 3
        assert profile.meta.run.n_repeats_done == profile.meta.run.n_repeats == 6
    assert main(sweep) == 0 and len(seen) == 6

    # As if it had been ended while the second process of the point that runs last was measured.
    (last,) = (path for path in folder.iterdir() if f"_p{order[1]}_" in path.name)
    one = select_process(load(last), 0)
    run = one.meta.run.replace(n_repeats_done=2, complete=False)
    replace(one, meta=one.meta.replace(run=run)).save(last)
    assert main(sweep) == 0
    assert [config.n_prompt for config in seen[6:]] == [order[1]] * 2
    assert "again: " in capsys.readouterr().err
    assert load(last).meta.run.complete is True and load(last).steps.process.max() == 2


def test_all_points_may_fail(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    capture(fails="model")
    for form in ("table", "json", "csv", "markdown"):
        assert main(["sweep", model, "-o", str(tmp_path / "out"), "--format", form]) == 1
        out, err = capsys.readouterr()
        if form == "json":
            assert json.loads(out)["points"] == []
        elif form == "csv":
            (row,) = csv.DictReader(io.StringIO(out))
            assert row["error"] == "it died in flames" and row["model"] == ""
        else:
            assert out == ""
        assert "1 of 1 points failed" in err


def test_ctrl_c_keeps_what_was_done(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    last = in_order_of_running(grid([model], threads=(1, 2, 3), n_prompt=(50,)))[-1]
    capture(stop=f'"threads": {last.config.threads},')
    sweep = ["sweep", model, "-o", str(folder), "--threads", "1,2,3"]
    assert main(sweep) == 130
    assert "2 of 3 points are in" in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 2
    seen = capture()
    assert main(sweep) == 0
    assert len(seen) == 1


def test_dry_run_lists_and_touches_nothing(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "out"
    seen = capture()
    assert main(["sweep", model, "-o", str(folder), *ARGUMENTS, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.startswith("to do") for line in lines)
    assert seen == [] and not folder.exists()
    assert main(["sweep", model, "-o", str(folder), "--n-prompt", "16", "--threads", "1"]) == 0
    capsys.readouterr()
    assert main(["sweep", model, "-o", str(folder), "--n-prompt", "16", "--threads", "1,2",
                 "--dry-run"]) == 0  # fmt: skip
    assert sorted(line.split()[0] for line in capsys.readouterr().out.splitlines()) == [
        "done",
        "to",
    ]


def test_show_tells_what_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile_at((0, 512)).save(tmp_path / "good.slmprof")
    (tmp_path / "bad.slmprof").write_text("nothing")
    assert main(["sweep", "--show", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert "1 point" in out and "bad.slmprof" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "at least one MODEL"),
        (["m"], "-o DIR"),
        (["m", "-o", "x", "--n-depth", "0,,x"], "empty item"),
        (["m", "-o", "x", "--n-depth", "0,x"], "'x' is not a whole number"),
        (["m", "-o", "x", "--n-depth", "-1"], "too small"),
        (["m", "-o", "x", "--n-depth", "0,99999999999"], "too large"),
        (["m", "-o", "x", "--threads", "0,1"], "too small"),
        (["m", "-o", "x", "--flash-attn", "on,maybe"], "'maybe' is not one of auto, on, off"),
        (["m", "-o", "x", "--type-k", ","], "empty item"),
        (["preset:tiny", "-o", __file__], "is a file"),
        (["preset:tiny", "-o", __file__, "--dry-run"], "is a file"),
        (["--show", __file__], "no folder"),
        (["--show", str(Path(__file__).parent)], "no profiles"),
        (["m", "--show", "x"], "takes no MODEL"),
        (["missing.gguf", "-o", "x"], "no such model"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1
    assert not Path("x").exists()


def test_a_pause_stands_between_the_points_and_the_time_left_is_told() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    schedule = Schedule(3, 5.0, clock=lambda: now[0], sleep=sleep)
    left = []
    for taken in (10.0, 20.0, 30.0):
        schedule.begin()
        now[0] += taken
        left.append(schedule.end())
    assert slept == [5.0, 5.0]
    assert left == [2 * (10.0 + 5.0), 15.0 + 5.0, 0.0]
    assert [duration(s) for s in (0.2, 40.0, 90.0, 720.0, 12000.0)] == [
        *("1 s", "40 s", "2 min", "12 min", "3 h 20 min"),
    ]


def test_a_sweep_pauses_between_what_it_measures_and_says_what_is_left(
    model: str,
    tmp_path: Path,
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    now = iter(range(100))
    monkeypatch.setattr(
        "slmprof.capture.sweep.Schedule",
        partial(Schedule, clock=lambda: next(now), sleep=slept.append),
    )
    capture()
    sweep = ["sweep", model, "-o", str(tmp_path / "out"), "--pause", "7", "--threads"]
    assert main([*sweep, "1,2"]) == 0
    assert slept == [7.0] and "8 s left" in capsys.readouterr().err
    # What is there already takes no time.
    assert main([*sweep, "1,2,3"]) == 0
    assert slept == [7.0] and " left" not in capsys.readouterr().err


@pytest.mark.parametrize("pause", ["-1", "nan", "inf", "soon", "0"])
def test_a_pause_that_cannot_be_is_wrong_usage(
    pause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "preset:tiny", "-o", "x", f"--pause={pause}"]) == 2
    assert "number of seconds" in capsys.readouterr().err and not Path("x").exists()
