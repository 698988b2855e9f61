"""The native tables against the schema of the profile's, and ggml's types against those of old."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engines import open_engine

from slmprof.profiles.all_tables import TABLES
from slmprof.profiles.storage.history import known_types
from slmprof.profiles.tables import Table, TypeTable
from slmprof.profiles.vocabulary import PASS_OP

ModelMaker = Callable[..., Path]
PROMPT = np.arange(1, 9, dtype=np.int32)


@pytest.mark.parametrize("table", [t for t in TABLES if t.NAME != "places"], ids=lambda t: t.NAME)
def test_native_tables_have_the_columns_of_the_schema(
    table: type[Table], small_model: ModelMaker
) -> None:
    engine = open_engine(small_model())
    engine.prefill(PROMPT, PASS_OP)
    native = dict(engine.take())[table.NAME]
    assert {name: values.dtype for name, values in native.items()} == {
        name: column.dtype for name, column in table.schema().items()
    }


def test_types_are_those_that_older_files_are_read_with(small_model: ModelMaker) -> None:
    chunk = dict(open_engine(small_model()).take())
    types = TypeTable.from_columns(chunk["types"]).by_name(chunk["strings"])
    table, names = known_types(0)
    known = table.by_name(names)
    assert {name: stored for name, stored in types.items() if name in known} == known
    # A source of another version may have more.
    assert all(stored.block_size > 0 and stored.type_size > 0 for stored in types.values())
