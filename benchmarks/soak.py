"""Whether slmprof stays as it is when it runs for long: memory, file handles, threads, accounts.

    python benchmarks/soak.py --check                                # some minutes
    python benchmarks/soak.py --check --profiles 500 --seconds 7200  # hours

First `slmprof.profile` again and again in this process, then sessions that are opened and closed in
it, then one session that decodes in `events="aggregate"`. Each stretch is cut into four: what the
last quarter takes is compared with the second, the first is warm-up. Of decoding, time is told in
four ways that must stay together: by the system's clock around each call, which decodes some tokens
and then reduces what was recorded; by the recorder's from the first of these tokens to the last; as
the sum of the steps' latencies; and as the sum over all ops.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Bar, add_models, model_text, parser, publish

import slmprof
from slmprof.children.memory import resident_bytes
from slmprof.profiles.vocabulary import PASS_OP, STAGE_OP

_N_PROMPT, _N_BLOCK = 8, 32
_LOOK_SECONDS = 1.0
# Of the allocator and of Python: what neither gives back is not lost.
_MOST_GROWTH_MIB = 2.0
_MOST_GROWTH_KIB_EACH = 1.0
_MOST_CHANGE = 0.01
_MOST_CLOCK_PPM = 50.0


@dataclass
class _Use:
    """What this process holds, at several points of a stretch."""

    rss_bytes: list[int]
    n_handles: list[int]
    n_threads: list[int]

    @classmethod
    def none(cls) -> _Use:
        return cls([], [], [])

    def look(self) -> None:
        gc.collect()
        _give_back()
        self.rss_bytes.append(resident_bytes(os.getpid()))
        self.n_handles.append(_n_entries("/proc/self/fd"))
        self.n_threads.append(_n_entries("/proc/self/task"))

    def row(self, name: str, n: int) -> dict[str, Any]:
        rss = [value / 2**20 for value in self.rss_bytes]
        return {
            "stretch": name, "n": n, "rss MiB, second quarter": _quarter(rss, 1),
            "rss MiB, last quarter": _quarter(rss, 3), "most MiB": max(rss),
            "handles": f"{self.n_handles[0]} to {self.n_handles[-1]}",
            "threads": f"{self.n_threads[0]} to {self.n_threads[-1]}",
        }  # fmt: skip

    def bars(self, name: str, n: int) -> list[Bar]:
        rss = [value / 2**20 for value in self.rss_bytes]
        growth = _quarter(rss, 3) - _quarter(rss, 1)
        allowed = _MOST_GROWTH_MIB + n * _MOST_GROWTH_KIB_EACH / 2**10
        handles = max(self.n_handles) - self.n_handles[0]
        threads = max(self.n_threads) - self.n_threads[0]
        return [
            Bar(f"{name}: growth, MiB", growth, allowed, is_most=True),
            Bar(f"{name}: further file handles", handles, 0, is_most=True),
            Bar(f"{name}: further threads", threads, 0, is_most=True),
        ]


def _give_back() -> None:
    """Gives the system what the allocator keeps of what was freed: buffers of a session or two."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)


def _n_entries(folder: str) -> int:
    return len(list(Path(folder).iterdir()))


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "tiny")
    arguments.add_argument("--profiles", type=int, default=40)
    arguments.add_argument("--sessions", type=int, help="as many as --profiles")
    arguments.add_argument("--seconds", type=float, default=60.0, help="of decoding")
    options = arguments.parse_args()
    model = model_text(options.models)
    rows, bars = [], []
    n_sessions = options.profiles if options.sessions is None else options.sessions
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        tempfile.tempdir = folder
        for name, n, run in (
            ("profiles", options.profiles, lambda: _profile(model)),
            ("sessions", n_sessions, lambda: _session(model)),
        ):
            if n:
                use = _repeat(run, n)
                rows.append(use.row(name, n))
                bars += use.bars(name, n)
        left = _n_entries(folder)
        bars.append(Bar("files left behind", left, 0, is_most=True))
        if options.seconds:
            use, seconds = _decode(model, options.seconds)
            rows.append(use.row("decode, tokens", sum(second.n_tokens for second in seconds)))
            bars += [*use.bars("decode", 0), *_bars_of_time(seconds)]
        tempfile.tempdir = None
    return publish("soak", rows, bars, options)


def _repeat(run: Callable[[], None], n: int) -> _Use:
    run()  # loads what is loaded once
    use = _Use.none()
    for _ in range(n):
        run()
        use.look()
    return use


def _profile(model: str) -> None:
    found = slmprof.profile(model, n_prompt=_N_PROMPT, n_gen=4, repeats=1, ceilings="off")
    assert len(found.ops())


def _session(model: str) -> None:
    with slmprof.Session(model, n_ctx=256, ceilings="off") as session:
        session.prefill(_N_PROMPT)
        session.decode(4)


@dataclass
class _Second:
    """About a second of decoding, and the time of it as each of four accounts has it."""

    monotonic_ns: int = 0  # when its last block began
    begin_ns: int = 0  # the same by the recorder's clock
    n_tokens: int = 0
    outside_ns: int = 0  # the system's clock around the calls
    tokens_ns: int = 0  # the recorder's, from a call's first step to its last
    steps_ns: int = 0  # sum of the steps' latencies
    ops_ns: int = 0  # sum over ops

    def add(self, session: slmprof.Session, tokens: Any) -> None:
        """Decodes some tokens."""
        session.rewind(_N_PROMPT)
        begin = time.monotonic_ns()
        session.engine.decode(tokens, PASS_OP, aggregate=True)
        self.outside_ns += time.monotonic_ns() - begin
        # Not `session.decode`, which keeps what was measured for a profile.
        chunk = session.take()
        steps, stats = chunk["steps"], chunk["stats"]
        is_op = np.asarray(stats["stage"]) == STAGE_OP
        self.monotonic_ns, self.begin_ns = begin, int(steps["begin_ns"][0])
        self.n_tokens += len(tokens)
        self.tokens_ns += int(steps["end_ns"][-1] - steps["begin_ns"][0])
        self.steps_ns += int(np.sum(steps["end_ns"] - steps["begin_ns"]))
        self.ops_ns += int(np.sum(np.asarray(stats["span_sum_ns"])[is_op]))


def _decode(model: str, seconds: float) -> tuple[_Use, list[_Second]]:
    use, found = _Use.none(), list[_Second]()
    with slmprof.Session(model, n_ctx=256, ceilings="off", events="aggregate") as session:
        session.prefill(_N_PROMPT)
        tokens = session.random_tokens(_N_BLOCK)
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            found.append(_Second())
            while time.monotonic() < now + _LOOK_SECONDS:
                found[-1].add(session, tokens)
            use.look()
    return use, found


def _bars_of_time(seconds: Sequence[_Second]) -> list[Bar]:
    of_calls = [second.tokens_ns / second.outside_ns for second in seconds]
    of_tokens = [second.steps_ns / second.tokens_ns for second in seconds]
    of_steps = [second.ops_ns / second.steps_ns for second in seconds]
    first, last = seconds[0], seconds[-1]
    elapsed = last.monotonic_ns - first.monotonic_ns
    ppm = abs((last.begin_ns - first.begin_ns) / max(elapsed, 1) - 1) * 1e6
    return [
        Bar("tokens of the calls' time, change", _change(of_calls), _MOST_CHANGE, is_most=True),
        Bar("steps of the tokens' time, change", _change(of_tokens), _MOST_CHANGE, is_most=True),
        Bar("ops of the steps' time, change", _change(of_steps), _MOST_CHANGE, is_most=True),
        Bar("steps of the tokens' time", float(np.median(of_tokens)), 0.99, is_most=False),
        Bar("the recorder's clock against the system's, ppm", ppm, _MOST_CLOCK_PPM, is_most=True),
    ]


def _change(values: Sequence[float]) -> float:
    return abs(_quarter(values, 3) - _quarter(values, 1))


def _quarter(values: Sequence[float], number: int) -> float:
    """The median of a quarter of the values, counted from 0."""
    n = len(values)
    part = values[n * number // 4 : max(n * (number + 1) // 4, n * number // 4 + 1)]
    return float(np.median(part)) if len(part) else float(values[-1])


if __name__ == "__main__":
    sys.exit(main())
