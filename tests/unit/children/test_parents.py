"""Parents that are killed, or interrupted: their children go, and leave no files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from child_builder import FOREVER, MODULE, PACKAGE_ROOT, write_child
from processes import is_gone, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states need /proc")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("body", [FOREVER, "while True: Path(folder, str(time.time())).touch()"])
def test_a_parent_that_goes(tmp_path: Path, number: signal.Signals, body: str) -> None:
    begun = "on_progress(Progress(f'{os.getpid()} {folder}', 0, 1))\n"
    write_child(tmp_path, begun + body)
    (tmp_path / "parent.py").write_text(
        "from slmprof.children.question import asked\n"
        f"with asked({MODULE!r}, {{}}, 'does this') as answer:\n"
        "    answer.wait(lambda progress: print(progress.stage, flush=True))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGE_ROOT, str(tmp_path)])},
    )
    assert parent.stdout
    pid, folder = parent.stdout.readline().split()
    assert Path(folder).is_dir()
    parent.send_signal(number)
    _, err = parent.communicate(timeout=60)
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)
    wait_for(lambda: is_gone(int(pid)))
    assert not Path(folder).exists()


PARENT = f"""
import sys, time
from slmprof.children.question import asked
with asked({MODULE!r}, {{}}, "does this") as answer:
    answer.wait(lambda progress: None)
    print(answer.child.pid, answer.folder, flush=True)
    time.sleep(600)
"""
# Tells of its child as soon as there is one.
TELLING = """
import os, time
from slmprof.children import question
from slmprof.children.keeper import kept_folder

tell = question._tell
def tell_and_note(child, message):
    global pid
    pid = child.pid
    tell(child, message)
question._tell = tell_and_note
"""
KEEPER = f"""{TELLING}
with kept_folder() as folder:
    (folder / "models").mkdir()
    print(pid, folder, flush=True)
    time.sleep(600)
"""
UNASKED = f"""
import os, signal
from slmprof.children import question
tell = question._tell
def tell_and_go(child, message):
    if message == {{}}:
        os.kill(os.getpid(), signal.SIGKILL)  # the folder is there, and the question is not asked
    print(child.pid, message["folder"], flush=True)
    tell(child, message)
question._tell = tell_and_go
with question.asked({MODULE!r}, {{}}, "does this"):
    pass
"""


@pytest.mark.parametrize(
    "program", [PARENT, UNASKED, KEEPER], ids=["when told", "before it asked", "of a study"]
)
def test_a_parent_that_is_killed_leaves_no_folder(tmp_path: Path, program: str) -> None:
    write_child(tmp_path, "return {}")
    (tmp_path / "parent.py").write_text(program)
    (tmp_path / "tmp").mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([PACKAGE_ROOT, str(tmp_path)]),
            "TMPDIR": str(tmp_path / "tmp"),
        },
    )
    assert parent.stdout
    pid, folder = parent.stdout.readline().split()
    assert Path(folder).parent == tmp_path / "tmp"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: is_gone(int(pid)))
    assert list((tmp_path / "tmp").iterdir()) == []


FORKING = f"""{TELLING}
with kept_folder() as folder:
    fork = os.fork()
    if fork == 0:  # holds the parent's end of each pipe
        os.closerange(0, 3)
        time.sleep(600)
    print(pid, folder, fork, flush=True)
    time.sleep(600)
"""
# Stops its child before that can look for its parent.
EARLY = """
import os, signal, time
from slmprof.children import question
from slmprof.children.keeper import kept_folder

tell = question._tell
def tell_and_stay(child, message):
    if message != {}:
        os.kill(child.pid, signal.SIGSTOP)
        tell(child, message)
        return
    fork = os.fork()
    if fork == 0:
        os.closerange(0, 3)
        time.sleep(600)
    folder, = (path for path in os.scandir(os.environ["TMPDIR"]))
    print(child.pid, folder.path, fork, flush=True)
    time.sleep(600)
question._tell = tell_and_stay
with kept_folder():
    pass
"""


@pytest.mark.parametrize("program", [FORKING, EARLY], ids=["when told", "before it asked"])
def test_a_killed_program_whose_fork_goes_on_leaves_nothing(tmp_path: Path, program: str) -> None:
    (tmp_path / "host.py").write_text(program)
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "host.py")], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT, "TMPDIR": str(tmp_path / "tmp")},
    ) as host:  # fmt: skip
        assert host.stdout
        child, folder, fork = host.stdout.readline().split()
        host.kill()
    os.kill(int(child), signal.SIGCONT)
    try:
        assert Path(folder).parent == tmp_path / "tmp"
        wait_for(lambda: is_gone(int(child)))
        assert not is_gone(int(fork))
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        os.kill(int(fork), signal.SIGKILL)
