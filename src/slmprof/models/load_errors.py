"""Why llama.cpp did not load a model, from what it said while it tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_MARK = "error loading model"


def explain_load_failure(path: Path, log_lines: Sequence[str], message: str) -> str:
    """llama.cpp's own reason in one line, where its log has one; else the message."""
    for line in reversed(log_lines):
        if _MARK in line:
            reason = line.split(_MARK, 1)[1].lstrip(" :").removeprefix(f"{_MARK}: ")
            return f"{path}: llama.cpp cannot load it: {reason}"
    for line in reversed(log_lines):
        if "gguf_init" in line or "failed" in line:
            return f"{path}: llama.cpp cannot load it: {line.strip()}"
    return message
