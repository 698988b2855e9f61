"""Tables as users get them: dtypes of one kind, and cells that can be hashed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from builders import Builder, with_custom_type
from ceilings_builder import example_ceilings
from depth_builder import profile_at
from memory_builder import with_memory

from slmprof.analysis.tables.published import hashable, published
from slmprof.profiles.records.meta import Meta
from slmprof.views import Profile

DTYPES = {"string", "Int64", "Float64", "boolean"}


def _views() -> list[str]:
    """Every public method of a profile that gives a table."""
    methods = inspect.getmembers(Profile, inspect.isfunction)
    return [
        name
        for name, method in methods
        if not name.startswith("_") and "DataFrame" in str(method.__annotations__.get("return"))
    ]


def _empty() -> Profile:
    return Builder().build()


def _bounded() -> Profile:
    profile = with_memory()
    meta = {**profile.meta.to_json(), "ceilings": example_ceilings().to_json()}
    return with_custom_type(replace(profile, meta=Meta.from_json(meta)))


PROFILES: dict[str, Callable[[], Profile]] = {
    "empty": _empty,
    "with memory": with_memory,
    "with ceilings": _bounded,
    "of several depths": lambda: profile_at((0, 512, 1024)),
}


def test_there_is_a_table_for_everything_that_a_report_shows() -> None:
    assert set(_views()) >= {
        "phases", "blocks", "parts", "layers", "layer_flags", "kernels", "ops", "waits",
        "diagnosis", "memory", "resident", "caches", "tensor_places", "depth_costs", "depth_fits",
    }  # fmt: skip


@pytest.mark.usefixtures("by_name")
@pytest.mark.parametrize("of", PROFILES)
@pytest.mark.parametrize("view", _views())
def test_every_column_is_nullable_or_of_tuples_and_can_be_grouped_by(view: str, of: str) -> None:
    table = getattr(PROFILES[of](), view)()
    assert isinstance(table, pd.DataFrame)
    for name, column in table.items():
        if str(column.dtype) == "object":
            assert all(value is None or isinstance(value, tuple) for value in column), name
        else:
            assert str(column.dtype) in DTYPES, name
        assert len(table.groupby(name, dropna=False, sort=False).size()) == column.nunique(
            dropna=False
        )
    assert all(isinstance(row, tuple) and hash(row) is not None for row in _rows(table))


def _rows(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(table.itertuples(index=False, name=None))


@pytest.mark.usefixtures("by_name")
@pytest.mark.parametrize("view", _views())
def test_dtypes_do_not_depend_on_what_was_measured(view: str) -> None:
    found = [getattr(make(), view)().dtypes.to_dict() for make in PROFILES.values()]
    assert all(dtypes == found[0] for dtypes in found)


def test_tables_are_copies(profile: Profile) -> None:
    for view in _views():
        table = getattr(profile, view)()
        if len(table):
            table.iloc[:, 0] = None
            assert not getattr(profile, view)().equals(table), view


def test_kernels_tell_which_code_ran(profile: Profile) -> None:
    kernels = profile.kernels().set_index(["phase", "kernel", "impl"])
    assert kernels.loc[("prefill", "mul_mat_q", "repack gemv_q4_K_8x8_q8_K"), "time_ms"] == 10.0
    assert profile.kernels()["share"].sum() == pytest.approx(2.0)


def test_memory_is_predicted_allocated_and_resident() -> None:
    memory = with_memory().memory().set_index(["kind", "buffer_type"])
    assert list(memory.columns) == [
        *("device", "size_bytes", "predicted_bytes", "allocated_bytes", "resident_bytes"),
    ]
    mib = memory.loc[[("weights", "CPU_Mapped"), ("compute", "CPU")]].drop(columns="device")
    assert (mib / 2**20).to_numpy().tolist() == [[3.0, 3.0, 3.0, 3.0], [0.5, 0.5, 0.5, 0.25]]
    # Where nothing was observed, nothing is said of it.
    unseen = with_memory(observations=[]).memory()
    assert unseen["resident_bytes"].isna().all() and unseen["size_bytes"].notna().all()


def test_caches_say_which_layers_they_are_of() -> None:
    (cache,) = with_memory().caches().to_dict("records")
    assert (cache["layers"], cache["types"], cache["n_cells"]) == ((0,), ("f16",), 64)
    assert with_memory().caches()["n_swa"].isna().all()


@pytest.mark.usefixtures("by_name")
def test_findings_and_flags_have_their_figures_in_columns() -> None:
    found = _bounded().diagnosis()
    limits = found[found["topic"] == "limit"]
    assert limits["phase"].tolist() == ["prefill", "decode"]
    assert dict(limits["shares"].iloc[0])[limits["bound"].iloc[0]] == limits["share"].iloc[0]
    flags = _bounded().layer_flags()
    assert list(flags.columns)[:4] == ["phase", "layers", "block", "kind"]
    assert {"window", "usual_window", "time_ratio", "ratio"} <= set(flags.columns)


def test_what_holds_several_values_becomes_pairs() -> None:
    assert hashable({"a": [1, 2], "b": {"c": 1.0}}) == (("a", (1, 2)), ("b", (("c", 1.0),)))
    table = published(pd.DataFrame({"n_depth": [1], "x": [float("nan")], "shape": [(1, 2)]}))
    assert table.loc[0, "x"] is pd.NA and table.dtypes.astype(str).tolist() == [
        *("Int64", "Float64", "object"),
    ]
