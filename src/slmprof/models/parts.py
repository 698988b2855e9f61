"""The files of a model, of which a split one has several."""

from __future__ import annotations

import re
from pathlib import Path

_FIRST_PART = re.compile(r"(.*)-00001-of-(\d{5})\.gguf", re.DOTALL)
_MOST_PARTS = 10_000


def model_parts(path: Path) -> list[Path]:
    """The files of a model: the file itself, or all parts of the split model that it begins."""
    match = _FIRST_PART.fullmatch(str(path))
    if match is None:
        return [path]
    stem, count = match[1], max(min(int(match[2]), _MOST_PARTS), 1)
    return [path, *(Path(f"{stem}-{i:05d}-of-{count:05d}.gguf") for i in range(2, count + 1))]
