"""Probes of the folders that slmprof writes into."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from ceilings_builder import FINGERPRINT, example_ceilings
from device_ceilings_builder import example_device_ceilings
from subject_builder import GIB, example_facts, put, quiet_machine

from slmprof.machine.ceilings import cache_path
from slmprof.machine.doctor import storage
from slmprof.machine.doctor.answers import Failure
from slmprof.machine.doctor.records import Outcome
from slmprof.machine.doctor.subject import Subject
from slmprof.profiles.records.ceilings import write_ceilings
from slmprof.profiles.records.device_ceilings import write_device_ceilings

MIB = 2**20
OLD = time.time() - 3 * 24 * 3600


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, which is there and empty."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets what is free on every disk."""

    def set_free(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GIB, 0, free))

    set_free(10 * GIB)
    return set_free


def look(probe: Callable[[Subject], Outcome | None], subject: Subject) -> Outcome:
    found = probe(subject)
    assert found is not None and (found.remedy is None) is (found.state == "ok")
    return found


def test_a_cache_folder_with_room_is_well(
    tmp_path: Path, cache: Path, disk: Callable[[int], None]
) -> None:
    subject = quiet_machine(tmp_path)
    assert look(storage.cache_folder, subject).found == f"{cache}: 10.0 GiB free on its disk"
    disk(900 * MIB)
    found = look(storage.cache_folder, subject)
    assert (
        found.state == "unfavourable" and "900 MiB free on its disk, which is less" in found.found
    )


@pytest.mark.usefixtures("disk")
@pytest.mark.usefixtures("disk")
def test_a_cache_folder_that_others_can_write_is_broken(tmp_path: Path, cache: Path) -> None:
    cache.chmod(0o777)
    found = look(storage.cache_folder, quiet_machine(tmp_path))
    assert found.state == "broken" and f"chmod go-w {cache}" in (found.remedy or "")


def test_a_cache_folder_may_still_have_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "a/b/c"))
    assert look(storage.cache_folder, quiet_machine(tmp_path)).state == "ok"
    assert not (tmp_path / "a").exists()


def test_a_cache_folder_that_cannot_be_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = quiet_machine(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "file/below"))
    found = look(storage.cache_folder, subject)
    assert found.state == "broken" and "cannot be written" in found.found
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert look(storage.cache_folder, subject).state == "broken"
    monkeypatch.setattr(Path, "expanduser", lambda _: (_ for _ in ()).throw(RuntimeError()))
    found = look(storage.cache_folder, subject)
    assert found == ("broken", "no home folder is known", "set SLMPROF_CACHE_DIR to a folder")


@pytest.mark.usefixtures("disk")
def test_what_killed_runs_left_is_named(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = quiet_machine(tmp_path)
    for name in (".slmprof-12-0.tmp", ".ceilings.json.x.tmp"):
        (cache / name).touch()
    assert "seems" not in look(storage.cache_folder, subject).found  # a run may be writing them
    os.utime(cache / ".slmprof-12-0.tmp", (OLD, OLD))
    found = look(storage.cache_folder, subject)
    assert found.state == "ok" and found.found.endswith("as it seems: .slmprof-12-0.tmp")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("slmprof-sources", *(f"slmprof-abcdef_{i}" for i in range(5))):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (OLD, OLD))
    found = look(storage.temporary_folder, subject)
    assert found.state == "ok"
    assert found.found.endswith("slmprof-abcdef_0, slmprof-abcdef_1, slmprof-abcdef_2 and 2 more")


@pytest.mark.parametrize(
    ("free", "state"), [(GIB, "ok"), (100 * MIB, "unfavourable"), (MIB, "broken")]
)
def test_a_temporary_folder_without_room(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    disk: Callable[[int], None],
    free: int,
    state: str,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    disk(free)
    assert look(storage.temporary_folder, quiet_machine(tmp_path)).state == state


def test_no_temporary_folder_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    found = look(storage.temporary_folder, quiet_machine(tmp_path))
    assert found.state == "broken" and "No usable temporary directory" in found.found


@pytest.mark.usefixtures("cache")
def test_ceilings_of_here_and_of_elsewhere(tmp_path: Path) -> None:
    subject = quiet_machine(tmp_path)
    assert look(storage.ceilings, subject).found == "none for this machine yet"
    other = FINGERPRINT.replace(cpu="Another CPU")
    for n_threads, fingerprint in ((1, FINGERPRINT), (2, FINGERPRINT), (2, other)):
        made = example_ceilings(n_threads=n_threads, fingerprint=fingerprint)
        write_ceilings(made, cache_path(n_threads, fingerprint))
    found = look(storage.ceilings, subject)
    assert found.state == "ok" and found.found == (
        "kept for 1, 2 threads; 1 of other machines or builds, which no run looks at"
    )


def test_ceilings_that_are_not_to_be_trusted(tmp_path: Path, cache: Path) -> None:
    module = tmp_path / "_core.so"
    module.touch()
    subject = quiet_machine(tmp_path, build=example_facts(path=str(module)))
    path = cache_path(2, FINGERPRINT)
    recent, again = "2999-01-01T00:00:00+00:00", "`slmprof roofline --threads 2 --refresh`"
    for changes, said, remedy in (
        ({}, "those of 2 threads were disturbed", again),
        ({"is_disturbed": False, "measured_at": "2001-01-01T00:00:00+00:00"}, "older than", again),
        ({"fingerprint": FINGERPRINT.replace(cpu="x")}, "is of another machine or build", again),
    ):
        values = {"measured_at": recent, "is_disturbed": True, **changes}
        write_ceilings(example_ceilings(**values), path)
        found = look(storage.ceilings, subject)
        assert found.state == "unfavourable" and said in found.found and found.remedy == remedy
    path.write_text("{")
    (cache / "ceilings-1-device.json").write_text("[]")
    found = look(storage.ceilings, subject)
    assert "ceilings-1-device.json is damaged" in found.found
    assert found.remedy == f"`rm {cache / 'ceilings-1-device.json'}`; `rm {path}`" or (
        found.remedy == f"`rm {path}`; `rm {cache / 'ceilings-1-device.json'}`"
    )


def test_ceilings_of_gpus_hold_for_their_driver(tmp_path: Path, cache: Path) -> None:
    subject = quiet_machine(tmp_path)
    made = example_device_ceilings(75)
    write_device_ceilings(made, cache / "ceilings-1-device.json")
    assert "1 of other machines or builds" in look(storage.ceilings, subject).found
    release = made.fingerprint.driver
    put(subject.proc, {"driver/nvidia/version": f"NVRM version: Module {release}  Release\n"})
    assert "1 of GPUs" in look(storage.ceilings, subject).found


def test_without_the_module_ceilings_are_not_judged(tmp_path: Path) -> None:
    assert storage.ceilings(quiet_machine(tmp_path, build=Failure("it is not there"))) is None


def test_models_are_counted_and_looked_at(tmp_path: Path, cache: Path) -> None:
    subject = quiet_machine(tmp_path)
    assert look(storage.models, subject).found == "none yet"
    (cache / "a.gguf").write_bytes(b"GGUF" + bytes(3 * MIB))
    assert look(storage.models, subject).found == "1 file, 3 MiB"
    (cache / "b c.gguf").write_bytes(b"GG")
    found = look(storage.models, subject)
    assert found.state == "unfavourable" and found.found == "2 files, 3 MiB; damaged: b c.gguf"
    assert found.remedy == f"`rm '{cache / 'b c.gguf'}'`; a run that needs one makes it anew"
