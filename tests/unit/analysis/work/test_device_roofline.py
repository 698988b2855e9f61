"""The roofs of ops that ran on a CUDA device: those of that device, and of no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import EXECUTED
from ceilings_builder import example_ceilings
from device_builder import DeviceBuilder
from device_ceilings_builder import MIB, example_device_ceilings

from slmprof.analysis.work.roofline import SHARES, add_device_bounds
from slmprof.views import Profile

STREAMED = {"prefill": 100.0 * MIB, "decode": 100.0 * MIB}
PRODUCT: dict[str, Any] = {
    "phase": "decode",
    "op": "MUL_MAT",
    "kernel": "mul_mat_vec_q",
    "impl": "mul_mat_vec_q<Q4_K, 1>",
    "part": "gate_up",
    "block": "ffn",
    "dtypes": "q4_K,f32->f32",
    "shape": (1000,),
    "calls": 1.0,
    "time_ms": 1.0,
    "compute_ms": 1.0,
    "wait_ms": 0.0,
    "slowest_ms": 1.0,
    "flops": 4e8,
    "bytes": 4.5e8,
    "weight_bytes": 4.5e8,
}


def judged(*rows: dict[str, Any], lacks: tuple[str, ...] = (), **more: Any) -> Any:
    table = pd.DataFrame([{**PRODUCT, **row} for row in rows])
    ceilings = example_device_ceilings(lacks=lacks)
    return add_device_bounds(table, ceilings, step_bytes=more.get("step_bytes", STREAMED))


def test_a_product_that_reads_as_fast_as_memory_gives_is_bound_by_it() -> None:
    row = judged({}).iloc[0]
    assert row["memory_share"] == pytest.approx(0.9)  # 450 of 500 GB/s
    assert row["compute_share"] == pytest.approx(0.01)  # 0.4 of 40 TFLOP/s
    assert np.isnan(row["kernel_share"])
    assert row["ceiling_share"] == pytest.approx(0.9)
    assert row["bound"] == "memory"


def test_a_model_that_the_last_cache_holds_is_bound_by_that() -> None:
    small = {"bytes": 1.8e9, "weight_bytes": 1.8e9}
    row = judged(small, step_bytes={"decode": 3.0 * MIB}).iloc[0]
    assert row["memory_share"] == pytest.approx(0.9) and row["bound"] == "cache"


def test_a_prompt_is_bound_by_the_tensor_cores() -> None:
    prompt = {
        "phase": "prefill", "kernel": "mul_mat_q", "impl": "mul_mat_q<Q4_K, 64>",
        "shape": (1000, 512), "flops": 2.6e11, "bytes": 1e7, "weight_bytes": 1e7,
    }  # fmt: skip
    row = judged(prompt).iloc[0]
    assert row["compute_share"] == pytest.approx(260 / 320)
    assert row["bound"] == "compute"
    # Without them the same rate exceeds all that the device has.
    row = judged(prompt, lacks=("mma",)).iloc[0]
    assert np.isnan(row["compute_share"]) and row["bound"] == "unexplained"


def test_a_kernel_that_has_little_to_do_is_bound_by_its_start() -> None:
    row = judged({"time_ms": 0.0015, "flops": 1e4, "bytes": 1e4, "weight_bytes": 0.0}).iloc[0]
    assert row["bound"] == "sync"


def test_without_a_measured_instruction_there_is_no_bound() -> None:
    row = judged({"kernel": "mul_mat_f", "impl": "mul_mat_f<f16>", "dtypes": "f16,f32->f32"},
                 lacks=("mma",)).iloc[0]  # fmt: skip
    assert row["bound"] is None and all(np.isnan(row[name]) for name in SHARES)
    assert len(judged().columns) >= len(SHARES)


class CudaBuilder(DeviceBuilder):
    """The example with its last two ops on a CUDA device whose kernels are known."""

    def device(self) -> None:
        super().device()
        for lane in self.lanes.rows:
            if lane["device"] != self.text("CPU"):
                lane["kind"], lane["device"] = self.text("accelerator"), self.text("CUDA0")


def profile_with(*of_devices: Any, builder: type[DeviceBuilder] = CudaBuilder) -> Profile:
    built: Profile = builder().fill().build()
    meta = built.data.meta.replace(ceilings=example_ceilings(), device_ceilings=of_devices)
    return Profile.of(replace(built.data, meta=meta))


@pytest.mark.usefixtures("by_name")
def test_an_op_is_compared_with_what_it_ran_on() -> None:
    alone = profile_with().ops()
    both = profile_with(example_device_ceilings()).ops()
    assert len(EXECUTED) > 2
    on_device = both["device"] == "CUDA0"
    assert on_device.any() and not on_device.all()
    # The machine's own ceilings say nothing of the device's ops, …
    assert alone.loc[alone["device"] == "CUDA0", "bound"].isna().all()
    assert alone.loc[alone["device"] == "CUDA0", list(SHARES)].isna().all(axis=None)
    # … and the device's nothing of the machine's.
    columns = [*SHARES, "bound"]
    pd.testing.assert_frame_equal(both.loc[~on_device, columns], alone.loc[~on_device, columns])
    assert both.loc[on_device, "memory_share"].notna().all()
    assert both.loc[on_device, "bound"].notna().all()
    assert both.loc[on_device, "kernel_share"].isna().all()


@pytest.mark.usefixtures("by_name")
def test_ceilings_of_another_device_say_nothing() -> None:
    other = example_device_ceilings().replace(device="CUDA1")
    ops = profile_with(other).ops()
    assert ops.loc[ops["device"] == "CUDA0", "bound"].isna().all()


@pytest.mark.usefixtures("by_name")
def test_ops_that_ran_one_by_one_have_no_bound() -> None:
    there = example_device_ceilings().replace(device="RPC0")
    ops = profile_with(there, builder=DeviceBuilder).ops()
    assert (ops["device"] == "RPC0").any()
    assert ops.loc[ops["device"] == "RPC0", "bound"].isna().all()
