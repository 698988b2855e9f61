"""What the processor can do, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

from .files import PROC, proc_value

# The system makes the text while it is read, each processor's in turn: one is enough.
_FIRST_BYTES = 2**13


def processor_flags(proc: Path = PROC) -> frozenset[str]:
    """The flags of the first processor; empty where the system does not tell.

    Args:
        proc: where `/proc` is.
    """
    try:
        with (proc / "cpuinfo").open("rb", buffering=0) as file:
            text = file.read(_FIRST_BYTES).decode("utf-8", "replace")
    except OSError:
        return frozenset()
    return frozenset((proc_value(text, "flags") or proc_value(text, "Features")).split())
