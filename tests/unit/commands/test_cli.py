"""The command line: exit codes, one clear line an error, results and notes apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from builders import example_profile

from slmprof.commands.main import main
from slmprof.errors import (
    CaptureError,
    EngineError,
    ModelError,
    ProfileFormatError,
    SlmprofError,
    UsageError,
)
from slmprof.views import Profile, load

SOURCE = Path(__file__).resolve().parents[3] / "src"


@dataclass(frozen=True)
class Step:
    """A progress report."""

    stage: str = "timing"
    done: int = 1
    total: int = 4


SMALL_CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 512,
    "max_position_embeddings": 128,
}  # fmt: skip


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch, profile: Profile) -> Callable[[Any], list[Any]]:
    """Replaces the capture: it gives a profile or raises; returns the configurations it saw."""

    def install(result: Any = profile) -> list[Any]:
        seen: list[Any] = []

        def profile_in_worker(config: Any, on_progress: Callable[[Any], None]) -> Profile:
            seen.append(config)
            on_progress(Step())
            if isinstance(result, BaseException):
                raise result
            made: Profile = result
            return made

        monkeypatch.setattr("slmprof.capture.process.profile_in_worker", profile_in_worker)
        return seen

    return install


def outputs(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_breakdown_prints_to_stdout_and_nothing_else(
    capture: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = capture()
    assert main(["breakdown", "m.gguf", "--n-prompt", "16", "--no-mmap", "--threads", "1"]) == 0
    out, err = outputs(capsys)
    assert "Blocks" in out and "attention" in out
    assert err == ""
    (config,) = seen
    assert (config.model, config.n_prompt, config.n_gen, config.n_ctx_made) == (
        "m.gguf",
        16,
        50,
        2048,
    )
    assert (config.mmap, config.repack, config.threads, config.repeats) == (False, True, 1, 5)
    assert config.override_tensor == ()


def test_breakdown_json_can_be_piped(
    capture: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    capture()
    assert main(["breakdown", "m.gguf", "--format", "json", "--phase", "decode"]) == 0
    out, err = outputs(capsys)
    assert [row["phase"] for row in json.loads(out)["phases"]] == ["decode"]
    assert err == ""


def test_save_and_show(
    capture: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capture()
    path = tmp_path / "run.slmprof"
    arguments = ["--format", "csv", "--by", "kernel", "--top", "1"]
    assert main(["breakdown", "m.gguf", "--save", str(path), *arguments]) == 0
    first, err = outputs(capsys)
    assert str(path) in err
    assert main(["show", str(path), *arguments]) == 0
    second, err = outputs(capsys)
    assert first == second and err == ""


def test_save_is_checked_before_the_run(
    capture: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    seen = capture()
    assert main(["breakdown", "m.gguf", "--save", str(tmp_path / "none" / "p")]) == 2
    out, err = outputs(capsys)
    assert (seen, out) == ([], "")
    assert err.startswith("slmprof: error: cannot write") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SlmprofError("why"), 1),
        (ModelError("why"), 2),
        (UsageError("why"), 2),
        (ProfileFormatError("why"), 2),
        (CaptureError("why"), 1),
        (EngineError("why"), 1),
        (RuntimeError("why"), 1),
        (OSError(5, "why"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    error: BaseException,
    code: int,
    capture: Callable[..., list[Any]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    capture(error)
    assert main(["breakdown", "m.gguf"]) == code
    out, err = outputs(capfd)
    assert out == ""
    assert err.startswith("slmprof: ") and err.count("\n") == 1
    assert "why" in err or code == 130
    assert "Traceback" not in err


def test_debug_lets_errors_through(capture: Callable[..., list[Any]]) -> None:
    capture(ModelError("why"))
    for arguments in (["--debug", "breakdown", "m"], ["breakdown", "m", "--debug"]):
        with pytest.raises(ModelError):
            main(arguments)


def test_engine_error_shows_the_log(
    capture: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    capture(EngineError("it died", log_lines=("first\n", "second")))
    assert main(["breakdown", "m.gguf"]) == 1
    assert outputs(capsys)[1] == "slmprof: error: it died\n  first\n  second\n"


def test_partial_results_are_saved_and_printed(
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    profile: Profile,
    tmp_path: Path,
) -> None:
    capture(EngineError("it died", profile=profile))
    path = tmp_path / "p"
    assert main(["breakdown", "m.gguf", "--save", str(path)]) == 1
    out, err = outputs(capsys)
    assert "Blocks" in out
    assert "incomplete" in err and err.splitlines()[-1] == "slmprof: error: it died"
    load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["breakdown"], "MODEL"),
        (["breakdown", "m", "--n-prompt", "0"], "0 is too small; at least 1 is needed"),
        (["breakdown", "m", "--n-gen", "-5"], "-5 is too small"),
        (["breakdown", "m", "--n-gen", "99999999999"], "is too large"),
        (["breakdown", "m", "--n-gen", "many"], "'many' is not a whole number"),
        (["breakdown", "m", "--n-gen", "1.5"], "'1.5' is not a whole number"),
        (["breakdown", "m", "--threads", "0"], "0 is too small"),
        (["breakdown", "m", "--repeats", "0"], "0 is too small"),
        (["breakdown", "m", "--top", "0"], "0 is too small"),
        (["breakdown", "m", "--timeout", "0"], "not a positive number of seconds"),
        (["breakdown", "m", "--timeout", "nan"], "not a positive number of seconds"),
        (["breakdown", "m", "--override-tensor", "x"], "is not PATTERN=BUFFER"),
        (["breakdown", "m", "--flash-attn", "maybe"], "'maybe' is not one of auto, on, off"),
        (["breakdown", "m", "--by", "colour"], "invalid choice: 'colour'"),
        (["breakdown", "m", "--n-p", "5"], "unrecognized arguments"),
        (["synth", "--name", "x"], "(see slmprof synth --help)"),
        (["breakdown", "m", "--n-ctx", "60"], "do not fit in a context of 60"),
        (["show", "none.slmprof"], "No such file"),
        (["show", "."], "is a directory"),
        (["show", __file__], "not a profile"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = outputs(capsys)
    assert out == ""
    assert err.startswith("slmprof: error: ") and err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("arguments", [["--help"], ["breakdown", "--help"], ["show", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out, err = outputs(capsys)
    assert "usage: slmprof" in out and err == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert outputs(capsys)[0].startswith("slmprof ")


@pytest.mark.parametrize("by", [None, "block", "layer", "kernel", "op", "part", "tensor", "depth"])
@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown"])
def test_show_every_view_in_every_format(
    by: str | None,
    form: str,
    profile: Profile,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "p"
    profile.save(path)
    chosen = ["--by", by] if by else []
    assert main(["show", str(path), "--format", form, *chosen]) == 0
    out, err = outputs(capsys)
    assert "prefill" in out and err == ""


def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"}
    environment.update(options.pop("env", {}))
    return subprocess.run(
        [sys.executable, "-m", "slmprof", *arguments],
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        check=False,
        **options,
    )


@pytest.fixture
def saved(tmp_path: Path) -> str:
    path = tmp_path / "p.slmprof"
    example_profile().save(path)
    return str(path)


def test_a_pipe_that_closes_early_is_no_error(saved: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(["show", saved], stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout(saved: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(["show", saved], stdout=full)
    assert (done.returncode, done.stderr) == (2, "slmprof: error: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["quant", "--help"], ["--version"]])
def test_a_full_disk_behind_what_the_parser_prints(arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = run(arguments, stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (2, "slmprof: error: No space left on device\n")


def test_a_stdout_that_cannot_show_unicode(saved: str) -> None:
    done = run(["show", saved], stdout=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii() and "attention" in done.stdout


def test_show_needs_no_native_library(saved: str) -> None:
    code = (
        "import sys; sys.modules['slmprof._core'] = None\n"
        "from slmprof.commands.main import main\n"
        f"sys.exit(main(['show', {saved!r}, '--format', 'json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema_version"] == 2


def test_a_save_that_fails_does_not_cost_the_report(
    capture: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def fail(_: object, path: object) -> None:
        raise UsageError(f"cannot write {path}: no space left on device")

    capture()
    monkeypatch.setattr(Profile, "save", fail)
    assert main(["breakdown", "m.gguf", "--save", str(tmp_path / "run.slmprof")]) == 2
    out, err = outputs(capsys)
    assert "Blocks" in out
    assert err.startswith("slmprof: error: cannot write")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_traceback(tmp_path: Path, closed: str) -> None:
    path = tmp_path / "run.slmprof"
    example_profile().save(path)
    command = f'"{sys.executable}" -m slmprof show "{path}" {closed}'
    answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert answer.returncode == 0
    assert "Traceback" not in answer.stdout + answer.stderr


@pytest.mark.parametrize(
    "keys",
    [
        {"architectures": ["\x1b]0;p\x07\u202e"]},
        {**SMALL_CONFIG, "\x1b[2Jkey\u202e": 1, "_name_or_path": "a/\x1b[2Jname\u2066"},
        {**SMALL_CONFIG, "hidden_size": "\x1b[2J\u202e"},
    ],
)
def test_no_text_of_a_configuration_steers_the_terminal(
    keys: dict[str, object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(keys), encoding="utf-8")
    main(["synth", str(path), "-o", str(tmp_path / "m.gguf")])
    out, err = outputs(capsys)
    assert "slmprof: " in err
    assert all(c.isprintable() or c == "\n" for c in out + err)


def test_no_text_of_a_log_steers_the_terminal(
    capture: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    capture(EngineError("\x1b[31mit died", log_lines=("\x1b]0;p\x07a",)))
    assert main(["breakdown", "m.gguf"]) == 1
    assert outputs(capsys)[1] == "slmprof: error: ?[31mit died\n  ?]0;p?a\n"
