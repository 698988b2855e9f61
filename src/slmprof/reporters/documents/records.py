"""Rows of a DataFrame as plain Python values."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ...profiles.records.decoding import finite


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One dict a row; null, NaN and infinity become None."""
    values: list[dict[Any, Any]] = rows.astype(object).to_dict("records")
    return [
        {str(key): None if value is pd.NA else finite(value) for key, value in row.items()}
        for row in values
    ]
