"""Libraries of schemes in the cache are code: what is not known to be one is never loaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slmprof.errors import SlmprofWarning, UsageError
from slmprof.quantization.schemes.compiler import compiled, sources_digest
from slmprof.quantization.schemes.loading import load_scheme

SOURCE = Path(__file__).parents[3] / "examples" / "schemes" / "q4_0.c"
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    return make()


def make() -> Path:
    return compiled(SOURCE, sources_digest(SOURCE))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere.so"))
    path.symlink_to("elsewhere.so")


def lose_seal(path: Path) -> None:
    path.with_name(f"{path.name}.seal").unlink()


@pytest.mark.parametrize(
    "spoil", [damage, empty, link, lose_seal, lambda path: path.chmod(0o777)]
)  # fmt: skip
def test_a_foreign_library_is_compiled_anew(library: Path, spoil: Callable[[Path], None]) -> None:
    content = library.read_bytes()
    stamp = library.stat().st_mtime_ns
    assert make() == library and library.stat().st_mtime_ns == stamp
    spoil(library)
    with pytest.warns(SlmprofWarning, match="made anew"):
        assert make() == library
    assert not library.is_symlink() and len(library.read_bytes()) == len(content)
    assert library.stat().st_mode & 0o022 == 0
    assert load_scheme(f"{SOURCE}:q4_0_again").info.block_size


def test_a_folder_that_others_can_write_is_refused(library: Path) -> None:
    library.parent.chmod(0o777)
    with pytest.raises(UsageError, match="chmod go-w"):
        make()


def test_the_umask_lets_nobody_in(library: Path) -> None:
    library.unlink()
    before = os.umask(0)
    try:
        assert make() == library
    finally:
        os.umask(before)
    assert library.stat().st_mode & 0o022 == 0
    assert make() == library
