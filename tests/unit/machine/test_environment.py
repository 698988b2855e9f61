"""What a machine says about itself, read from files that tests exchange."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from slmprof.children import memory
from slmprof.machine import environment, load
from slmprof.machine.load import LoadMeter
from slmprof.system import control_group


def times(monkeypatch: pytest.MonkeyPatch, stat: str, own_seconds: float) -> None:
    """Sets what /proc/stat says (in ticks) and the CPU time of this process."""
    monkeypatch.setattr(load, "read", lambda path: stat if path == "/proc/stat" else "")
    monkeypatch.setattr(os, "times", lambda: os.times_result((own_seconds, 0.0, 0.0, 0.0, 0.0)))
    monkeypatch.setattr(os, "sysconf", lambda _: 100)


@pytest.mark.parametrize(
    ("stat", "own", "expected"),
    [
        ("cpu 1200 0 0 800 0 0 0 0 0 0\n", 10.0, []),  # 10 of 20 s busy, all ours
        ("cpu 1200 0 100 700 0 0 0 0 0 0\n", 10.0, ["other processes used 6 %"]),
        ("cpu 1200 0 0 700 0 0 0 100 0 0\n", 10.0, ["the hypervisor stole 6 %"]),
        ("", 10.0, []),
    ],
)
def test_the_load_of_others(
    monkeypatch: pytest.MonkeyPatch, stat: str, own: float, expected: list[str]
) -> None:
    times(monkeypatch, "cpu 200 0 0 0 0 0 0 0 0 0\n" if stat else "", 0.0)
    meter = LoadMeter()
    times(monkeypatch, stat, own)
    warnings = meter.warnings()
    assert [warning.split(" of this")[0] for warning in warnings] == expected


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "usable_cores", lambda: 2)
    monkeypatch.setattr(environment, "read", lambda _: "")
    assert environment.find_warnings(2) == []
    assert "3 threads oversubscribe 2 cores" in environment.find_warnings(3)[0]


def test_a_moving_clock_and_swapping(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "/proc/self/status": "VmRSS:\t 10 kB\nVmSwap:\t 2048 kB\n",
    }
    monkeypatch.setattr(environment, "read", lambda path: files.get(path, ""))
    clock, swap = environment.find_warnings(1)
    assert "powersave" in clock
    assert swap.startswith("2048 KiB")


def test_the_lower_of_memory_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 4096 kB\nMemAvailable: 2048 kB\n",
        "/sys/fs/cgroup/memory.max": "1048576\n",
        "/sys/fs/cgroup/memory.current": "524288\n",
    }
    for module in (environment, memory, control_group):
        monkeypatch.setattr(module, "read", lambda path: files.get(path, ""))
    assert environment.memory_bytes() == 1048576
    assert memory.available_bytes() == 524288
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert environment.memory_bytes() == 4096 * 1024
    assert memory.available_bytes() == 2048 * 1024


def arm(*cores: tuple[str, str]) -> str:
    """`/proc/cpuinfo` of an Arm machine with these implementers and parts."""
    return "\n".join(
        f"processor\t: {number}\nFeatures\t: fp asimd\nCPU implementer\t: {implementer}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: {part}\nCPU revision\t: 1\n"
        for number, (implementer, part) in enumerate(cores)
    )


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("model name\t: A CPU @ 2 GHz\n\nmodel name\t: another\n", "A CPU @ 2 GHz"),
        (arm(("0x41", "0xd0c"), ("0x41", "0xd0c")), "Arm Neoverse-N1"),
        (
            arm(*[("0x41", "0xd05")] * 4, *[("0x41", "0xd0b")] * 4),
            "Arm Cortex-A55 + Arm Cortex-A76",
        ),
        (arm(("0x61", "0x22")), "Apple 0x22"),
        (arm(("0x99", "0xd0c")), "implementer 0x99 0xd0c"),
        ("CPU part\t: 0xd0c\n", "unknown"),
        (arm(("0x41", "?")), "unknown"),
        ("", "unknown"),
    ],
)
def test_the_processors_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpuinfo: str, name: str
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert environment.cpu_name(tmp_path) == name
