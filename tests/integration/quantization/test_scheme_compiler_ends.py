"""The compiler of a scheme is gone when the command is, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import is_gone, wait_for

from slmprof.models.synthesis import synthesize
from slmprof.settings.dimensions import Dimensions

SMALL = Dimensions(
    architecture="llama", name="small", n_layer=1, n_embd=64, n_ff=64, n_head=2, n_head_kv=2,
    n_vocab=320, n_ctx_train=128,
)  # fmt: skip
# A driver that starts the compiler proper, and waits for it.
COMPILER = """#!/bin/sh
sleep 600 &
echo $$ $! >"$0.new"
mv "$0.new" "$0.told"
wait
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finding the worker needs /proc"
)


@pytest.mark.parametrize(
    ("command", "end"),
    [
        ("dry-run", "--timeout"),
        ("dry-run", "SIGINT"),
        ("dry-run", "SIGKILL"),
        ("dry-run", "SIGKILL to its worker, too"),
        # It asks the compiler itself what a scheme includes.
        ("sweep", "SIGINT"),
        ("sweep", "SIGKILL"),
    ],
)
def test_it_goes_with_the_command(tmp_path: Path, command: str, end: str) -> None:
    compiler, source = tmp_path / "cc", tmp_path / "mine.c"
    compiler.write_text(COMPILER)
    compiler.chmod(0o700)
    source.write_text("")
    model, told = synthesize(SMALL, tmp_path / "small.gguf"), tmp_path / "cc.told"
    arguments = {
        "dry-run": ["quant", "dry-run", model, "--scheme", f"{source}:A"],
        "sweep": ["sweep", f"{model}@{source}:A", "-o", tmp_path / "grid"],
    }[command]
    with subprocess.Popen(
        [sys.executable, "-m", "slmprof", *arguments, "--timeout", "4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "CC": str(compiler)},
    ) as parent:  # fmt: skip
        try:
            wait_for(told.exists)
            running = list(map(int, told.read_text().split()))
            child, *_ = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
            if end == "SIGINT":
                parent.send_signal(signal.SIGINT)
            elif end != "--timeout":
                parent.kill()
            if end == "SIGKILL to its worker, too":
                os.kill(int(child), signal.SIGKILL)
            _, err = parent.communicate(timeout=60)
        finally:
            parent.kill()
    assert "Traceback" not in err and len(err.splitlines()) <= 1, err
    wait_for(lambda: all(map(is_gone, running)))
