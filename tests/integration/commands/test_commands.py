"""The commands as a user types them: what they print, and how they fail."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run

ModelMaker = Callable[..., Path]
SMALL = ["--n-prompt", "20", "--n-gen", "3", "--repeats", "2", "--n-ctx", "256", "--threads", "1"]


def test_json_has_the_documented_shape(small_model: ModelMaker, tmp_path: Path) -> None:
    saved = tmp_path / "run.slmprof"
    answer = run("breakdown", small_model(), *SMALL, "--format", "json", "--save", saved)
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["schema_version"] == 2
    assert set(document) >= {
        "slmprof", "environment", "model", "config", "phases", "blocks", "layers", "kernels",
        "ops", "memory",
    }  # fmt: skip
    for phase in document["phases"]:
        ops = [op["time_ms"] for op in document["ops"] if op["phase"] == phase["phase"]]
        assert sum(ops) == pytest.approx(phase["segments_ms"]["ops"], rel=1e-9)
    op = document["ops"][0]
    assert set(op) >= {
        "phase", "op", "kernel", "impl", "tensor", "layer", "block", "part", "dtypes", "shape",
        "fused", "backend", "calls", "time_ms", "compute_ms", "wait_ms", "share", "flops",
        "bytes", "gflops", "gbps", "bound",
    }  # fmt: skip
    assert document["lanes"][op["lane"]] == {"lane": 0, "device": "CPU", "kind": "cpu_thread"}
    totals = document["memory"]["totals_bytes"]
    assert totals["kv_cache"] == 2 * 3 * 256 * 256 * 2
    shown = run("show", saved, "--format", "json")
    assert json.loads(shown.stdout)["phases"] == document["phases"]


def without_disturbance(lines: list[str]) -> list[str]:
    """A screen without what is said where something else used the machine meanwhile."""
    kept, is_warning = [], False
    for line in lines:
        is_warning = line.startswith("warning: ") or (is_warning and bool(line.strip()))
        if not is_warning and not line.startswith(("Disturbed, ", "No shares of ")):
            kept.append(line)
    return kept


@pytest.mark.usefixtures("two_cores")
def test_a_dense_model_takes_one_screen(small_model: ModelMaker) -> None:
    answer = run("breakdown", small_model("qwen2", n_layer=24), *SMALL, "--threads", "2")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert len(without_disturbance(lines)) <= 50 and max(map(len, lines)) <= 80
    # A sentence may go on at the begin of a line; a row goes on with a number.
    rows = [line.split() for line in lines if re.match(r"(prefill|decode) +\d", line)]
    assert [row[0] for row in rows] == ["prefill", "decode"]
    for fact in (
        "Blocks",
        "Kernels of decode",
        "Memory, MiB",
        "predicted",
        "resident, peak",
        "--full",
    ):
        assert fact in answer.stdout


@pytest.mark.parametrize("view", ["block", "layer", "kernel", "op", "part", "tensor"])
def test_views(small_model: ModelMaker, tmp_path: Path, view: str) -> None:
    saved = tmp_path / "run.slmprof"
    assert run("breakdown", small_model(), *SMALL, "--save", saved).returncode == 0
    for file_format in ("table", "csv", "markdown", "json"):
        answer = run("show", saved, "--by", view, "--phase", "decode", "--format", file_format)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout
        if file_format == "table":
            assert max(map(len, answer.stdout.splitlines())) <= 80


def bad_model(kind: str, folder: Path, good: Path) -> Path:
    path = folder / "model.gguf"
    content = good.read_bytes()
    if kind == "directory":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "header only":
        path.write_bytes(content[:200])
    elif kind == "data cut off":
        path.write_bytes(content[: len(content) * 2 // 3])
    elif kind == "text":
        path.write_text("This is no model.\n" * 100)
    elif kind == "unknown architecture":
        # Same length, so that the rest of the file stays where it was.
        path.write_bytes(content.replace(b"llama", b"lxama"))
    elif kind == "absurd counts":
        path.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 16 + content[24:])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such model file"),
        ("directory", "directory"),
        ("empty", "empty"),
        ("header only", ""),
        ("data cut off", "corrupted or incomplete"),
        ("text", "GGUF"),
        ("unknown architecture", "unknown model architecture"),
        ("absurd counts", ""),
    ],
)
def test_unusable_models(small_model: ModelMaker, tmp_path: Path, kind: str, message: str) -> None:
    answer = run("breakdown", bad_model(kind, tmp_path, small_model()), *SMALL)
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    lines = answer.stderr.strip().splitlines()
    assert len(lines) == 1, answer.stderr
    assert lines[0].startswith("slmprof: error: ")
    assert message.lower() in lines[0].lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-prompt", "0"], "n-prompt"),
        (["--n-gen", "0"], "n-gen"),
        (["--n-gen", "-3"], "n-gen"),
        (["--n-prompt", "300"], "--n-ctx"),
        (["--n-prompt", "many"], "n-prompt"),
        (["--threads", "0"], "threads"),
        (["--type-k", "q9_9"], "q9_9"),
        (["--override-tensor", "ffn=NOWHERE"], "NOWHERE"),
        (["--override-tensor", "ffn("], "PATTERN=BUFFER"),
        (["--override-tensor", "ffn(=CPU"], "regular expression"),
        (["--device", "cuda"], "CUDA"),
        (["--prompt-file", "missing.txt"], "missing.txt"),
        (["--save", "no/such/folder/x.slmprof"], "no/such/folder"),
        (["--save", "/"], "/"),
        (["--format", "xml"], "xml"),
    ],
)
def test_wrong_usage(small_model: ModelMaker, arguments: list[str], message: str) -> None:
    answer = run("breakdown", small_model(), *SMALL, *arguments)
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    assert message in answer.stderr.strip().splitlines()[-1]
    assert "Traceback" not in answer.stderr


def test_an_unknown_preset_suggests_others() -> None:
    answer = run("breakdown", "preset:qwen2-0.6b")
    assert answer.returncode == 2
    assert "qwen2-0.5b" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_a_context_beyond_memory_is_refused_in_time(small_model: ModelMaker) -> None:
    # 3 layers of 2 x 256 f16 numbers: 3 KiB a token, 6 TiB in all.
    answer = run("breakdown", small_model(), "--n-ctx", 2_000_000_000)
    assert answer.returncode == 1, answer.stderr
    assert "--n-ctx" in answer.stderr
    assert "GiB" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["breakdown", "memory"])
def test_want_of_room_for_temporary_files(command: str, small_model: ModelMaker) -> None:
    more = ("preset:tiny",) if command == "memory" else (small_model(), *SMALL)
    done = subprocess.run(
        [sys.executable, "-m", "slmprof", command, *map(str, more)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "File too large" in line and tempfile.gettempdir() in line
    assert line.endswith("; make room there, or set TMPDIR to another folder")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(small_model: ModelMaker) -> None:
    answer = run("breakdown", small_model(), *SMALL, "--save", "/dev/full")
    assert answer.returncode == 2, answer.stderr
    assert "/dev/full" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_a_signal_leaves_nothing_behind(
    small_model: ModelMaker, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    saved = tmp_path / "run.slmprof"
    with subprocess.Popen(
        [sys.executable, "-m", "slmprof", "breakdown", str(small_model()), "--repeats", "100000",
         "--save", str(saved)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not list(tmp_path.rglob("chunk-*")):
                time.sleep(0.05)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == status, err
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []
