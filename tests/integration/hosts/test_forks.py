"""Forked and spawned processes: what a session left in them is in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Host = Callable[..., Any]

# Children that multiprocessing forks, and one that ends as a program does, with all that it has.
FORKED = """
import json, multiprocessing, os, sys, warnings
import hosted, slmprof

warnings.simplefilter("ignore", DeprecationWarning)  # forking a program that has threads
model = sys.argv[1]
session = slmprof.Session(model, **hosted.SESSION)
before = hosted.steps_of(session)

def refusal(call):
    try:
        call()
    except slmprof.UsageError as error:
        return str(error)

def look(folder=None):
    with session:
        refused = [
            refusal(lambda: session.decode(1)), refusal(lambda: session.rewind(0)),
            refusal(lambda: session.profile()), refusal(lambda: session.n_past),
        ]
    return {
        "refused": refused, "closed": refusal(lambda: session.decode(1)),
        "decoded": hosted.decoded(model), "profiled": hosted.profiled(model),
        "children": hosted.children(),
    }

context = multiprocessing.get_context("fork")
with context.Pool(1) as pool:
    of_pool = pool.apply_async(look).get(120)
mine, its = os.pipe()
child = os.fork()
if child == 0:
    found = look()
    session = None
    another = slmprof.Session(model, **hosted.SESSION)  # open to the end
    with open(its, "w") as out:
        json.dump(found, out)
    sys.exit(3)
os.close(its)
with open(mine) as told:
    of_fork = json.load(told)
status = hosted.status_of(child)
after = hosted.steps_of(session)
session.close()
hosted.say(before=before, after=after, of_pool=of_pool, of_fork=of_fork, status=status,
           children=hosted.children())
"""

# Forked again and again while a thread computes, records and logs.
BUSY = """
import os, sys, threading, warnings
import hosted, slmprof

warnings.simplefilter("ignore", DeprecationWarning)
model = sys.argv[1]
is_over, outcomes, statuses = threading.Event(), [], []
mine = slmprof.Session(model, **hosted.SESSION)
expected = hosted.decoded(model)

def compute():
    while not is_over.is_set():
        mine.rewind(0)
        mine.prefill(20)
        outcomes.append(len(mine.decode(10)))

thread = threading.Thread(target=compute)
thread.start()
while not outcomes:
    is_over.wait(0.001)
for _ in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if hosted.decoded(model) == expected else 1)
    statuses.append(hosted.status_of(child))
n_before = len(outcomes)
while len(outcomes) < n_before + 2 and thread.is_alive():
    is_over.wait(0.001)
is_over.set()
thread.join()
after = hosted.steps_of(mine)
hosted.say(statuses=statuses, outcomes=sorted(set(outcomes)), after=after)
"""

# Forked while a thread waits for its worker; the child ends as a program does.
WHILE_PROFILED = """
import os, sys, threading, warnings
import hosted

warnings.simplefilter("ignore", DeprecationWarning)
found, has_begun = [], threading.Event()

def on_progress(progress):
    if progress.stage.startswith("repeat"):
        has_begun.set()

thread = threading.Thread(target=lambda: found.append(
    hosted.profiled(sys.argv[1], on_progress=on_progress, repeats=20)
))
thread.start()
has_begun.wait(60)
is_at_work = thread.is_alive()
child = os.fork()
if child == 0:
    sys.exit(5)
status = hosted.status_of(child)
thread.join()
hosted.say(is_at_work=is_at_work, status=status, run=found[0]["run"], children=hosted.children())
"""

SPAWNED = """
import multiprocessing, sys
import hosted

with multiprocessing.get_context("spawn").Pool(2) as pool:
    profiled = pool.map_async(hosted.profiled, sys.argv[1:] * 2)
    decoded = pool.map_async(hosted.decoded, sys.argv[1:] * 2)
    found = {"profiled": profiled.get(120), "decoded": decoded.get(120)}
hosted.say(**found, children=hosted.children())
"""


def test_a_session_stays_with_the_process_that_opened_it(
    host: Host, model: str, clean: Any
) -> None:
    told = host(FORKED, model)
    assert told["before"] == told["after"]
    for one in (told["of_pool"], told["of_fork"]):
        assert len(one["refused"]) == 4
        assert all("forked from" in refused for refused in one["refused"])
        assert one["closed"] == "this session is closed"
        assert {name: one[name] for name in clean} == clean
        assert one["children"] == []
    assert told["status"] == 3 and told["children"] == []


def test_a_fork_while_a_thread_computes(host: Host, model: str, clean: Any) -> None:
    told = host(BUSY, model)
    assert told["statuses"] == [0] * 4
    assert told["outcomes"] == [10]
    assert told["after"]["logits"] == clean["decoded"]["logits"]


def test_a_fork_while_a_thread_waits_for_its_worker(host: Host, model: str) -> None:
    told = host(WHILE_PROFILED, model)
    assert told == {"is_at_work": True, "status": 5, "run": [True, 20, 0], "children": []}


def test_spawned_processes_at_once(host: Host, model: str, clean: Any) -> None:
    told = host(SPAWNED, model)
    assert told["profiled"] == [clean["profiled"]] * 2
    assert told["decoded"] == [clean["decoded"]] * 2
