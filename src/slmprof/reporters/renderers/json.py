"""A document as JSON; the keys are a contract that other people's scripts build on."""

from __future__ import annotations

import json
from typing import TextIO

from ..documents.parts import Document


def render(document: Document, stream: TextIO) -> None:
    """Writes all values in ASCII, and a newline at the end.

    Texts are data and stay whole: what could steer a terminal is escaped. JSON leaves one such
    character as it is, the last one of ASCII.
    """
    text = json.dumps(document.data(), indent=1, allow_nan=False)
    stream.write(text.replace("\x7f", "\\u007f") + "\n")
