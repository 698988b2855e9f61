"""BLAS, whose ops hooks tell of: built with GGML_BLAS only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import slmprof
from slmprof import _core
from slmprof.analysis.tables.lanes import lane_table
from slmprof.analysis.tables.splits import split_table
from slmprof.analysis.timing.devices import serialized_devices

ModelMaker = Callable[..., Path]

pytestmark = pytest.mark.skipif(not _core.build_info()["blas"], reason="this build has no BLAS")


@pytest.mark.usefixtures("any_load", "two_cores")
def test_products_of_a_long_prompt_run_there_as_they_would_unobserved(
    small_model: ModelMaker,
) -> None:
    settings = {"n_prompt": 64, "n_gen": 4, "repeats": 2, "ceilings": "off"}
    profile = slmprof.profile(small_model(file_type="F16"), threads=2, **settings)
    assert serialized_devices(profile) == ()
    ops = profile.ops()
    there = ops[ops["device"] == "BLAS"]
    assert set(there["phase"]) == {"prefill"}
    assert set(there["op"]) == {"MUL_MAT"}
    assert set(there["impl"]) == {"cblas_sgemm"}
    lanes = lane_table(profile)
    assert lanes["kind"].tolist() == ["cpu_thread", "cpu_thread", "accelerator"]
    assert lanes["device"].tolist() == ["CPU", "CPU", "BLAS"]
    assert "UNRECORDED" not in set(ops["op"])
    splits = split_table(profile)
    prefill = splits[splits["phase"] == "prefill"]
    assert {"CPU", "BLAS"} == set(prefill["device"])
    assert set(splits[splits["phase"] == "decode"]["device"]) == {"CPU"}
    phases = profile.phases().set_index("phase")
    for phase, mine in ops.groupby("phase"):
        assert mine["time_ms"].sum() == pytest.approx(
            phases.loc[phase, "segments_ms.ops"], rel=1e-9
        )
        assert phases.loc[phase, "attributed_share"] > 0.9
