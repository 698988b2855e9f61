"""Files that are read whole: regular ones, of some size, in UTF-8."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmprof.settings.input_file import read_input, read_input_text


def test_the_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("äb".encode())
    assert (read_input(path, 3), read_input_text(path, 3)) == ("äb".encode(), "äb")


def test_what_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"abcd")
    (tmp_path / "binary").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe")
    for name, told in (
        ("long", "long is larger than 3 bytes"),
        ("binary", "binary is not UTF-8 text"),
        ("pipe", "pipe is not a regular file"),
        ("", "is not a regular file"),
        ("none", "cannot read .*none: No such file"),
        ("a\0b", "cannot read .*embedded null byte"),
    ):
        with pytest.raises(ValueError, match=told):
            read_input_text(tmp_path / name, 3)
    with pytest.raises(ValueError, match="not a regular file"):
        read_input(Path("/dev/zero"), 3)
