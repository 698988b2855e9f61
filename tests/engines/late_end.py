"""Programs of llama.cpp end while a thread of theirs writes the log, whose end is then lost."""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = """
#include <unistd.h>

__attribute__((destructor)) static void wait_for_the_log(void) { sleep(1); }
"""


def late_end(folder: Path) -> Path:
    """A library, made in the folder: a program that preloads it ends a second later."""
    source, library = folder / "late.c", folder / "late.so"
    source.write_text(_SOURCE, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library
