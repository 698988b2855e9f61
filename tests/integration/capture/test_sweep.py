"""A sweep with the real engine: points, resuming, and a point that llama.cpp refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from command_line import run

ModelMaker = Callable[..., Path]
SMALL = ["--n-gen", "2", "--repeats", "1", "--threads", "1"]


def test_a_sweep(small_model: ModelMaker, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sweep = [
        "sweep", small_model(), small_model(n_layer=2), "-o", folder, "--n-prompt", "4,8",
        "--n-depth", "0,64", *SMALL,
    ]  # fmt: skip
    answer = run(*sweep, "--format", "json")
    assert answer.returncode == 0, answer.stderr
    made = json.loads(answer.stdout)
    assert len(made["points"]) == 4 and made["failures"] == []
    assert "n_prompt" in made["varying"]
    for point in made["points"]:
        assert [part["n_depth"] for part in point["depths"]] == [0, 64]
        assert point["rss_peak_bytes"] > 0
        assert point["dimensions"]["n_head"] == 4 and point["dimensions"]["n_ff"] == 512
    assert {rank["n_depth"] for rank in made["ranking"]} == {0, 64}
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = run(*sweep)
    assert again.returncode == 0 and again.stderr.count("kept") == 4
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert max(map(len, again.stdout.splitlines())) <= 80
    assert run("sweep", "--show", folder).stdout == again.stdout
    shown = run("show", next(iter(before)), "--by", "depth")
    assert shown.returncode == 0 and "Decode by depth" in shown.stdout


def test_a_refused_point_is_reported(small_model: ModelMaker, tmp_path: Path) -> None:
    # A quantized V cache needs flash attention.
    answer = run(
        "sweep", small_model(), "-o", tmp_path / "s", "--n-prompt", 4, "--flash-attn", "on,off",
        "--type-v", "q8_0", "--format", "csv", *SMALL,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "1 of 2 points failed" in answer.stderr and "Traceback" not in answer.stderr
    *rows, failed = csv.DictReader(io.StringIO(answer.stdout))
    assert [row["error"] for row in rows] == ["", ""] and "quantized V cache" in failed["error"]
    assert len(list((tmp_path / "s").iterdir())) == 1


def test_ctrl_c_keeps_what_is_complete(small_model: ModelMaker, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "slmprof", "sweep", str(small_model()), "-o", str(folder),
         "--n-prompt", "4,5,6,7,8,9", *SMALL],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not list(folder.glob("*.slmprof")):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert out == "" and "the same command goes on" in err and "Traceback" not in err
    assert 1 <= len(list(folder.iterdir())) < 6
    assert all(path.suffix == ".slmprof" for path in folder.iterdir())
    assert list((tmp_path / "tmp").iterdir()) == []
