"""What is in memory, of a range of addresses and of the process, and where nothing is told."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from slmprof import _core

PAGE = mmap.PAGESIZE
STATUS = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"
ROLLUP = """\
00400000-7ffd0000 ---p 00000000 00:00 0                          [rollup]
Rss:                1024 kB
Pss:                 512 kB
Pss_Anon:              1 kB
Anonymous:           256 kB
"""
SMAPS = """\
00400000-00500000 r-xp 00000000 fe:00 1234                       /usr/bin/a program
Rss:                 100 kB
Anonymous:            10 kB
00500000-00600000 rw-p 00000000 00:00 0                          [heap]
Rss:                  40 kB
00600000-00700000 rw-p 00000000 00:00 0 
Rss:                 800 kB
00700000-00800000 rw-p 00000000 00:00 0                          [stack]
Rss:                   7 kB
00800000-00900000 r--p 00000000 fe:00 1235                       /usr/lib/libx.so (deleted)
Rss:                  20 kB
"""  # noqa: W291  an anonymous mapping's line ends so


def test_pages_that_were_written_are_resident() -> None:
    with mmap.mmap(-1, 64 * PAGE) as memory:
        address = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        assert _core.resident_bytes(address, 64 * PAGE) == 0
        for page in (3, 4, 60):
            memory[page * PAGE] = 1
        assert _core.resident_bytes(address, 64 * PAGE) == 3 * PAGE
        # A page counts as far as it is in the range.
        assert _core.resident_bytes(address + 3 * PAGE + 100, PAGE) == PAGE
        assert _core.resident_bytes(address + 2 * PAGE, PAGE + 10) == 10
        assert _core.resident_bytes(address + 61 * PAGE - 5, 100) == 5
        assert _core.resident_bytes(address + 3 * PAGE + 7, 11) == 11
        assert _core.resident_bytes(address, 0) == 0


def test_more_pages_than_are_read_at_once() -> None:
    n_pages = 3 * (1 << 14) + 5
    with mmap.mmap(-1, n_pages * PAGE) as memory:
        address = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        for page in range(0, n_pages, 1 << 13):
            memory[page * PAGE] = 1
        memory[(n_pages - 1) * PAGE] = 1
        written = len(range(0, n_pages, 1 << 13)) + 1
        assert _core.resident_bytes(address, n_pages * PAGE) == written * PAGE


def test_pages_of_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(8 * PAGE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        address = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        sum(memory[page * PAGE] for page in range(8))
        assert _core.resident_bytes(address, 8 * PAGE) == 8 * PAGE


def test_the_own_process() -> None:
    seen = _core.process_memory()
    assert seen["rss_bytes"] and seen["pss_bytes"] and seen["library_bytes"]
    assert seen["pss_bytes"] <= seen["rss_bytes"]
    assert seen["anonymous_bytes"] + seen["file_bytes"] == seen["rss_bytes"]
    assert seen["minor_faults"] > 0 and seen["major_faults"] >= 0
    # The peak is kept for each thread and added up now and then.
    assert seen["rss_peak_bytes"] > seen["rss_bytes"] - 4 * 2**20


def write_process(folder: Path) -> str:
    (folder / "status").write_text(STATUS)
    (folder / "smaps_rollup").write_text(ROLLUP)
    (folder / "smaps").write_text(SMAPS)
    return str(folder)


def test_what_the_system_says_is_read(tmp_path: Path) -> None:
    seen = _core.process_memory(write_process(tmp_path))
    kib = 1024
    assert (seen["rss_bytes"], seen["pss_bytes"]) == (1024 * kib, 512 * kib)
    assert (seen["anonymous_bytes"], seen["file_bytes"]) == (256 * kib, 768 * kib)
    assert (seen["rss_peak_bytes"], seen["library_bytes"]) == (2048 * kib, 120 * kib)
    assert seen["heap_bytes"] == 40 * kib


@pytest.mark.parametrize("missing", ["status", "smaps_rollup", "smaps"])
def test_each_file_may_be_missing(tmp_path: Path, missing: str) -> None:
    process = write_process(tmp_path)
    (tmp_path / missing).unlink()
    seen = _core.process_memory(process)
    lost = {
        "status": {"rss_peak_bytes"},
        "smaps_rollup": {"rss_bytes", "pss_bytes", "anonymous_bytes", "file_bytes"},
        "smaps": {"library_bytes", "heap_bytes"},
    }[missing]
    assert {name for name, value in seen.items() if value is None} == lost


@pytest.mark.parametrize("text", ["", "Rss:\n", "Rss: many kB\n", "\0\0\n", "0-0\n[heap]\n"])
def test_odd_files_tell_nothing(tmp_path: Path, text: str) -> None:
    for name in ("status", "smaps_rollup", "smaps"):
        (tmp_path / name).write_text(text)
    seen = _core.process_memory(str(tmp_path))
    assert seen["rss_bytes"] is seen["rss_peak_bytes"] is None
    assert seen["heap_bytes"] == seen["library_bytes"] == 0


def test_a_page_map_that_is_missing_or_short(tmp_path: Path) -> None:
    assert _core.resident_bytes(PAGE, PAGE, str(tmp_path)) is None
    (tmp_path / "pagemap").write_bytes(b"\0" * 12)
    assert _core.resident_bytes(PAGE, PAGE, str(tmp_path)) is None
