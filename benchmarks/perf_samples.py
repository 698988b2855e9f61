"""Samples of a program's call stacks, taken by Linux perf while the program allows it.

The event is `cpu-clock`, a timer of the kernel, which needs no hardware counters and so works in
virtual machines too. Stacks come from a copy of the top of the stack, because llama.cpp is built
without frame pointers.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

Stack = tuple[str, ...]

_EVENT = "cpu-clock:u"
# The functions of interest keep little on the stack; what is not copied is not unwound.
_STACK_BYTES = 1024
_MAX_DEPTH = 8
_RATE_LIMIT = Path("/proc/sys/kernel/perf_event_max_sample_rate")
_SAMPLE = re.compile(r"^\s*(\d+)/(\d+)\s+(\d+)\.(\d{9}):")
_FRAME = re.compile(r"^\s+[0-9a-f]+ (.+)$")
_SHT_SYMTAB = 2


class NoPerfError(Exception):
    """perf is not there, or may not record, or could not read what it needs."""


@dataclass(frozen=True, eq=False)
class Samples:
    """One element for each sample, in order of time.

    Attributes:
        period_ns: of a thread's running time between two of its samples.
        time_ns: of the system's raw monotonic clock, int64.
        thread: the system's number of the thread, int32; the program's first thread is 0.
        stack: index into `stacks`, int32.
        stacks: the distinct call stacks, innermost function first.
    """

    period_ns: float
    time_ns: npt.NDArray[np.int64]
    thread: npt.NDArray[np.int32]
    stack: npt.NDArray[np.int32]
    stacks: list[Stack]


def check_perf() -> None:
    """Raises NoPerfError, with what to do, where perf is missing or may not record."""
    if shutil.which("perf") is None:
        raise NoPerfError(
            "there is no perf on this machine: install your system's package of it "
            "(linux-perf, linux-tools or perf)"
        )
    with TemporaryDirectory() as folder:
        _run_perf(["record", *_options(1000), "-o", f"{folder}/probe", "--", "true"])


def check_symbols(library: Path) -> None:
    """Raises NoPerfError where an ELF file has no symbol table, so that perf sees no functions."""
    data = library.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        raise NoPerfError(f"{library} is not a 64-bit ELF file")
    (offset,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    kinds = {struct.unpack_from("<I", data, offset + i * size + 4)[0] for i in range(count)}
    if _SHT_SYMTAB not in kinds:
        raise NoPerfError(
            f"{library} has been stripped of its symbols, so perf cannot tell its functions apart. "
            "Install it with them (pip install . -C install.strip=false), or build in place (see "
            "CONTRIBUTING.md)"
        )


@contextmanager
def sampling(control: Path, ack: Path) -> Iterator[None]:
    """In the recorded program: samples are taken for as long as this lasts."""
    with control.open("w") as commands, ack.open() as answers:

        def ask(command: str) -> None:
            commands.write(f"{command}\n")
            commands.flush()
            answers.readline()

        ask("enable")
        try:
            yield
        finally:
            ask("disable")


def record(program: Sequence[str], frequency: int) -> Samples:
    """Runs a program under perf and returns its samples.

    Args:
        program: a command line; the paths of two pipes are put behind it, for `sampling`.
        frequency: samples a second and thread; the kernel's limit where that is less.

    Raises:
        NoPerfError: perf or the program failed.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        control, ack, data = folder / "control", folder / "ack", folder / "data"
        os.mkfifo(control)
        os.mkfifo(ack)
        _run_perf(
            ["record", *_options(frequency), "--delay", "-1", "--control", f"fifo:{control},{ack}",
             "-o", str(data), "--", *program, str(control), str(ack)]
        )  # fmt: skip
        script = subprocess.Popen(
            ["perf", "script", "-i", str(data), "--ns", "--no-inline", "-F", "pid,tid,time,ip,sym",
             "--max-stack", str(_MAX_DEPTH)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
        )  # fmt: skip
        assert script.stdout
        with script:
            return _read_samples(script.stdout, 1e9 / _allowed(frequency))


def _allowed(frequency: int) -> int:
    return min(frequency, int(_RATE_LIMIT.read_text())) if _RATE_LIMIT.exists() else frequency


def _options(frequency: int) -> list[str]:
    return ["--quiet", "-e", _EVENT, "-F", str(_allowed(frequency)), "-k", "CLOCK_MONOTONIC_RAW",
            "--call-graph", f"dwarf,{_STACK_BYTES}", "-m", "4M"]  # fmt: skip


def _run_perf(arguments: list[str]) -> None:
    answer = subprocess.run(["perf", *arguments], capture_output=True, text=True, errors="replace")
    if answer.returncode != 0:
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        setting = Path("/proc/sys/kernel/perf_event_paranoid")
        level = setting.read_text().strip() if setting.exists() else "missing"
        raise NoPerfError(
            "perf could not record here (kernel.perf_event_paranoid is "
            f"{level}; 2 or less is needed without privileges):\n" + "\n".join(lines[-12:])
        )


def _read_samples(lines: Iterable[str], period_ns: float) -> Samples:
    times: list[int] = []
    threads: list[int] = []
    numbers: list[int] = []
    known: dict[Stack, int] = {}
    frames: list[str] = []
    for line in lines:
        start = _SAMPLE.match(line)
        if start:
            threads.append(int(start[2]) if start[2] != start[1] else 0)
            times.append(int(start[3]) * 1_000_000_000 + int(start[4]))
            frames = []
        elif frame := _FRAME.match(line):
            frames.append(frame[1])
        elif len(numbers) < len(times):  # an empty line ends a sample
            numbers.append(known.setdefault(tuple(frames), len(known)))
    if len(numbers) < len(times):
        numbers.append(known.setdefault(tuple(frames), len(known)))
    if not times:
        raise NoPerfError("perf recorded no sample")
    time_ns = np.array(times, np.int64)
    order = np.argsort(time_ns, kind="stable")
    thread = np.array(threads, np.int32)[order]
    stack = np.array(numbers, np.int32)[order]
    return Samples(period_ns, time_ns[order], thread, stack, list(known))
