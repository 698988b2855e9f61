"""Writes the tables of columns in profile-format.md anew, from the schema of the profile.

PYTHONPATH=src python docs/profile_tables.py
"""

from __future__ import annotations

import inspect
import textwrap
from itertools import groupby
from pathlib import Path

from slmprof.profiles.all_tables import TABLES
from slmprof.profiles.schema import Column, Table
from slmprof.profiles.vocabulary import ENUMS

PAGE = Path(__file__).resolve().parent / "profile-format.md"
_BEGIN = "<!-- Written by profile_tables.py from the schema: -->\n"
_END = "<!-- until here. -->\n"


def page() -> str:
    """The text of profile-format.md with its tables of columns as the schema has them."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    return before + _BEGIN + "\n" + "\n".join(map(_table, TABLES)) + "\n" + _END + after


def _table(table: type[Table]) -> str:
    summary, *rest = (inspect.getdoc(table) or "").split("\n\n")
    paragraphs = [f"`{table.NAME}`: {summary[0].lower()}{summary[1:]}", *rest]
    text = "\n\n".join(textwrap.fill(" ".join(p.split()), 100) for p in paragraphs)
    rows = [
        _row(list(columns))
        for _, columns in groupby(table.schema().values(), key=lambda c: (c.dtype, _meaning(c)))
    ]
    head = "| column | type | unit | meaning |\n|---|---|---|---|\n"
    return f"{text}\n\n{head}" + "".join(rows)


def _row(columns: list[Column]) -> str:
    names = [f"`{column.name}`" for column in columns]
    shown = f"{names[0]} … {names[-1]}" if len(names) > 3 else ", ".join(names)
    first = columns[0]
    return f"| {shown} | {first.dtype} | {first.unit} | {_meaning(first)} |\n"


def _meaning(column: Column) -> str:
    what = ""
    if column.is_text:
        what = "text"
    elif column.row_of:
        what = f"row of `{column.row_of}`"
    elif column.within:
        what = f"index among the {column.within} of the graph"
    elif column.enum:
        what = ", ".join(f"{number} {name}" for number, name in enumerate(ENUMS[column.enum]))
    return ": ".join(part for part in (what, column.meaning) if part)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
