"""What the programs of tests/integration/hosts do in their own process: slmprof at work, and a look
at what the process is like.

Nothing beyond the standard library is imported before it is used: the order is the program's.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import locale
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

SETTINGS = {
    "n_prompt": 8, "n_gen": 3, "repeats": 2, "n_ctx": 256, "threads": 1, "ceilings": "off",
    "events": "all",
}  # fmt: skip
SESSION = {"n_ctx": 256, "threads": 2}
_TASKS = Path("/proc/self/task")
_OP = ["phase", "op", "tensor", "layer", "block", "part", "dtypes", "impl"]
_WORK = ["calls", "flops", "bytes", "weight_bytes"]
_WARM_UP = 0  # of `pass_`
_STEP = ["phase", "pass_", "repeat", "index", "depth", "n_tokens", "n_past"]


def profiled(model: str, **changes: Any) -> dict[str, Any]:
    """What must be the same of a profile, in whatever process it is made."""
    import slmprof

    return facts(slmprof.profile(model, **{**SETTINGS, **changes}))


def facts(profile: Any) -> dict[str, Any]:
    """Of a profile what does not depend on time: ops and their work, steps, and bytes."""
    from slmprof.analysis.timing import disturbance, phases

    # All steps count, whatever else the machine does.
    disturbance.MAX_EXCESS = float("inf")
    phases.MAX_DIFFERENCE_OF_SHARES = phases.MAX_OFF_CORE = float("inf")
    ops, memory, run = profile.ops(), profile.memory(), profile.meta.run
    columns = zip(*(getattr(profile.steps, name).tolist() for name in _STEP), strict=True)
    return {
        "run": [run.complete, run.n_repeats_done, run.n_dropped],
        "ops": sorted(
            [*map(str, row[: len(_OP)]), *map(float, row[len(_OP) :])]
            for row in ops[[*_OP, *_WORK]].fillna(dict.fromkeys(_WORK, -1)).values.tolist()
        ),
        # Without those of the warm-up, which takes as many as it needs.
        "steps": [list(row) for row in columns if row[1] != _WARM_UP],
        "memory": sorted(
            map(list, zip(memory["kind"], map(int, memory["size_bytes"]), strict=True))
        ),
    }


def decoded(model: str) -> dict[str, Any]:
    """What a session of its own gives."""
    import slmprof

    with slmprof.Session(model, **SESSION) as session:
        return {"tokens": session.random_tokens(4).tolist(), **steps_of(session)}


def steps_of(session: Any) -> dict[str, Any]:
    """What a session gives for the same tokens, whatever it has done before."""
    session.rewind(0)
    session.prefill(range(1, 9))
    session.decode(range(9, 12), observe=False)
    logits = session.engine.last_logits()
    return {"logits": hashlib.sha256(logits.tobytes()).hexdigest(), "n_past": session.n_past}


def surroundings() -> dict[str, Any]:
    """What a process has one of, and a library of its has no business to change."""
    import numpy as np

    process = ctypes.CDLL(None)
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(process, "environ")
    seen: list[str] = []
    while (one := variables[len(seen)]) is not None:
        seen.append(os.fsdecode(one))
    terminate = ctypes.CDLL("libstdc++.so.6")._ZSt13get_terminatev
    terminate.restype = ctypes.c_void_p
    return {
        "variables": sorted(seen),
        "folder": str(Path.cwd()),
        "handlers": {one.name: _handler(one) for one in signal.valid_signals() if _is_named(one)},
        "mask": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "terminate": terminate(),
        "rounding": process.fegetround() if hasattr(process, "fegetround") else None,
        "affinity": sorted(os.sched_getaffinity(0)),
        "nice": os.nice(0),
        "umask": next(
            line for line in Path("/proc/self/status").read_text().splitlines() if "Umask" in line
        ),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "locale": locale.setlocale(locale.LC_ALL),
        "random": hashlib.sha256(np.random.get_state()[1].tobytes()).hexdigest(),
        "floats": np.geterr(),
        "warnings": [warnings.showwarning.__qualname__, [str(one) for one in warnings.filters]],
        "hooks": [str(one) for one in (sys.excepthook, threading.excepthook, sys.stdout)],
        "path": list(sys.path),
        "threads": sorted((task / "comm").read_text() for task in _TASKS.iterdir()),
        "files": sorted(filter(None, map(_file, Path("/proc/self/fd").iterdir()))),
        "children": children(),
    }


def _is_named(number: int) -> bool:
    return isinstance(number, signal.Signals)


def _handler(number: int) -> str:
    return str(signal.getsignal(number))


def _file(handle: Path) -> str:
    try:
        # A pipe's or a socket's number tells nothing.
        return f"{handle.name} {str(handle.readlink()).partition(':')[0]}"
    except FileNotFoundError:  # the folder that was listed
        return ""


def children() -> list[int]:
    """The children of all threads of this process, zombies among them."""
    found: list[int] = []
    for task in _TASKS.iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return sorted(found)


@contextmanager
def storm(*numbers: int, seconds: float = 0.003) -> Iterator[None]:
    """Signals to the main thread, again and again as long as this lasts, and once at least."""
    main, is_over = threading.main_thread().ident, threading.Event()
    assert main

    def send() -> None:
        while True:
            for number in numbers:
                signal.pthread_kill(main, number)
            if is_over.wait(seconds):
                return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        is_over.set()
        sender.join()


def status_of(child: int, seconds: float = 60) -> int | None:
    """The exit code of a fork that has ended by then; else it is killed."""
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def say(**found: Any) -> None:
    """Tells the test, which looks at the last line."""
    print("\n" + json.dumps(found), flush=True)
