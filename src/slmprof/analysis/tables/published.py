"""Tables as users get them: one kind of dtypes throughout, and cells that can be hashed.

Within the analysis a table has numpy's dtypes, which are faster to compute with. What leaves it has
pandas' nullable ones: `string`, `Int64`, `Float64` and `boolean`, with `pandas.NA` for what is
null, and `object` for tuples.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

import pandas as pd

from ...profiles.records.decoding import Record
from .typed import typed_table

# Columns of tuples, wherever they stand; None is null.
TUPLES: frozenset[str] = frozenset(("shape", "fused", "types", "layers"))
_BY_TYPE: dict[Any, str] = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}


def published(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of a table in nullable dtypes."""
    made: pd.DataFrame = table.astype({n: _dtype(str(n), column) for n, column in table.items()})
    return made


def _dtype(name: str, column: pd.Series) -> str:
    kinds = pd.api.types
    if name in TUPLES:
        return "object"
    if kinds.is_bool_dtype(column.dtype):
        return "boolean"
    if kinds.is_integer_dtype(column.dtype):
        return "Int64"
    return "Float64" if kinds.is_float_dtype(column.dtype) else "string"


def figure_table(
    dtypes: Mapping[str, str],
    rows: Sequence[tuple[Mapping[str, Any], Record]],
    kinds: Any,
) -> pd.DataFrame:
    """Records of several kinds as one table, published.

    Args:
        dtypes: the columns before the figures.
        rows: of each record what stands in these columns, and the record.
        kinds: the union of all kinds of records, whose subclasses count, too; each field of one is
            a column, null in rows of others. What holds several values is a tuple, of (key, value)
            pairs where they have names.
    """
    figures: dict[str, str] = {}
    for kind in _with_subclasses(get_args(kinds)):
        hints = get_type_hints(kind)
        for name in kind.__struct_fields__:
            if name not in dtypes:
                dtype = _dtype_of_hint(hints[name])
                figures[name] = dtype if figures.get(name, dtype) == dtype else "object"
    made = [
        {
            **dict.fromkeys(figures),
            **{n: hashable(getattr(record, n)) for n in record.__struct_fields__ if n in figures},
            **before,
        }
        for before, record in rows
    ]
    return typed_table(made, {**dtypes, **figures})


def _with_subclasses(kinds: Iterable[type[Record]]) -> Iterator[type[Record]]:
    for kind in kinds:
        yield kind
        yield from _with_subclasses(kind.__subclasses__())


def _dtype_of_hint(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [one for one in get_args(hint) if one is not type(None)]
        return _dtype_of_hint(rest[0]) if len(rest) == 1 else "object"
    return _BY_TYPE.get(hint, "object")


def hashable(value: Any) -> Any:
    """A value as a cell: lists as tuples, mappings and records as tuples of (key, value) pairs."""
    if isinstance(value, Record):
        return tuple((name, hashable(getattr(value, name))) for name in value.__struct_fields__)
    if isinstance(value, Mapping):
        return tuple((key, hashable(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(hashable, value))
    return value
