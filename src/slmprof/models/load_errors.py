"""Why llama.cpp did not load a model, from what it said while it tried."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_MARK = "error loading model"
# Of these llama.cpp says only which file it was; what is wrong with it stands in an earlier line.
_PART = "failed to load GGUF split from "
_WHOLE = "failed to load model from "
# What slmprof itself refuses while llama.cpp makes a context: csrc/kernels/computable.cpp.
_NO_KERNEL = "no kernel computes"
_OF_HEADER = re.compile(r"^gguf_init_from_\w+: (.*)")


def explain_load_failure(path: Path, log_lines: Sequence[str], message: str) -> str:
    """llama.cpp's own reason in one line, where its log has one; else the message."""
    for line in reversed(log_lines):
        if _MARK in line:
            reason = line.split(_MARK, 1)[1].lstrip(" :").removeprefix(f"{_MARK}: ")
            return f"{path}: llama.cpp cannot load it: {_with_cause(reason, log_lines)}"
    if _NO_KERNEL in message:
        return f"{path}: {message}"
    for line in reversed(log_lines):
        if "gguf_init" in line or "failed" in line:
            return f"{path}: llama.cpp cannot load it: {line.strip()}"
    return message


def _with_cause(reason: str, log_lines: Sequence[str]) -> str:
    """The reason; of a header that could not be read, with what is wrong with it."""
    # The first line names the key or tensor, those behind it only the table that it stands in.
    found = next(filter(None, map(_OF_HEADER.match, log_lines)), None)
    if found is None or (_PART not in reason and _WHOLE not in reason):
        return reason
    cause = found[1].strip()
    if _PART not in reason:
        return f"its header is damaged or cut short: {cause}"
    part = Path(reason.split(_PART, 1)[1]).name
    if "(No such file" in cause:
        return f"{part}, a part of the split model, is missing"
    return f"{part}, a part of the split model, cannot be read: {cause}"
