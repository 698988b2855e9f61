"""In a program that takes the statuses of its children: results are those of any other program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ModelMaker = Callable[..., Path]

# What a program does with SIGCHLD, and then with slmprof: prints what became of each thing.
PROGRAM = """
import json, os, signal, sys, threading, time
import slmprof
from slmprof.commands.main import main

way, whole, damaged, folder = sys.argv[1:]

def wait_for_all():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)

if way == "ignored":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
elif way == "waited for":
    threading.Thread(target=wait_for_all, daemon=True).start()

def outcome(call):
    try:
        return call()
    except slmprof.SlmprofError as error:
        return f"{type(error).__name__}: {error}"

small = {"n_prompt": 4, "n_gen": 2, "repeats": 2, "n_ctx": 64, "threads": 1, "ceilings": "off"}

def profiled(model, **more):
    run = slmprof.profile(model, **{**small, **more}).meta.run
    return [run.complete, run.n_repeats_done]

def killed():
    def kill(progress):
        if progress.stage.startswith("repeat 2"):
            for child in open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split():
                os.kill(int(child), signal.SIGKILL)
    try:
        slmprof.profile(whole, on_progress=kill, **{**small, "n_gen": 50, "repeats": 1000})
    except slmprof.EngineError as error:
        return [str(error), error.profile.meta.run.n_repeats_done]

sweep = ["-o", folder, "--n-prompt", "4", "--n-gen", "2", "--repeats", "1", "--threads", "1",
         "--ceilings", "off", "--format", "csv"]
found = {
    "profile": outcome(lambda: profiled(whole)),
    "refused": outcome(lambda: profiled(whole, type_v="q8_0", flash_attn="off")),
    "damaged": outcome(lambda: profiled(damaged)),
    "memory": outcome(lambda: len(slmprof.memory(whole))),
    "refused memory": outcome(lambda: len(slmprof.memory(whole, type_k="q9"))),
    "damaged memory": outcome(lambda: len(slmprof.memory(damaged))),
    "late": outcome(lambda: profiled(whole, repeats=100000, timeout=0.01)),
    "killed": killed(),
    "sweep": main(["sweep", whole, *sweep]),
    "refused sweep": main(["sweep", whole, *sweep, "--type-v", "q8_0", "--flash-attn", "off"]),
}
print("\\n" + json.dumps(found))
"""


def results(way: str, whole: Path, damaged: Path, folder: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, way, str(whole), str(damaged), str(folder)],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "TMPDIR": str(folder.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.parent.iterdir()) == [folder]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the worker needs /proc")
def test_what_a_worker_says_counts(small_model: ModelMaker, tmp_path: Path) -> None:
    whole, damaged = small_model(), tmp_path / "damaged.gguf"
    damaged.write_bytes(whole.read_bytes()[:5000])
    found = {}
    for way in ("left alone", "ignored", "waited for"):
        (tmp_path / way).mkdir()
        found[way] = results(way, whole, damaged, tmp_path / way / "grid")
    usual = found.pop("left alone")
    assert usual["profile"] == [True, 2] and (usual["sweep"], usual["refused sweep"]) == (0, 1)
    assert str(usual["damaged"]).startswith("ModelError: ")
    assert str(usual["late"]).startswith("EngineError: not done after 0.01 s")
    message, n_done = usual.pop("killed")
    assert "SIGKILL" in message and n_done == 1
    for others in found.values():
        # How it died may be lost with its status; what it had done before is not.
        message, n_done = others.pop("killed")
        assert "SIGKILL" in message or "llama.cpp ended without an answer" in message
        assert n_done == 1
        assert others == usual
