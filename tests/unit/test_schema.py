"""The schema of the tables: what follows from one line a column."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from slmprof.profiles.tables import TABLES
from slmprof.profiles.vocabulary import ENUMS

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = {table.NAME for table in TABLES}


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_format_shows_the_schema() -> None:
    made = script(DOCS / "profile_tables.py").page()
    assert made == (DOCS / "profile-format.md").read_text(encoding="utf-8"), (
        "run PYTHONPATH=src python docs/profile_tables.py"
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.NAME)
def test_columns_refer_to_what_there_is(table: type) -> None:
    for column in table.schema().values():  # type: ignore[attr-defined]
        assert not column.row_of or column.row_of in NAMES
        assert not column.enum or column.enum in ENUMS
        assert column.since == 1 or column.in_version(column.since - 1) != column.in_version(9)
