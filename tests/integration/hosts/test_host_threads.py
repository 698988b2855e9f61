"""Several threads of a program at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Host = Callable[..., Any]

AT_ONCE = """
import sys
from concurrent.futures import ThreadPoolExecutor

import hosted

with ThreadPoolExecutor(4) as pool:
    # Nothing of slmprof is imported yet: all four begin with that.
    jobs = [pool.submit(what, sys.argv[1]) for what in (hosted.profiled, hosted.decoded) * 2]
    found = [job.result() for job in jobs]
hosted.say(profiled=found[::2], decoded=found[1::2], children=hosted.children())
"""

ONE_SESSION = """
import sys
from concurrent.futures import ThreadPoolExecutor

import hosted, slmprof

with slmprof.Session(sys.argv[1], **hosted.SESSION) as session:
    def decode(_):
        return [len(session.decode(1)) for _ in range(10)]

    with ThreadPoolExecutor(3) as pool:
        steps = list(pool.map(decode, range(3)))
    n_past, after = session.n_past, hosted.steps_of(session)
    n_steps = len(session.profile().steps.index)
hosted.say(steps=steps, n_past=n_past, after=after, n_steps=n_steps)
"""

# Opened and closed while another thread computes: either waits for the other.
CLOSING = """
import sys, threading
import hosted, slmprof

is_over, outcomes = threading.Event(), []

def compute():
    with slmprof.Session(sys.argv[1], n_ctx=256, threads=1) as session:
        while not is_over.is_set():
            session.rewind(0)
            outcomes.append(len(session.decode(20)))

thread = threading.Thread(target=compute)
thread.start()
found = [hosted.decoded(sys.argv[1]) for _ in range(5)]
is_over.set()
thread.join()
hosted.say(found=found, outcomes=sorted(set(outcomes)))
"""

# Ends while three threads, which it does not wait for, are at work or wait for each other.
ENDING = """
import sys, threading
import hosted, slmprof

sessions = [slmprof.Session(sys.argv[1], **hosted.SESSION) for _ in range(3)]
turns = threading.Semaphore(0)

def work(session, call):
    while True:
        session.rewind(0)
        call(session)
        turns.release()

calls = [lambda one: one.decode(40), lambda one: one.prefill(40),
         lambda one: one.score(40, lambda position, logits: logits.sum())]
for session, call in zip(sessions, calls):
    threading.Thread(target=work, args=(session, call), daemon=True).start()
for _ in range(4):
    turns.acquire()
hosted.say(n_threads=threading.active_count())
"""


def test_profiles_and_sessions_of_four_threads(host: Host, model: str, clean: Any) -> None:
    found = host(AT_ONCE, model)
    assert found["profiled"] == [clean["profiled"]] * 2
    assert found["decoded"] == [clean["decoded"]] * 2
    assert found["children"] == []


def test_a_session_closes_while_another_computes(host: Host, model: str, clean: Any) -> None:
    assert host(CLOSING, model) == {"found": [clean["decoded"]] * 5, "outcomes": [20]}


def test_a_program_ends_while_its_threads_compute(host: Host, model: str) -> None:
    assert host(ENDING, model) == {"n_threads": 4}


def test_a_session_that_three_threads_share(host: Host, model: str, clean: Any) -> None:
    found = host(ONE_SESSION, model)
    assert found["steps"] == [[1] * 10] * 3
    assert found["n_past"] == 30 and found["n_steps"] == 30 + 4
    assert {**found["after"], "tokens": clean["decoded"]["tokens"]} == clean["decoded"]
