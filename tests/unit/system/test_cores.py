"""How many cores a process may use: its affinity, and the quotas of its control groups."""

from __future__ import annotations

import os

import pytest

from slmprof.system import control_group, cores


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 8),
        ("0::/\n", {}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        # A part of a core is none, but for the only one.
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        # The least of the groups on the way up.
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "500000 100000\n"}, 3),
        # In a container the host's path is not there, but the root is.
        ("0::/host/path\n", {"cpu.max": "200000 100000\n"}, 2),
        (
            "4:cpu,cpuacct:/a\n1:name=systemd:/a\n0::/\n",
            {"cpu/a/cpu.cfs_quota_us": "150000\n", "cpu/a/cpu.cfs_period_us": "50000\n"},
            3,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "0\n"}, 8),
        ("nonsense\n\n:\n", {"cpu.max": "what is this"}, 8),
    ],
)
def test_the_cores_of_affinity_and_quota(
    monkeypatch: pytest.MonkeyPatch, groups: str, files: dict[str, str], expected: int
) -> None:
    known = {"/proc/self/cgroup": groups}
    known |= {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}
    monkeypatch.setattr(control_group, "read", lambda path: known.get(path, ""))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.usable_cores() == expected


def test_no_more_threads_than_ggml_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable_cores", lambda: 768)
    assert cores.default_threads() == 512


def test_what_is_said_of_too_few_cores() -> None:
    assert cores.oversubscription(2, 2) is None
    assert str(cores.oversubscription(3, 2)).startswith("3 threads oversubscribe 2 cores: ")
    assert str(cores.oversubscription(3, 1)).startswith("3 threads oversubscribe 1 core: ")
