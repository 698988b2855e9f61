"""What the compiler of a scheme says, also where its status does not arrive."""

from __future__ import annotations

import platform
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmprof.errors import SchemeError
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
