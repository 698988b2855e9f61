"""Rows of a table in the making."""

from __future__ import annotations

from typing import Any

from slmprof.profiles.schema import Table


class Rows:
    """Rows of one table, gathered as dicts; what a row leaves out is 0, or no text."""

    def __init__(self, table: type[Table]) -> None:
        self.table = table
        self.rows: list[dict[str, Any]] = []

    def add(self, **row: Any) -> int:
        self.rows.append(row)
        return len(self.rows) - 1

    def columns(self) -> dict[str, Any]:
        return {
            name: [row.get(name, -1 if column.is_text else 0) for row in self.rows]
            for name, column in self.table.schema().items()
        }

    def build(self) -> Any:
        return self.table.from_columns(self.columns())
