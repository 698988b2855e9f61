"""Predicted, held and the driver's own figure of a GPU: they add up, with a signed rest."""

from __future__ import annotations

from typing import Any

import pytest
from memory_builder import MIB, example_memory, with_memory
from reports import data, shown

from slmprof.analysis.memory.device_use import DeviceUse, device_uses
from slmprof.profiles.records.device_memory import DeviceMemory

pytestmark = pytest.mark.usefixtures("by_name")

GPU: dict[str, Any] = {
    "device": "CUDA0", "driver_bytes": 600 * MIB, "method": "process",
    "context_bytes": 250 * MIB, "pool_bytes": 40 * MIB, "most_pool_bytes": 48 * MIB,
    "most_used_pool_bytes": 30 * MIB, "pool_op": "MUL_MAT", "pool_tensor": "ffn_down-3",
    "workspace_bytes": 32 * MIB, "graph_bytes": 0,
}  # fmt: skip
BUFFERS = [
    {"device": "CUDA0", "buffer_type": "CUDA0", "kind": kind, "size_bytes": size * MIB}
    for kind, size in (("weights", 200), ("kv_cache", 24), ("compute", 30))
]


def profile(**gpu: Any) -> Any:
    there = example_memory()["buffers"] + BUFFERS
    predicted = [*example_memory()["buffers"], *BUFFERS[:2], {**BUFFERS[2], "size_bytes": 28 * MIB}]
    told = {name: value for name, value in {**GPU, **gpu}.items() if value is not None}
    return with_memory(buffers=there, predicted=predicted, devices=[told])


def use(**gpu: Any) -> DeviceUse:
    (found,) = device_uses(profile(**gpu).meta)
    return found


def sizes(found: DeviceUse, column: str = "held_bytes") -> dict[str, Any]:
    rows = found.rows
    return {k: None if v is None else int(v) // MIB for k, v in
            zip(rows["kind"], rows[column].astype(object).where(rows[column].notna(), None),
                strict=True)}  # fmt: skip


def test_the_terms_and_the_rest_are_the_drivers_figure() -> None:
    found = use()
    assert sizes(found) == {
        "weights": 200, "kv_cache": 24, "compute": 30, "pools": 40, "workspaces": 32, "graphs": 0,
        "context": 250, "difference": 24,
    }  # fmt: skip
    assert found.rest_bytes == 24 * MIB
    assert int(found.rows["held_bytes"].sum()) == 600 * MIB
    assert sizes(found, "predicted_bytes") == {
        "weights": 200, "kv_cache": 24, "compute": 28, "pools": None, "workspaces": None,
        "graphs": None, "context": None, "difference": None,
    }  # fmt: skip


def test_the_rest_has_a_sign_and_holds_what_is_not_told() -> None:
    assert use(driver_bytes=500 * MIB).rest_bytes == -76 * MIB
    assert use(workspace_bytes=None).rest_bytes == (24 + 32) * MIB
    without = use(driver_bytes=None, method=None)
    assert without.rest_bytes is None
    assert "difference" not in sizes(without)


def test_buffers_elsewhere_are_not_the_devices() -> None:
    assert "output" not in sizes(use())
    (other,) = device_uses(profile(device="CUDA1").meta)
    assert other.rest_bytes == (600 - 322) * MIB


def test_a_device_that_tells_nothing_has_no_table() -> None:
    nothing = {name: None for name in GPU if name != "device"}
    assert device_uses(profile(**nothing).meta) == ()
    assert "devices" not in data(with_memory())["memory"]


def test_a_report_says_which_op_needed_the_pools_most() -> None:
    text = shown(profile(), is_full=True)
    assert "Memory on CUDA0 at the end" in text
    said = " ".join(text.split())
    assert "The pools held up to 48.00 MiB, of which at most 30.00 MiB were in use" in said
    assert "for MUL_MAT (ffn_down-3)." in said
    assert "total; held is the driver's own figure" in said
    assert "+24.00" in said
    assert "by whichever process" not in said
    doubtful = " ".join(shown(profile(method="device"), is_full=True).split())
    assert "by whichever process" in doubtful
    unknown = profile(
        driver_bytes=None, method=None, note="the driver's own figure is not known: x"
    )
    said = " ".join(shown(unknown, is_full=True).split())
    assert "The driver's own figure is not known: x." in said
    assert "total, without what is not known" in said
    alone = profile(**{name: None for name in GPU if name != "device"}, note="there is no driver")
    said = " ".join(shown(alone, is_full=True).split())
    assert "Memory on CUDA0 at the end" in said
    assert "There is no driver." in said


def test_json_has_the_terms_beside_what_was_told() -> None:
    (told,) = data(profile())["memory"]["devices"]
    assert {name: told[name] for name in GPU} == GPU
    assert told["note"] is None
    assert told["rest_bytes"] == 24 * MIB
    assert [term["kind"] for term in told["terms"]][-1] == "difference"
    assert DeviceMemory(**GPU).tells
