"""`slmprof compare` and `show` of several files: what runs when, names, exit codes, bad input."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import example_profile
from workers import stand_in

import slmprof
from slmprof.capture.comparison import find_entries
from slmprof.commands.main import main
from slmprof.errors import EngineError, UsageError
from slmprof.views import Profile

Worker = Callable[..., list[str]]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, by_name: None) -> Worker:  # noqa: ARG001
    """Stands for the worker: each run takes some seconds, a model named `slow` twice the time."""

    def install(error: Exception | None = None) -> list[str]:
        seen: list[str] = []

        def run(config: Any, on_progress: Callable[[Any], None]) -> Profile:
            from slmprof.children.protocol import Progress

            on_progress(Progress("timing", 1, 4))
            if error is not None:
                raise error
            seen.append(config.model)
            return _at(example_profile(), len(seen), 2 if "slow" in config.model else 1)

        stand_in(monkeypatch, run)
        return seen

    return install


def _at(profile: Profile, turn: int, factor: int) -> Profile:
    """The profile, measured later than those before, and so many times slower."""
    first, shift = int(profile.steps.begin_ns.min()), turn * 10**12

    def moved(table: Any) -> Any:
        # Some nanoseconds apart, as nothing takes twice the same time.
        times = {n: v for n, v in table.columns().items() if n in ("begin_ns", "end_ns")}
        return table.replace(
            **{
                n: first + (v - first) * factor + shift + (v - first) // (1000 + turn % 7)
                for n, v in times.items()
            }
        )

    return replace(
        profile, steps=moved(profile.steps), runs=moved(profile.runs),
        events=moved(profile.events), segments=moved(profile.segments),
    )  # fmt: skip


def saved(path: Path, profile: Profile | None = None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    (profile or example_profile()).save(path)
    return str(path)


def outputs(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_models_run_in_turns(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    seen = worker()
    arguments = ["compare", "a.gguf", "slow.gguf", "--processes", "6", "--format", "json"]
    assert main(arguments) == 0
    assert seen == ["a.gguf", "slow.gguf", "slow.gguf", "a.gguf"] * 3
    out, err = outputs(capsys)
    value = json.loads(out)
    assert err == "" and value["interleaved"] is True
    assert (value["a"]["name"], value["b"]["name"]) == ("a", "slow")
    assert value["a"]["processes"] == value["b"]["processes"] == 6
    found = {row["name"]: row["verdict"] for row in value["rows"] if row["what"] == "latency"}
    assert found == {"prefill": "slower", "decode": "slower"}


def test_twenty_short_processes_are_the_default(worker: Worker) -> None:
    seen = worker()
    assert main(["compare", "a.gguf", "b.gguf", "--format", "csv"]) == 0
    assert len(seen) == 40
    for given, repeats in (({}, 5), ({"repeats": 7}, 7)):
        (first, _) = find_entries(["a.gguf", "b.gguf"], given)
        assert first.config is not None and first.config.repeats == repeats
        assert (first.config.processes, first.config.ceilings) == (20, "off")


def test_profiles_of_models_are_kept_and_compare_alike(
    worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker()
    run = ["compare", "a.gguf", "slow.gguf", "--processes", "6", "--format", "json"]
    assert main([*run, "--save", str(tmp_path / "kept")]) == 0
    out, err = outputs(capsys)
    files = sorted((tmp_path / "kept").iterdir())
    assert [file.name for file in files] == ["a.slmprof", "slow.slmprof"]
    assert err.count("slmprof: note: saved") == 2
    assert main(["compare", *map(str, files), "--format", "json"]) == 0
    first, again = json.loads(out), json.loads(outputs(capsys)[0])
    assert again["interleaved"] is True
    for key in ("a", "b", "rows", "verdict", "differences_in_setup"):
        assert again[key] == first[key]


def test_the_folder_is_checked_before_anything_runs(
    worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = worker()
    (tmp_path / "file").touch()
    assert main(["compare", "a.gguf", "b.gguf", "--save", str(tmp_path / "file")]) == 2
    assert "is a file" in outputs(capsys)[1] and seen == []


def test_a_condition_that_failed_ends_with_one(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    worker()
    run = ["compare", "a.gguf", "slow.gguf", "--processes", "6", "--fail-if", "decode > 3%"]
    assert main(run) == 1
    out, err = outputs(capsys)
    assert "Failed: decode > 3%" in out
    assert (
        err.startswith("slmprof: error: failed: decode > 3% (slow: decode +")
        and err.count("\n") == 1
    )
    assert main(["compare", "a.gguf", "b.gguf", *run[3:-1], "decode > 90%"]) == 0
    assert outputs(capsys)[1] == ""


def test_a_condition_fails_whoever_reads_the_report(
    worker: Worker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker()
    run = ["compare", "a.gguf", "slow.gguf", "--processes", "6", "--fail-if", "decode > 3%"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", pipe)
        assert main(run) == 1
    assert outputs(capsys)[1].startswith("slmprof: error: failed: decode > 3% (slow: decode +")


def test_a_condition_that_cannot_be_decided_is_no_failure_but_told(
    by_name: None,  # noqa: ARG001
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [saved(tmp_path / f"{name}.slmprof") for name in "ab"]
    assert main(["compare", *files, "--fail-if", "decode > 3%"]) == 0
    assert outputs(capsys)[1].startswith(
        "slmprof: warning: undecided: decode > 3% (b: decode: each"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-if", "decode"], "no condition"),
        (["--fail-if", "decode > nan"], "no number"),
        (["--fail-if", "decode > 3 parsec"], "no unit"),
        (["--margin", "wide"], "percentage"),
        (["--margin", "100%"], "below 100 %"),
        (["--processes", "0"], "too small"),
        (["--n-prompt", "0"], "too small"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(
    worker: Worker, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    seen = worker()
    assert main(["compare", "a.gguf", "b.gguf", *arguments]) == 2
    out, err = outputs(capsys)
    assert message in err and err.count("\n") == 1
    assert (out, seen) == ("", [])


def test_a_condition_that_names_nothing_is_wrong_usage_after_the_run(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    worker()
    arguments = ["--processes", "1", "--fail-if", "no_such_kernel > 3%"]
    assert main(["compare", "a.gguf", "b.gguf", *arguments]) == 2
    assert "names nothing that was compared" in outputs(capsys)[1]


def test_one_is_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.gguf"]) == 2
    assert "at least two" in outputs(capsys)[1]


def test_settings_need_a_model_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [saved(tmp_path / f"{name}.slmprof") for name in "ab"]
    assert main(["compare", *files, "--threads", "1"]) == 2
    assert "there is no model to run" in outputs(capsys)[1]


def test_a_profile_that_is_not_there_is_no_model(
    worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = worker()
    assert main(["compare", "a.gguf", str(tmp_path / "none.slmprof")]) == 2
    assert "cannot read" in outputs(capsys)[1] and seen == []


def test_a_model_that_cannot_be_measured_ends_the_comparison(
    worker: Worker, capsys: pytest.CaptureFixture[str]
) -> None:
    worker(EngineError("llama.cpp refused"))
    assert main(["compare", "a.gguf", "b.gguf"]) == 1
    out, err = outputs(capsys)
    assert out == "" and "llama.cpp refused" in err


@pytest.mark.usefixtures("by_name")
def test_complete_rounds_are_kept_where_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def run(config: Any, _: Any) -> Profile:
        made.append(config.model)
        if len(made) == 6:
            raise EngineError("llama.cpp died", profile=example_profile())
        return _at(example_profile(), len(made), 1)

    stand_in(monkeypatch, run)
    folder = tmp_path / "kept"
    assert main(["compare", "a.gguf", "b.gguf", "--processes", "4", "--save", str(folder)]) == 1
    out, err = outputs(capsys)
    assert made == ["a.gguf", "b.gguf", "b.gguf", "a.gguf", "a.gguf", "b.gguf"]
    assert out == "" and err.count("slmprof: note: saved") == 2 and "llama.cpp died" in err
    for name in "ab":
        assert slmprof.load(folder / f"{name}.slmprof").meta.config.processes == 2


def test_a_profile_and_a_model_may_be_mixed(
    worker: Worker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = worker()
    old = saved(tmp_path / "old-run")  # whatever it is called
    assert main(["compare", old, "new.gguf", "--processes", "2", "--format", "json"]) == 0
    value = json.loads(outputs(capsys)[0])
    assert seen == ["new.gguf"] * 2 and value["interleaved"] is False
    assert (value["a"]["name"], value["b"]["name"]) == ("old-run", "new")


def test_files_of_one_name_get_distinct_names(by_name: None, tmp_path: Path) -> None:  # noqa: ARG001
    paths = [saved(tmp_path / folder / "run.slmprof") for folder in ("x", "y")]
    assert [entry.name for entry in find_entries(paths, {})] == ["x/run", "y/run"]
    again = [entry.name for entry in find_entries([paths[0], paths[0]], {})]
    assert again == ["run", "run (2)"]
    presets = find_entries(["preset:tiny", "preset:tiny@Q8_0"], {})
    assert [entry.name for entry in presets] == ["tiny", "tiny-Q8_0"]


def test_show_compares_several_files(
    by_name: None,  # noqa: ARG001
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [saved(tmp_path / f"{name}.slmprof") for name in "abc"]
    assert main(["show", *files, "--phase", "decode"]) == 0
    out, err = outputs(capsys)
    assert "A and C: Latency and blocks" in out and err == ""
    assert main(["show", *files, "--by", "tensor"]) == 2
    assert "not compared by tensor" in outputs(capsys)[1]
    assert main(["show", *files, "--bound", "memory"]) == 2
    assert "--bound chooses ops of one profile" in outputs(capsys)[1]
    assert main(["show", *files, "--n-depth", "7"]) == 2
    assert "depth of 7" in outputs(capsys)[1]


def test_a_pipe_is_no_profile_to_wait_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert main(["compare", saved(tmp_path / "a.slmprof"), str(pipe)]) == 2
    assert "pipe" in outputs(capsys)[1]


def test_compare_in_python(worker: Worker, tmp_path: Path) -> None:
    worker()
    path = saved(tmp_path / "a.slmprof")
    made = slmprof.compare(path, example_profile(), fail_if=["decode > 3%"])
    assert isinstance(made, slmprof.Comparison)
    assert list(made.rows().columns)[:4] == ["a_name", "b_name", "what", "name"]
    assert "one process" in made.verdict and made.failed == () and len(made.undecided) == 1
    told: list[Any] = []
    run = slmprof.compare(
        "a.gguf", "slow.gguf", processes=5, n_prompt=16, margin=0.1, on_progress=told.append
    )
    assert run.margin == 0.1 and run.pairings[0].is_interleaved
    assert told[0].stage == "a, process 1 of 5: timing"
    with pytest.raises(UsageError, match="no setting 'n_promt'"):
        slmprof.compare("a.gguf", "b.gguf", n_promt=3)


def test_the_scaling_of_a_run_is_not_compared() -> None:
    with pytest.raises(UsageError, match="--scaling"):
        find_entries(["a.gguf", "b.gguf"], {"scaling": True})
