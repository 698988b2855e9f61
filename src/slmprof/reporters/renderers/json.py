"""A document as JSON; the keys are a contract that other people's scripts build on."""

from __future__ import annotations

import json
from typing import TextIO

from ..documents.parts import Document


def render(document: Document, stream: TextIO) -> None:
    """Writes all values, and a newline at the end."""
    stream.write(json.dumps(document.data(), indent=1, allow_nan=False) + "\n")
