"""What the compiler of a scheme says, also where its status does not arrive."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmprof.errors import SchemeError
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
