"""What the compiler of a scheme says, also where its status does not arrive."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmprof.children.program import Limits
from slmprof.errors import SchemeError, UsageError
from slmprof.quantization.schemes import compiler as compiler_module
from slmprof.quantization.schemes.compiler import compiled, sources_digest


@pytest.fixture(params=["left alone", "ignored"])
def statuses(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the program does with the statuses of its children."""
    before = signal.getsignal(signal.SIGCHLD)
    if request.param == "ignored":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("statuses")
def test_a_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler, source, cache = tmp_path / "cc", tmp_path / "mine.c", tmp_path / "cache"
    compiler.write_text("#!/bin/sh\necho 'sizes.h: No such file' >&2\nexit 1\n")
    compiler.chmod(0o700)
    source.write_text('#include "sizes.h"\n')
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(cache))
    with pytest.raises(SchemeError, match=r"(?s)does not compile.*sizes\.h: No such file"):
        sources_digest(source)
    with pytest.raises(SchemeError, match=r"(?s)does not compile.*sizes\.h: No such file"):
        compiled(source, "digest")
    # The lock stays: whoever waits for it has it open.
    assert [path.suffix for path in (cache / "schemes").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("machine", "native"), [("x86_64", "-march=native"), ("aarch64", "-mcpu=native")]
)
def test_it_is_compiled_for_this_processor_and_again_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, native: str
) -> None:
    compiler, source, told = tmp_path / "cc", tmp_path / "mine.c", tmp_path / "told"
    # The name of the library is the argument after -o.
    compiler.write_text(
        f'#!/bin/sh\necho "$*" >>{told}\n'
        'while [ $# -gt 1 ]; do [ "$1" = -o ] && : >"$2"; shift; done\n'
    )
    compiler.chmod(0o700)
    source.write_text("")
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(platform, "machine", lambda: machine)
    processors = {"one": frozenset({"fp"}), "better": frozenset({"fp", "dotprod"})}
    made = []
    for name, flags in processors.items():
        monkeypatch.setattr(compiler_module, "cpu_name", lambda name=name: name)
        monkeypatch.setattr(compiler_module, "processor_flags", lambda flags=flags: flags)
        made += [compiled(source, "digest"), compiled(source, "digest")]
    assert made[0] == made[1] != made[2] == made[3]
    compiled_with = [line for line in told.read_text().splitlines() if " -o " in line]
    assert len(compiled_with) == len(processors)
    assert all(native in line.split() for line in compiled_with)


needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")


def including(folder: Path, what: Path) -> Path:
    (folder / "mine.c").write_text(f'#include "{what}"\n')
    return folder / "mine.c"


@needs_compiler
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux")
def test_a_device_without_an_end_is_not_read_for_long(tmp_path: Path) -> None:
    # gcc reads it, clang takes it for empty.
    with pytest.raises((SchemeError, UsageError), match=r"a regular file|not a regular") as raised:
        sources_digest(including(tmp_path, Path("/dev/zero")))
    assert len(str(raised.value).splitlines()) == 1


@needs_compiler
def test_a_pipe_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.h")
    monkeypatch.setattr(compiler_module, "_TO_LIST", Limits(2.0, 2 << 30))
    with pytest.raises(SchemeError) as raised:
        sources_digest(including(tmp_path, tmp_path / "pipe.h"))
    assert str(raised.value) == (
        "mine.c: the compiler takes more than 2 s; is all that the file includes a regular file?"
    )


@pytest.mark.parametrize(
    "said", ["cc1: out of memory allocating 64 bytes", "virtual memory exhausted: Cannot allocate"]
)
def test_a_compiler_without_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    compiler, source = tmp_path / "cc", tmp_path / "mine.c"
    compiler.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    compiler.chmod(0o700)
    source.write_text("")
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(SchemeError) as raised:
        compiled(source, "digest")
    assert str(raised.value) == (
        "mine.c: the compiler runs out of memory, of which it may have 4 GiB"
    )
