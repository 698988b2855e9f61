"""Values that callers give by mistake, for whatever is asked of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from slmprof.errors import SlmprofError


class Unshowable:
    """Not even its `repr` can be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class BytesPath:
    """A path in bytes."""

    def __fspath__(self) -> bytes:
        return b"model.gguf"


def wrong_values() -> list[Any]:
    """Each of them is wrong for nearly everything."""
    return [
        None, True, False, 0, -1, 2**31, 2**40, 2**63, 2**64, -(2**70), 10**400, 10**5000, 1.5,
        -0.5, math.nan, math.inf, -math.inf, 1j, "", " ", "no", "5", "\0", "\ud800",
        "x" * 300, b"model.gguf", b"", bytearray(b"x"), [], [None], [""], ["no", 5], (1, "x"),
        [[1], [1, 2]], {}, {"a": 1}, {1, 2}, object(), Unshowable(), BytesPath(), Path, int, len,
        lambda: None, range(3), itertools.count(), np.array([1, 2]), np.int64(3), np.bool_(True),
        np.float32(2.5), ...,
    ]  # fmt: skip


def check_told(error: SlmprofError, *names: str) -> None:
    """Asserts that an error is one line, not long, and names one of these."""
    text = str(error)
    assert len(text.splitlines()) == 1 and len(text) < 600, text
    assert any(name in text for name in names), (text, names)
