"""Runs slmprof as a user does."""

from __future__ import annotations

import subprocess
import sys


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slmprof", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, **options,  # type: ignore[call-overload]
    )  # fmt: skip
