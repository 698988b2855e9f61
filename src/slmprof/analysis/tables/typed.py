"""Tables whose columns have their types also where there is no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd


def typed_table(rows: Sequence[Mapping[str, Any]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    """The rows in the columns of `dtypes`; None is null."""
    table: pd.DataFrame = pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=t) for name, t in dtypes.items()}
    )
    return table
