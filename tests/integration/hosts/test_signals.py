"""Programs with handlers of signals: they are called, stay, and may raise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Host = Callable[..., Any]

HANDLED = """
import signal, subprocess, sys
from collections import Counter

import hosted

numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD, signal.SIGUSR1]
counts = Counter()

def handle(number, _):
    counts[signal.Signals(number).name] += 1

for number in numbers:
    signal.signal(number, handle)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
mine = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
found = {}
for what in (hosted.profiled, hosted.decoded):
    counts.clear()
    with hosted.storm(*(one for one in numbers if one != signal.SIGALRM)):
        found[what.__name__] = what(sys.argv[1])
    found[f"counts of {what.__name__}"] = sorted(counts)
timer = signal.getitimer(signal.ITIMER_REAL)
signal.setitimer(signal.ITIMER_REAL, 0)
hosted.say(
    **found, timer=timer[1], status=mine.wait(),
    are_kept=[signal.getsignal(number) is handle for number in numbers],
    children=hosted.children(),
)
"""

# A handler that raises, in the midst of a profile and of a session's steps.
RAISING = """
import signal, sys, threading
import hosted, slmprof

class Leave(BaseException):
    pass

def leave(*_):
    raise Leave

signal.signal(signal.SIGTERM, leave)
model, number = sys.argv[1], getattr(signal, sys.argv[2])
main = threading.main_thread().ident

def interrupted(call):
    try:
        call()
    except (KeyboardInterrupt, Leave) as error:
        return type(error).__name__

def later():
    # From another thread, so that this one is at work in native code, or waits, by then.
    timer = threading.Timer(0.05, signal.pthread_kill, [main, number])
    timer.start()
    return timer

def profile():
    timers = []
    def on_progress(progress):
        if not timers and progress.stage.startswith("repeat"):
            timers.append(later())
    slmprof.profile(
        model, on_progress=on_progress, **{**hosted.SETTINGS, "repeats": 100_000}
    )

of_profile = interrupted(profile)
children = hosted.children()
with slmprof.Session(model, n_ctx=512, threads=2) as session:
    def decode():
        later()
        while True:
            session.rewind(0)
            session.decode(500)
    of_session = interrupted(decode)
    after = hosted.steps_of(session)
hosted.say(of_profile=of_profile, of_session=of_session, after=after, children=children,
           profiled=hosted.profiled(model))
"""

FAULTHANDLER = """
import faulthandler, os, signal, sys
import hosted, slmprof

model, path = sys.argv[1:]
with open(path, "w") as log:
    faulthandler.enable(log)
    # Of this thread only: Python itself does not always survive to look at another that runs.
    faulthandler.register(signal.SIGUSR1, log, all_threads=False)
    with hosted.storm(signal.SIGUSR1, seconds=0.01):
        found = {"profiled": hosted.profiled(model), "decoded": hosted.decoded(model)}
    is_enabled = faulthandler.is_enabled()
    faulthandler.unregister(signal.SIGUSR1)
    faulthandler.disable()

def kill(progress):
    if progress.stage.startswith("repeat 2"):
        for child in hosted.children():
            os.kill(child, signal.SIGSEGV)

try:
    slmprof.profile(model, on_progress=kill, **{**hosted.SETTINGS, "repeats": 100_000})
except slmprof.EngineError as error:
    found["error"], found["log"] = str(error), error.log_lines
hosted.say(**found, is_enabled=is_enabled, children=hosted.children())
"""

SIGNALS = ["SIGALRM", "SIGCHLD", "SIGINT", "SIGTERM", "SIGUSR1"]


def test_handlers_are_called_and_stay(host: Host, model: str, clean: Any) -> None:
    told = host(HANDLED, model)
    assert {name: told.pop(name) for name in clean} == clean
    assert told == {
        "counts of profiled": SIGNALS,
        "counts of decoded": SIGNALS,
        "timer": pytest.approx(0.002),
        "status": 7,
        "are_kept": [True] * 5,
        "children": [],
    }


@pytest.mark.parametrize(
    ("number", "raised"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", "Leave")]
)
def test_a_handler_that_raises(
    host: Host, model: str, clean: Any, number: str, raised: str
) -> None:
    told = host(RAISING, model, number)
    assert told["of_profile"] == told["of_session"] == raised
    assert told["children"] == []
    assert told["after"]["logits"] == clean["decoded"]["logits"]
    assert told["profiled"] == clean["profiled"]


def test_faulthandler(host: Host, model: str, clean: Any, tmp_path: Path) -> None:
    told = host(FAULTHANDLER, model, str(tmp_path / "log"), PYTHONFAULTHANDLER="1")
    assert {name: told[name] for name in clean} == clean
    assert told["is_enabled"] is True and told["children"] == []
    log = (tmp_path / "log").read_text()
    assert "Stack (most recent call first)" in log and "hosted.py" in log
    assert "Fatal" not in log
    # The worker has one as well, which does not hide what it died of.
    assert told["error"].startswith("the process that runs llama.cpp died of SIGSEGV while repeat")
    assert any("Fatal Python error: Segmentation fault" in line for line in told["log"])
