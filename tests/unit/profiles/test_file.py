"""The profile file: round trip, refusals, and what a failed write leaves."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import example_profile

import slmprof
from slmprof.errors import ProfileFormatError, UsageError
from slmprof.profiles.all_tables import TABLES
from slmprof.profiles.records.meta import FORMAT_VERSION
from slmprof.profiles.storage import archive
from slmprof.profiles.storage.file import check_writable, load, save
from slmprof.settings.resolved import ResolvedConfig
from slmprof.views import Profile


def assert_same(a: Profile, b: Profile) -> None:
    assert a.meta == b.meta
    assert a.strings == b.strings
    for table in TABLES:
        for name, column in getattr(a, table.NAME).columns().items():
            other = getattr(b, table.NAME).columns()[name]
            assert column.dtype == other.dtype
            np.testing.assert_array_equal(column, other, err_msg=f"{table.NAME}.{name}")


def test_round_trip(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "run.slmprof"
    profile.save(path)
    again = slmprof.load(path)
    assert_same(profile, again)
    for view in ("phases", "blocks", "layers", "kernels", "ops", "memory"):
        pd.testing.assert_frame_equal(getattr(again, view)(), getattr(profile, view)())
    assert [p.name for p in tmp_path.iterdir()] == ["run.slmprof"]


def test_numpy_alone_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "run.slmprof"
    example_profile().save(path)
    with np.load(path, allow_pickle=False) as members:
        assert members["meta"].dtype == np.uint8
        assert members["steps.pass"].tolist() == example_profile().steps.pass_.tolist()
        names = {f"{t.NAME}.{column}" for t in TABLES for column in t.schema()}
        assert set(members.files) == {"meta", *names}


def test_equal_profiles_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        example_profile().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_numbers_that_json_has_not_become_null(tmp_path: Path) -> None:
    profile = example_profile()
    config = ResolvedConfig.from_json({"timeout": float("nan")})
    replace(profile, meta=profile.meta.replace(config=config)).save(tmp_path / "p")
    config = load(tmp_path / "p").meta.config
    assert config.timeout is None and config.n_batch is None


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        example_profile().save(tmp_path / "p")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o640


def test_an_old_file_is_replaced_through_its_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    example_profile().save(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    load(tmp_path / "real")


@pytest.mark.parametrize("write", [lambda path: save(example_profile(), path), check_writable])
def test_unwritable_places(write: Callable[[Any], None], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is a directory"):
        write(tmp_path)
    with pytest.raises(UsageError, match="there is no folder"):
        write(tmp_path / "none" / "p")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"there is no folder|Not a directory"):
        write(tmp_path / "file" / "p")
    with pytest.raises(UsageError, match="device or a pipe"):
        write(os.devnull)
    with pytest.raises(UsageError, match=r"null byte|null character"):
        write("a\0b")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        check_writable(tmp_path / "p")
    tmp_path.chmod(0o700)


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p"
    path.write_text("old")

    def no_space(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(archive, "_write_member", no_space)
    with pytest.raises(UsageError, match="No space left on device; free some space"):
        example_profile().save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
    assert path.read_text() == "old"


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "_write_member", interrupt)
    with pytest.raises(KeyboardInterrupt):
        example_profile().save(tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none")
    with pytest.raises(UsageError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(UsageError, match="'' is not the file of a profile"):
        slmprof.load("")
    with pytest.raises(UsageError, match=r"null byte|null character"):
        load("a\0b")


def test_newer_version_names_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "p"
    newer = FORMAT_VERSION + 1
    meta = {"format": "slmprof-profile", "format_version": newer, "slmprof": {"version": "9.1"}}
    archive.write_archive(path, meta, {}, durable=False)
    with pytest.raises(ProfileFormatError, match=rf"by slmprof 9\.1 in format version {newer}"):
        load(path)


@pytest.mark.parametrize("version", ["1", None, True, 0, 1.5, -1])
def test_versions_that_are_none(version: Any, tmp_path: Path) -> None:
    meta = {"format": "slmprof-profile", "format_version": version}
    archive.write_archive(tmp_path / "p", meta, {}, durable=False)
    with pytest.raises(ProfileFormatError, match="version is not a number"):
        load(tmp_path / "p")
