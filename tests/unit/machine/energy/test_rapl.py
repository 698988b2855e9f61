"""RAPL by a hand-made tree of folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from energy_builder import RANGE_UJ, write_zone

from slmprof.analysis.energy.counting import count
from slmprof.machine.energy.cpu_state import CpuState
from slmprof.machine.energy.find import find_counters, sysfs_folder
from slmprof.machine.energy.rapl import find_rapl


def write_cpu(sysfs: Path, core: int, khz: int, throttles: tuple[int, int] | None = None) -> None:
    folder = sysfs / f"devices/system/cpu/cpu{core}"
    (folder / "cpufreq").mkdir(parents=True)
    (folder / "cpufreq/scaling_cur_freq").write_text(f"{khz}\n")
    if throttles is not None:
        (folder / "thermal_throttle").mkdir()
        for name, n in zip(("core", "package"), throttles, strict=True):
            (folder / f"thermal_throttle/{name}_throttle_count").write_text(f"{n}\n")


def test_packages_are_added_up_and_their_parts_are_not(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0", 100)
    write_zone(tmp_path, "intel-rapl:0:0", "core", 60)
    write_zone(tmp_path, "intel-rapl:0:1", "uncore", 10)
    write_zone(tmp_path, "intel-rapl:0:2", "dram", 7)
    write_zone(tmp_path, "intel-rapl:1", "package-1", 200)
    write_zone(tmp_path, "intel-rapl:1:0", "dram", 8)
    write_zone(tmp_path, "intel-rapl:2", "psys", 1000)
    # The same package by another interface.
    write_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 100)
    counters, refusals = find_rapl(tmp_path)
    package, dram = counters
    assert not refusals
    assert (package.source.name, package.read_uj()) == ("package", (100, 200))
    assert package.source.parts == ("intel-rapl:0 package-0", "intel-rapl:1 package-1")
    assert (dram.source.name, dram.read_uj()) == ("dram", (7, 8))
    assert package.ranges_uj == (RANGE_UJ, RANGE_UJ)


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    zone = write_zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 10)
    ((counter,), _) = find_rapl(tmp_path)
    before = counter.read_uj()
    (zone / "energy_uj").write_text("4\n")
    (readings,) = zip(before, counter.read_uj(), strict=True)
    assert count(readings, counter.ranges_uj[0]).energy_uj == 15


def test_a_system_without_counters_says_where_it_looked(tmp_path: Path) -> None:
    counters, (refusal,) = find_rapl(tmp_path)
    assert not counters
    assert (refusal.reason, refusal.source) == ("no_counter", "package")
    assert refusal.detail == str(tmp_path / "class/powercap")


def test_what_only_root_may_read_is_refused_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0")
    zone = write_zone(tmp_path, "intel-rapl:1", "package-1")
    write_zone(tmp_path, "intel-rapl:0:0", "dram")
    read_text = Path.read_text

    def guarded(path: Path, *args: str, **how: str) -> str:
        if path == zone / "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *args, **how)

    monkeypatch.setattr(Path, "read_text", guarded)
    (counter,), (refusal,) = find_rapl(tmp_path)
    # One package alone would look like the energy of both.
    assert counter.source.name == "dram"
    assert (refusal.reason, refusal.source) == ("not_readable", "package")
    assert refusal.detail == f"{zone / 'energy_uj'}: Permission denied"


def test_a_counter_without_a_number_is_refused(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0", "")
    counters, (refusal,) = find_rapl(tmp_path)
    assert not counters and refusal.reason == "not_readable"
    assert "it holds no number" in refusal.detail


def test_clocks_and_throttling_are_those_of_the_cores_in_use(tmp_path: Path) -> None:
    write_cpu(tmp_path, 0, 2_000_000, (3, 1))
    write_cpu(tmp_path, 1, 3_000_000, (4, 1))
    write_cpu(tmp_path, 2, 1_000_000, (100, 100))
    state = CpuState(tmp_path, cores=(0, 1)).state()
    assert (state.clock_mhz, state.n_throttles) == (2500.0, 9)
    assert state.busy_share is None and state.clock_reasons == ()


def test_a_system_that_tells_no_clock_has_none(tmp_path: Path) -> None:
    state = CpuState(tmp_path, cores=(0,)).state()
    assert state.clock_mhz is None and state.n_throttles is None


def test_the_package_tells_the_state_of_the_cores(tmp_path: Path) -> None:
    for core in os.sched_getaffinity(0):
        write_cpu(tmp_path, core, 2_400_000)
    write_zone(tmp_path, "intel-rapl:0", "package-0")
    write_zone(tmp_path, "intel-rapl:0:0", "dram")
    (package, dram), _ = find_rapl(tmp_path)
    assert package.state().clock_mhz == 2400.0 and dram.state().clock_mhz is None


def test_devices_that_nobody_counts_are_refused(tmp_path: Path) -> None:
    write_zone(tmp_path, "intel-rapl:0", "package-0")
    found = find_counters(["rpc:h:1", "Vulkan0", "BLAS"], tmp_path)
    assert [one.source.name for one in found.counters] == ["package"]
    assert [(one.reason, one.source) for one in found.refusals] == [
        ("remote", "rpc:h:1"), ("no_counter", "Vulkan0"),
    ]  # fmt: skip
    found.close()


def test_sysfs_may_be_mounted_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLMPROF_SYSFS_DIR", raising=False)
    assert sysfs_folder() == Path("/sys")
    monkeypatch.setenv("SLMPROF_SYSFS_DIR", "/host/sys")
    assert sysfs_folder() == Path("/host/sys")
