"""The cache folder, and which of its files are used."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from slmprof.errors import SlmprofWarning, UsageError
from slmprof.models.cache import (
    cache_folder,
    close_to_others,
    is_sealed,
    is_trusted,
    locked,
    make_way,
    own_folder,
    seal,
    why_foreign,
)

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def folder(cache: Path) -> Path:
    """The cache folder, made."""
    assert own_folder() == cache
    return cache


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", "/a/b")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert cache_folder() == Path("/a/b")
    monkeypatch.delenv("SLMPROF_CACHE_DIR")
    assert cache_folder() == Path("/c/slmprof")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/slmprof")


def test_a_folder_is_made_for_its_user_alone(cache: Path) -> None:
    before = os.umask(0)
    try:
        assert own_folder("schemes") == cache / "schemes"
    finally:
        os.umask(before)
    assert cache.stat().st_mode & 0o777 == (cache / "schemes").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("below", ["", "schemes"])
def test_a_folder_that_others_can_write_is_refused(cache: Path, below: str) -> None:
    made = own_folder(below)
    assert made == cache / below
    made.chmod(0o777)
    with pytest.raises(UsageError, match=f"chmod go-w {made}.*SLMPROF_CACHE_DIR"):
        own_folder(below)
    made.chmod(0o1777)  # as /tmp
    assert own_folder(below) == made


@needs_root
def test_folders_and_files_of_others_are_seen(cache: Path) -> None:
    path = own_folder() / "file"
    path.touch()
    os.chown(path, NOBODY, NOBODY)
    assert why_foreign(path) == "it belongs to another user"
    os.chown(cache, NOBODY, NOBODY)
    with pytest.raises(UsageError, match="belongs to another user"):
        own_folder()


@needs_root
def test_a_group_of_several_users_counts_as_others(folder: Path) -> None:
    path = folder / "file"
    path.touch()
    path.chmod(0o664)
    os.chown(path, 0, NOBODY)
    assert why_foreign(path) == "other users can write to it"
    os.chown(path, 0, 0)
    assert why_foreign(path) == ""


def link(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (link, "it is a link"),
        (pipe, "it is no regular file"),
        (lambda path: path.chmod(0o666), "other users can write to it"),
        (lambda path: path.write_bytes(b"12"), "it has 2 bytes, not 3"),
    ],
)
def test_what_is_wrong_with_a_file(cache: Path, spoil: Callable[[Path], None], reason: str) -> None:
    path = own_folder() / "file"
    with pytest.raises(FileNotFoundError):
        why_foreign(path)
    path.write_bytes(b"123")
    assert why_foreign(path, 3) == ""
    spoil(path)
    assert why_foreign(path, 3) == reason
    with pytest.warns(SlmprofWarning, match=f"{path} in the cache is made anew: {reason}"):
        make_way(path, reason)
    path.write_bytes(b"123")  # waits for nobody, and goes nowhere else
    assert not (cache / "target").exists() or (cache / "target").read_bytes() == b"123"


def test_an_empty_directory_makes_way_for_a_file(folder: Path) -> None:
    path = folder / "file"
    path.mkdir()
    with pytest.warns(SlmprofWarning, match=f"{path} in the cache is made anew"):
        make_way(path, why_foreign(path))
    path.write_bytes(b"123")


@pytest.mark.filterwarnings("error")
def test_a_directory_with_something_in_it_is_left_and_named(folder: Path) -> None:
    path = folder / "file"
    (path / "own").mkdir(parents=True)
    with pytest.raises(UsageError, match=rf"{path} .*not empty; remove it"):
        make_way(path, why_foreign(path))
    assert (path / "own").is_dir()


def test_a_directory_in_place_of_a_seal_makes_way(folder: Path) -> None:
    path = folder / "library.so"
    path.write_bytes(b"code")
    (folder / "library.so.seal").mkdir()
    with pytest.warns(SlmprofWarning, match="not known"):
        assert not is_sealed(path, "sources")
    seal(path, "sources")
    assert is_sealed(path, "sources")


def test_a_file_is_closed_to_others(folder: Path) -> None:
    path = folder / "file"
    path.touch()
    path.chmod(0o777)
    close_to_others(path)
    assert path.stat().st_mode & 0o777 == 0o755


def test_trusted_files(cache: Path) -> None:
    path = own_folder() / "file"
    assert not is_trusted(path)
    path.touch(0o644)
    assert is_trusted(path)
    cache.chmod(0o777)
    assert not is_trusted(path)


def test_a_sealed_file_is_known_again(folder: Path) -> None:
    path = folder / "library.so"
    assert not is_sealed(path, "sources")
    path.write_bytes(b"code")
    path.chmod(0o775)
    seal(path, "sources")
    assert is_sealed(path, "sources")
    with pytest.warns(SlmprofWarning, match="not what was put there"):
        assert not is_sealed(path, "other sources")


@pytest.mark.parametrize("content", [b"edoc", b"cod", b"", b"code and more"])
def test_a_changed_file_is_not_the_sealed_one(folder: Path, content: bytes) -> None:
    path = folder / "library.so"
    path.write_bytes(b"code")
    seal(path, "sources")
    path.write_bytes(content)
    with pytest.warns(SlmprofWarning, match="not what was put there"):
        assert not is_sealed(path, "sources")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b" " * 5000])
def test_a_damaged_seal_is_none(cache: Path, content: bytes) -> None:
    path = own_folder() / "library.so"
    path.write_bytes(b"code")
    seal(path, "sources")
    (cache / "library.so.seal").write_bytes(content)
    with pytest.warns(SlmprofWarning, match=r"not known|not what was put there"):
        assert not is_sealed(path, "sources")
    (cache / "library.so.seal").unlink()
    with pytest.warns(SlmprofWarning, match="not known"):
        assert not is_sealed(path, "sources")


def test_one_at_a_time(folder: Path) -> None:
    path = folder / "file.so"
    entered = threading.Event()

    def enter() -> None:
        with locked(path):
            entered.set()

    other = threading.Thread(target=enter)
    with locked(path):
        other.start()
        assert not entered.wait(0.05)
    other.join()
    assert entered.is_set()
