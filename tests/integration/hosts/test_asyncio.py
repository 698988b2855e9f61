"""Programs with an event loop: it goes on, keeps its children's statuses, and cancels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

Host = Callable[..., Any]

# With a way in which a program looks after its children: a profile in a thread, whose progress the
# loop has to answer, and meanwhile children of its own, each of which ends with status 7.
WATCHED = """
import asyncio, os, signal, sys, warnings
import hosted

warnings.simplefilter("ignore", DeprecationWarning)  # watchers are on their way out

def reaper(statuses):
    def reap():
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            pass
    return reap

async def run(watcher, model):
    loop, answered, statuses, mine = asyncio.get_running_loop(), [], {}, []
    if watcher == "reaper":
        loop.add_signal_handler(signal.SIGCHLD, reaper(statuses))
    elif watcher != "default":
        made = getattr(asyncio, watcher)()
        made.attach_loop(loop)
        asyncio.set_child_watcher(made)

    async def answer(stage):
        answered.append(stage)

    def on_progress(progress):
        asyncio.run_coroutine_threadsafe(answer(progress.stage), loop).result(60)

    job = asyncio.create_task(asyncio.to_thread(hosted.profiled, model, on_progress=on_progress))
    while not job.done() or not mine:
        if watcher == "reaper":
            pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
            while pid not in statuses:
                await asyncio.sleep(0.001)
            mine.append(statuses[pid])
        else:
            child = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 7")
            mine.append(await child.wait())
    profiled = await job
    if watcher == "reaper":
        loop.remove_signal_handler(signal.SIGCHLD)
    return {"profiled": profiled, "answered": answered, "statuses": sorted(set(mine))}

hosted.say(**asyncio.run(run(*sys.argv[1:])), children=hosted.children())
"""

CANCELLED = """
import asyncio, sys
import hosted, slmprof

class Stop(Exception):
    pass

async def main(model):
    loop, runs, has_to_stop = asyncio.get_running_loop(), asyncio.Event(), []

    def on_progress(progress):
        if has_to_stop:
            raise Stop
        if progress.stage.startswith("repeat"):
            loop.call_soon_threadsafe(runs.set)

    job = asyncio.create_task(asyncio.to_thread(
        slmprof.profile, model, on_progress=on_progress, **{**hosted.SETTINGS, "repeats": 100_000}
    ))
    await asyncio.wait_for(runs.wait(), 60)
    job.cancel()
    try:
        await job
        outcome = "not cancelled"
    except asyncio.CancelledError:
        outcome = "cancelled"
    n_at_work = len(hosted.children())  # the thread knows nothing of it
    has_to_stop.append(True)
    await asyncio.wait_for(loop.shutdown_default_executor(), 60)
    return {"outcome": outcome, "n_at_work": n_at_work, "children": hosted.children()}

hosted.say(**asyncio.run(main(sys.argv[1])), profiled=hosted.profiled(sys.argv[1]))
"""


@pytest.mark.parametrize("watcher", ["default", "reaper", "SafeChildWatcher", "FastChildWatcher"])
def test_the_loop_goes_on_and_no_status_is_lost(
    host: Host, model: str, clean: Any, watcher: str
) -> None:
    if watcher.endswith("Watcher") and not hasattr(asyncio, watcher):
        pytest.skip("this Python no longer has it")
    told = host(WATCHED, watcher, model)
    assert told["profiled"] == clean["profiled"]
    assert any(stage.startswith("repeat") for stage in told["answered"])
    assert told["statuses"] == [7] and told["children"] == []


def test_a_cancelled_task_ends_by_its_progress(host: Host, model: str, clean: Any) -> None:
    told = host(CANCELLED, model)
    assert told.pop("profiled") == clean["profiled"]
    assert told == {"outcome": "cancelled", "n_at_work": 1, "children": []}
