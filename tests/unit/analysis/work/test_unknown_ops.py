"""A fork's own operators and tensor types: shown under ggml's names, with no work made up."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from builders import example_profile
from reports import data, shown

from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.profiles.vocabulary import VIEWS
from slmprof.views import Profile

WORK = ["flops", "bytes", "weight_bytes", "gflops", "gbps"]


def renamed(profile: Profile, column: str, tensor: str, text: str) -> Profile:
    """The profile with another text in one column of the tensors of this name."""
    strings = (*profile.strings, text)
    values = getattr(profile.tensors, column).copy()
    values[profile.tensors.name == profile.strings.index(tensor)] = len(strings) - 1
    return replace(profile, strings=strings, tensors=profile.tensors.replace(**{column: values}))


def rows_of(profile: Profile, tensor: str) -> pd.DataFrame:
    ops = profile.ops()
    rows: pd.DataFrame = ops[ops["tensor"] == tensor]
    assert set(rows["phase"]) == {"prefill", "decode"}
    return rows


@pytest.fixture
def fork_op() -> Profile:
    """The product that makes the queries is an operator that slmprof has never heard of."""
    return renamed(example_profile(), "op", "Qcur-0", "FORK_OP")


@pytest.fixture
def fork_type() -> Profile:
    """The matrix that makes the queries has such a type."""
    return renamed(example_profile(), "type", "blk.0.attn_q.weight", "q3_FORK")


def test_an_unknown_operator_has_its_name_and_no_work(fork_op: Profile) -> None:
    rows = rows_of(fork_op, "Qcur-0")
    assert set(rows["op"]) == {"FORK_OP"}
    assert set(rows["kernel"]) == {"fork_op"}
    assert set(rows["dtypes"]) == {"q4_K,f32->f32"}
    assert set(rows["block"]) == {"attention"}
    assert rows[WORK].isna().all(axis=None)


def test_an_unknown_type_has_its_name_and_no_work(fork_type: Profile) -> None:
    rows = rows_of(fork_type, "Qcur-0")
    assert set(rows["op"]) == {"MUL_MAT"}
    assert set(rows["dtypes"]) == {"q3_FORK,f32->f32"}
    assert rows[WORK].isna().all(axis=None)
    # What other types feed keeps its figures.
    assert rows_of(fork_type, "result_output")[WORK].notna().all(axis=None)


def test_an_unknown_type_of_a_result_spoils_no_other_op() -> None:
    profile = renamed(example_profile(), "type", "result_output", "q3_FORK")
    assert set(rows_of(profile, "result_output")["dtypes"]) == {"q6_K,f32->q3_FORK"}
    assert rows_of(profile, "result_output")[WORK].isna().all(axis=None)
    assert rows_of(profile, "Qcur-0")[WORK].notna().all(axis=None)


def test_an_unknown_operator_of_a_fused_group_has_its_name() -> None:
    # `attn_norm-0` is the second member of a group of two.
    profile = renamed(example_profile(), "op", "attn_norm-0", "FORK_OP")
    rows = rows_of(profile, "attn_norm-0")
    assert [list(fused) for fused in rows["fused"]] == [["RMS_NORM", "FORK_OP"]] * 2
    assert rows[WORK].isna().all(axis=None)


@pytest.mark.parametrize("name", ["fork_op", "fork_type"])
def test_every_view_and_report_shows_it(name: str, request: pytest.FixtureRequest) -> None:
    profile: Profile = request.getfixturevalue(name)
    times = profile.phases().set_index("phase")["segments_ms.ops"]
    for view in (profile.blocks(), profile.layers(), profile.kernels(), profile.ops()):
        totals = view.groupby("phase")["time_ms"].sum()
        assert totals.to_dict() == pytest.approx(times.to_dict())
    for by in (None, *VIEWS):
        made = break_down(profile, by=by)
        assert "attention" in shown(made) or by is not None
        assert shown(made, is_full=True) and shown(made, "markdown") and shown(made, "csv")
    ops = data(profile)["ops"]
    (row, _) = [op for op in ops if op["tensor"] == "Qcur-0"]
    assert row["op"] == "FORK_OP" or row["dtypes"].startswith("q3_FORK")
    assert row["flops"] is None
    assert row["bytes"] is None
