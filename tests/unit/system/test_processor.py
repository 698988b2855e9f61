"""What Linux tells of the processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmprof.system.processor import processor_flags


@pytest.mark.parametrize("key", ["flags\t\t", "Features\t"])
def test_flags_are_those_of_the_first_processor(tmp_path: Path, key: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{key}: fp asimd\n\n{key}: other\n")
    assert processor_flags(tmp_path) == {"fp", "asimd"}
    assert processor_flags(tmp_path / "nowhere") == frozenset()


def test_of_many_processors_only_the_first_is_read(tmp_path: Path) -> None:
    text = "".join(f"processor\t: {i}\nflags\t\t: fpu avx2\n\n" for i in range(1000))
    (tmp_path / "cpuinfo").write_text(text + "\xff")
    assert processor_flags(tmp_path) == {"fpu", "avx2"}
