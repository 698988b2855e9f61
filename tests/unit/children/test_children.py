"""A question to a child process: every way in which a child can answer, and fail to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import slmprof
from slmprof.children.protocol import Progress
from slmprof.children.question import Answer, ChildDiedError, asked
from slmprof.errors import CaptureError, EngineError, ModelError, SlmprofWarning

MODULE = "a_child_of_tests"
FOREVER = "time.sleep(600)"
PACKAGE_ROOT = str(Path(slmprof.__file__).parents[1])
Child = Callable[..., Answer]


DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGINT)


def write_child(folder: Path, body: str, before: str = "") -> None:
    """A child that runs `body` as its answer, and `before` before it listens."""
    indented = textwrap.indent(textwrap.dedent(body), "    ")
    (folder / f"{MODULE}.py").write_text(
        "import json, os, signal, sys, time\n"
        f"{textwrap.dedent(before)}\n"
        "from pathlib import Path\n"
        "from slmprof.children.protocol import Progress\n"
        "from slmprof.children.serving import serve\n"
        "from slmprof.errors import *\n"
        "def answer(question, folder, on_progress):\n"
        "    Path(folder, 'pid').write_text(str(os.getpid()))\n"
        f"{indented}\n"
        "serve('do this', answer)\n"
    )


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Asks a child whose answer is the body of a function; its files lie below `tmp_path`."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    made: list[int] = []

    def run(
        body: str,
        question: dict[str, Any] | None = None,
        *,
        before: str = "",
        timeout: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Any:
        write_child(tmp_path, body, before)
        with asked(MODULE, question or {}, "does this", timeout=timeout) as answer:
            made.append(answer.child.pid)
            return answer.wait(on_progress)

    yield run
    assert list((tmp_path / "tmp").iterdir()) == []
    assert made and all(map(is_gone, made))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked for its status has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"
    except FileNotFoundError:
        return True


def test_an_answer(ask: Callable[..., Any]) -> None:
    seen: list[Progress] = []
    body = """
        on_progress(Progress("half", 1, 2))
        on_progress(Progress("all", 2, 2, is_timed=False))
        return {"twice": 2 * question["n"], "text": "\\ud83d\\n"}
    """
    n_threads = threading.active_count()

    def look(progress: Progress) -> None:
        assert threading.active_count() == n_threads  # none for a Ctrl-C to land in
        seen.append(progress)

    result = ask(body, {"n": 21}, on_progress=look)
    assert result == {"twice": 42, "text": "\ud83d\n"}
    assert seen == [Progress("half", 1, 2), Progress("all", 2, 2, False)]


def test_a_warning_of_the_child_is_the_parents(ask: Callable[..., Any]) -> None:
    body = """
        import warnings
        warnings.warn("to be known", SlmprofWarning)
        warnings.warn("of a library's")
        return {}
    """
    with pytest.warns(UserWarning) as caught:
        assert ask(body) == {}
    assert [(str(one.message), one.category) for one in caught] == [("to be known", SlmprofWarning)]


def test_parts_outlive_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write_child(tmp_path, "on_progress.hand_over({'n': 1})\nos.kill(os.getpid(), signal.SIGKILL)")
    with asked(MODULE, {}, "does this") as answer:
        with pytest.raises(ChildDiedError, match="SIGKILL"):
            answer.wait()
        assert answer.parts == [{"n": 1}]


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        ("ModelError('no such file')", ModelError, "^no such file$"),
        ("EngineError('refused', ('a', 'b'))", EngineError, "^refused$"),
        ("MemoryError()", EngineError, "cannot do this: out of memory"),
        ("OSError(28, 'No space left', '/x')", CaptureError, "cannot do this: /x: No space left"),
        ("KeyError('k')", CaptureError, "cannot do this: unexpected KeyError: 'k'"),
        ("BrokenPipeError(32, 'Broken')", CaptureError, "cannot do this: Broken"),
    ],
)
def test_an_error_of_the_child(
    ask: Callable[..., Any], raised: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        ask(f"raise {raised}")
    if raised.startswith("EngineError"):
        assert caught.value.log_lines == ("a", "b")  # type: ignore[attr-defined]


def test_where_an_unexpected_error_was_raised(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_DEBUG", "1")
    with pytest.raises(EngineError, match="KeyError") as caught:
        ask("question['missing']")
    assert any(f"{MODULE}.py" in line for line in caught.value.log_lines)


@pytest.mark.parametrize("number", list(DEADLY))
def test_a_death(ask: Callable[..., Any], number: signal.Signals) -> None:
    body = f"""
        on_progress(Progress("loading", 0, 1))
        os.write(2, b"GGML_ASSERT(ok) failed\\nand more\\xff")
        os.kill(os.getpid(), {number.value})
    """
    with pytest.raises(EngineError, match=rf"{number.name}.*while loading.*GGML_ASSERT") as caught:
        ask(body)
    assert caught.value.log_lines == ("GGML_ASSERT(ok) failed", "and more\ufffd")


def test_an_interruption_before_it_listens(ask: Callable[..., Any]) -> None:
    # Of a long traceback only the end is among the last lines.
    deep = (
        "def fall(n):\n    land(n - 1) if n else os.kill(os.getpid(), signal.SIGINT)\n"
        "def land(n):\n    fall(n)\n"
    )
    for before in ("os.kill(os.getpid(), signal.SIGINT)", f"{deep}fall(0)", f"{deep}fall(60)"):
        with pytest.raises(EngineError, match="SIGINT while starting") as caught:
            ask("", before=before)
        assert caught.value.log_lines == ()


@pytest.mark.parametrize(
    ("status", "told"), [(0, r"without an answer \(with status 0.* while"), (7, "status 7 while")]
)
def test_an_end_without_a_word(ask: Callable[..., Any], status: int, told: str) -> None:
    with pytest.raises(EngineError, match=f"{told} starting"):
        ask(f"os._exit({status})")
    # Before it has read the question: writing it finds nobody.
    with pytest.raises(EngineError, match=f"{told} starting"):
        ask("", {"long": "x" * 300_000}, before=f"os._exit({status})")


@pytest.mark.parametrize("report", ["return {'n': 1}", "raise ModelError('n')"])
def test_a_child_that_hangs_after_its_report(ask: Callable[..., Any], report: str) -> None:
    before = """
        import threading
        os._exit = lambda _: threading.Event().wait()
        threading.excepthook = print
    """
    begin = time.monotonic()
    if report.startswith("return"):
        assert ask(report, before=before) == {"n": 1}
    else:
        with pytest.raises(ModelError, match="n"):
            ask(report, before=before)
    assert time.monotonic() - begin < 60


def test_a_child_that_dies_after_its_report(ask: Callable[..., Any]) -> None:
    before = "os._exit = lambda _: os.kill(os.getpid(), 9)"
    assert ask("return {'n': 1}", before=before) == {"n": 1}


def test_a_child_that_closes_its_end_and_stays(
    ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmprof.children.child._GRACE_SECONDS", 0.2)
    with pytest.raises(EngineError, match="no longer answers"):
        ask(f"os.closerange(3, 100); {FOREVER}")


def test_a_hang_ends_with_the_time(ask: Callable[..., Any]) -> None:
    body = f"on_progress(Progress('loading', 0, 1)); os.write(2, b'at work\\n'); {FOREVER}"
    with pytest.raises(EngineError, match=r"not done after 2 s \(--timeout\)") as caught:
        ask(body, timeout=2)
    assert caught.value.log_lines == ("at work",)


def test_talk_does_not_stop_the_clock(ask: Callable[..., Any]) -> None:
    body = """
        while True:
            os.write(2, b"noise")
            on_progress(Progress("busy", 0, 1))
    """
    with pytest.raises(EngineError, match=r"--timeout\), while busy"):
        ask(body, timeout=1)


def test_what_is_not_timed_takes_no_time(ask: Callable[..., Any]) -> None:
    body = """
        for done in range(5):
            on_progress(Progress("preparing", done, 5, is_timed=False))
            time.sleep(1)
        return {}
    """
    assert ask(body, timeout=3) == {}


TURNS = """
    for number in range(3):
        on_progress.wait_for_turn()
        on_progress(Progress(f"turn {number}", number, 3))
        time.sleep(question.get("seconds", 0))
    return {"at": time.monotonic()}
"""


def test_a_child_waits_for_its_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_child(tmp_path, TURNS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said: list[str] = []
    with asked(MODULE, {}, "does this") as first, asked(MODULE, {}, "does this") as second:
        assert first.take_turn(lambda p: said.append(f"1: {p.stage}"))
        assert second.take_turn(lambda p: said.append(f"2: {p.stage}"))
        assert said == []
        for number in range(3):
            for name, child in (("1", first), ("2", second)):
                more = child.take_turn(lambda p, name=name: said.append(f"{name}: {p.stage}"))
                assert more == (number < 2)
        assert said == [f"{name}: turn {number}" for number in range(3) for name in "12"]
        assert first.wait()["at"] < second.wait()["at"]


def test_a_child_that_is_not_made_to_wait_has_all_turns_at_once(ask: Callable[..., Any]) -> None:
    seen: list[Progress] = []
    assert "at" in ask(TURNS, on_progress=seen.append)
    assert [progress.stage for progress in seen] == ["turn 0", "turn 1", "turn 2"]


def test_waiting_takes_none_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_child(tmp_path, TURNS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with asked(MODULE, {"seconds": 0.1}, "does this", timeout=3) as answer:
        while answer.take_turn():
            time.sleep(1.5)
    with asked(MODULE, {"seconds": 2}, "does this", timeout=3) as answer:
        assert answer.take_turn() and answer.take_turn()
        with pytest.raises(EngineError, match=r"--timeout\), while turn 1"):
            answer.take_turn()


def test_a_child_that_dies_while_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_child(tmp_path, TURNS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with asked(MODULE, {}, "does this") as answer:
        assert answer.take_turn()
        answer.child.kill()
        with pytest.raises(EngineError, match="died of SIGKILL"):
            answer.take_turn()


def test_lines_that_are_no_messages(ask: Callable[..., Any]) -> None:
    before = """
        os.write(1, b"a banner\\n\\xff\\x00\\n[]\\n7\\nnull\\n{}\\n"
                    b'{"progress": 5}\\n{"progress": [1]}\\n{"error": "x"}\\n{"error": {}}\\n'
                    b"begun, and not ended")
    """
    body = """
        os.write(1, b"what a library prints\\n")
        print("and Python", flush=True)
        return {"n": 1}
    """
    seen: list[Progress] = []
    assert ask(body, before=before, on_progress=seen.append) == {"n": 1}
    assert seen == []


def test_a_report_that_is_cut_off(ask: Callable[..., Any]) -> None:
    before = """
        os.write(1, b'{"result": {"n": 1')
        os.kill(os.getpid(), 9)
    """
    with pytest.raises(EngineError, match="SIGKILL"):
        ask("", before=before)


def test_much_of_everything(ask: Callable[..., Any]) -> None:
    body = """
        os.write(1, b"to stdout\\n")
        for number in range(100_000):
            sys.stderr.write(f"line {number}\\n")
        sys.stderr.flush()
        if question["fails"]:
            raise EngineError("refused")
        return {"text": "x" * 20_000_000}
    """
    assert len(ask(body, {"fails": False})["text"]) == 20_000_000
    with pytest.raises(EngineError, match="refused") as caught:
        ask(body, {"fails": True})
    assert caught.value.log_lines == tuple(f"line {n}" for n in range(99_960, 100_000))


@pytest.mark.parametrize("way", ["ignored", "reaped"])
def test_statuses_that_the_caller_takes(ask: Callable[..., Any], way: str) -> None:
    def reap(*_: object) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN if way == "ignored" else reap)
    try:
        assert ask("return {'n': 1}") == {"n": 1}
        with pytest.raises(ModelError, match="n"):
            ask("raise ModelError('n')")
        with pytest.raises(EngineError, match=r"does this ended without an answer .* starting$"):
            ask("os.abort()")
        with pytest.raises(EngineError, match="--timeout"):
            ask(FOREVER, timeout=1)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_an_exception_of_the_caller_ends_the_child(ask: Callable[..., Any]) -> None:
    def fail(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(f"on_progress(Progress('loading', 0, 1)); {FOREVER}", on_progress=fail)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="free memory needs /proc")
def test_memory_is_limited(ask: Callable[..., Any]) -> None:
    body = """
        import resource
        return {"limit": resource.getrlimit(resource.RLIMIT_DATA)[0]}
    """
    assert 0 < ask(body)["limit"] < 2**50


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states need /proc")
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
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not is_gone(int(pid)):
        time.sleep(0.02)
    assert is_gone(int(pid))
    assert not Path(folder).exists()


def test_a_child_without_files_has_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child's own children have none: nobody would clear it up once the child is killed."""
    write_child(tmp_path, "return {'folder': folder}")
    text = (tmp_path / f"{MODULE}.py").read_text()
    (tmp_path / f"{MODULE}.py").write_text(text.replace("    Path(folder, 'pid')", "    #"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([PACKAGE_ROOT, str(tmp_path)]))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "made"))
    (tmp_path / "made").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    with asked(MODULE, {}, "does this", has_files=False) as answer:
        assert answer.folder == ""
        assert list((tmp_path / "made").iterdir()) == []
        assert answer.wait() == {"folder": ""}


PARENT = f"""
import sys, time
from slmprof.children.question import asked
with asked({MODULE!r}, {{}}, "does this") as answer:
    answer.wait(lambda progress: None)
    print(answer.child.pid, answer.folder, flush=True)
    time.sleep(600)
"""
KEEPER = """
import time
from slmprof.children.keeper import kept_folder
from slmprof.children import question
told = question._tell
def tell(child, message):
    global pid
    pid = child.pid
    told(child, message)
question._tell = tell
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
    print(child.pid, message, flush=True)
    tell(child, message)
question._tell = tell_and_go
with question.asked({MODULE!r}, {{}}, "does this"):
    pass
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states need /proc")
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
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not is_gone(int(pid)):
        time.sleep(0.02)
    assert is_gone(int(pid))
    assert list((tmp_path / "tmp").iterdir()) == []
