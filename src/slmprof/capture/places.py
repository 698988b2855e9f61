"""Where the tensors lie: the native table of places as columns of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..profiles.tables import PlaceTable

_TEXTS = tuple(name for name, column in PlaceTable.schema().items() if column.is_text)


def numbered_places(
    places: Mapping[str, Any], strings: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The places as columns of a profile, and the texts with those that they refer to."""
    texts = list(strings)
    numbers = {text: number for number, text in enumerate(texts)}
    columns = dict(places)
    for name in _TEXTS:
        for text in places[name]:
            if text not in numbers:
                numbers[text] = len(texts)
                texts.append(text)
        columns[name] = np.array([numbers[text] for text in places[name]], np.int32)
    return columns, texts
