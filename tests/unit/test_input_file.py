"""What is opened for reading: regular files, at once, and of some size if they are read whole."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

import slmprof
from slmprof.input_file import open_input, read_input, read_input_text

SOURCES = Path(slmprof.__file__).parent
# Whatever opens a file by its name.
_OPENING = {"open", "read_text", "read_bytes", "memmap", "fromfile", "loadtxt", "ZipFile", "mmap"}
# What is opened otherwise, by file and call, and why.
_OTHERS = {
    ("input_file.py", "os.open"): "the one way",
    ("system/files.py", "read_text"): "/proc and /sys",
    ("system/processor.py", "open"): "/proc",
    ("models/cache.py", "os.open"): "a lock of its own",
    ("machine/caches.py", "path.read_text"): "/sys",
    ("machine/energy/rapl.py", "path.read_text"): "/sys",
    ("planning/report.py", "read_text"): "/proc",
    ("commands/streams.py", "os.open"): "/dev/null, to write",
    ("profiles/storage/archive.py", "zipfile.ZipFile"): "a stream that is open already",
    ("profiles/storage/archive.py", "archive.open"): "a member of an open archive",
    ("quantization/assembly.py", "target.open"): "the file that it writes",
    ("quantization/quality/costs.py", "np.memmap"): "a temporary file of its own",
    ("quantization/schemes/compiler.py", "_HEADER.read_bytes"): "part of the package",
}


def _openings(path: Path) -> set[str]:
    """The calls in a file that open another one, as they are written."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    methods = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
    found = {ast.unparse(method) for method in methods if method.attr in _OPENING}
    found |= {
        "open" for call in calls if isinstance(call.func, ast.Name) and call.func.id == "open"
    }
    # `Path(...).read_text` counts by its last part.
    return {name.rpartition(".")[2] if "(" in name else name for name in found}


def test_files_are_opened_in_one_way() -> None:
    found = {
        (str(path.relative_to(SOURCES)), name)
        for path in SOURCES.rglob("*.py")
        for name in _openings(path)
    }
    assert found - _OTHERS.keys() == set(), "open it by slmprof.input_file"
    assert _OTHERS.keys() - found == set(), "is not there any more"


def test_the_content_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("äb".encode())
    assert (read_input(path, 3), read_input_text(path, 3)) == ("äb".encode(), "äb")
    with open_input(path) as file:
        assert file.read() == "äb".encode() and not os.get_inheritable(file.fileno())


def test_what_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"abcd")
    (tmp_path / "binary").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name, told in (
        ("long", "long is larger than 3 bytes"),
        ("binary", "binary is not UTF-8 text"),
        ("pipe", "cannot read .*pipe: it is a pipe, not a regular file"),
        ("link", "cannot read .*link: it is a pipe, not a regular file"),
        ("", "it is a directory, not a regular file"),
        ("none", "cannot read .*none: No such file"),
        ("a\0b", "cannot read .*embedded null byte"),
        ("\ud800", "surrogates not allowed"),
    ):
        with pytest.raises(ValueError, match=told):
            read_input_text(tmp_path / name, 3)
    with pytest.raises(ValueError, match="it is a device, not a regular file"):
        read_input(Path("/dev/zero"), 3)


def test_what_takes_the_place_of_a_file_while_it_is_opened_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch()
    stat = Path.stat

    def replace(self: Path, **how: bool) -> os.stat_result:
        found = stat(self, **how)
        self.unlink()
        os.mkfifo(self)
        return found

    monkeypatch.setattr(Path, "stat", replace)
    with pytest.raises(OSError, match="it is a pipe, not a regular file"):
        open_input(path)
