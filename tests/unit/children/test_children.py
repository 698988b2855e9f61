"""A question to a child process: every way in which a child can answer, and fail to."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from child_builder import FOREVER, MODULE, PACKAGE_ROOT, write_child
from processes import is_gone

from slmprof.children.protocol import Progress
from slmprof.children.question import Answer, ChildDiedError, asked
from slmprof.errors import CaptureError, EngineError, ModelError, SlmprofWarning

Child = Callable[..., Answer]


DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGINT)


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
