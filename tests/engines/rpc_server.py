"""llama.cpp's own program that serves a device to other processes, on loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmprof import _core

PROGRAM = "ggml-rpc-server"
_STARTS_WITHIN_S = 20


@contextlib.contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The name of a remote device and the process that serves it; skips the test that calls where
    there is no such program, or the build cannot use it."""
    folder = os.environ.get("SLMPROF_PEERS_DIR", "")
    program = Path(folder, PROGRAM)
    if not folder or not program.exists():
        pytest.skip(f"SLMPROF_PEERS_DIR names no folder with {PROGRAM} (see CONTRIBUTING.md)")
    if not _core.build_info()["rpc"]:
        pytest.skip("this build has no RPC (GGML_RPC)")
    port = _free_port()
    process = subprocess.Popen(
        [program.resolve(), "-H", "127.0.0.1", "-p", str(port), "-t", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_answer(port, process)
        yield f"rpc:127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _await_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"{PROGRAM} does not answer")
