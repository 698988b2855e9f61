"""Real processes that are killed at any moment: nothing is left, and what is said is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import is_gone, wait_for

ModelMaker = Callable[..., Path]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finding the worker needs /proc"
)

# Tells where it is, and waits there to be killed.
MEMORY = """
import sys, time
from slmprof.planning.process import planning
from slmprof.settings.planning import MemoryRequest

with planning(MemoryRequest.of(sys.argv[1])) as plan:
    if sys.argv[2] == "answered":
        plan.result()
    print(plan.answer.child.pid, plan.answer.folder, flush=True)
    time.sleep(600)
"""


def children_of(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("state", ["asked", "answered"])
@pytest.mark.parametrize("model", ["preset:tiny", ""])
def test_a_killed_parent_of_a_plan_leaves_nothing(
    small_model: ModelMaker, temporary: Path, state: str, model: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MEMORY, model or str(small_model()), state],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary)},
    ) as parent:  # fmt: skip
        assert parent.stdout
        child, folder = parent.stdout.readline().split()
        assert Path(folder).parent == temporary
        parent.kill()
    wait_for(lambda: is_gone(int(child)))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2, 0.4, 0.8])
def test_a_memory_command_that_is_killed_leaves_nothing(temporary: Path, seconds: float) -> None:
    """Whatever it is doing by then."""
    seen: set[int] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "slmprof", "memory", "preset:tiny", "--n-ctx", "2048,4096,8192"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as parent:  # fmt: skip
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            seen.update(children_of(parent.pid))
            time.sleep(0.001)
        seen.update(children_of(parent.pid))
        parent.kill()
    wait_for(lambda: all(map(is_gone, seen)))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("is_at_work", [False, True], ids=["starting", "at work"])
def test_an_interrupted_worker_is_one_line(
    small_model: ModelMaker, temporary: Path, is_at_work: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "slmprof", "breakdown", str(small_model()), "--repeats", "100000",
         "--n-ctx", "256", "--ceilings", "off"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as parent:  # fmt: skip
        try:
            wait_for(lambda: children_of(parent.pid))
            (worker,) = children_of(parent.pid)
            if is_at_work:
                wait_for(lambda: list(temporary.rglob("chunk-*")))
            os.kill(worker, signal.SIGINT)
            out, err = parent.communicate(timeout=60)
        finally:
            parent.kill()
    assert parent.returncode == 1, err
    assert "died of SIGINT" in err
    assert not any(word in err for word in ("Traceback", "KeyboardInterrupt", 'File "'))
    assert list(temporary.iterdir()) == []
    assert is_at_work or out == ""
