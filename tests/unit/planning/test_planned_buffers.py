"""Whether a planned model and context fit into the memory that is free."""

from __future__ import annotations

from typing import Any

import pytest

from slmprof.capture import memory_check
from slmprof.capture.memory_check import plan_buffers
from slmprof.errors import CaptureError, EngineError

GIB = 1 << 30


def buffer(buffer_type: str, kind: str, size_bytes: int) -> dict[str, Any]:
    return {"device": "CPU", "buffer_type": buffer_type, "kind": kind, "size_bytes": size_bytes}


def check(monkeypatch: pytest.MonkeyPatch, free_bytes: int, *buffers: dict[str, Any]) -> None:
    monkeypatch.setattr(memory_check, "available_bytes", lambda: free_bytes)
    plan: Any = {"buffers": list(buffers)}
    assert plan_buffers(lambda _: plan, "model.gguf", 2048) == list(buffers)


def test_what_fits_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, cache = buffer("CPU", "weights", 2 * GIB), buffer("CPU", "kv_cache", GIB)
    check(monkeypatch, 4 * GIB, weights, cache)
    message = r"model.gguf with a context of 2048 needs 3.00 GiB \(1.00 GiB of it for the context"
    with pytest.raises(CaptureError, match=message):
        check(monkeypatch, 3 * GIB, weights, cache)


def test_what_another_device_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "available_bytes", lambda: GIB)
    there = {**buffer("RPC0[h:1]", "weights", 3 * GIB), "device": "RPC0"}
    plan: Any = {"buffers": [there, buffer("CPU", "compute", GIB // 2)]}

    def check_with(free_bytes: int) -> object:
        return plan_buffers(lambda _: plan, "model.gguf", 2048, lambda: {"RPC0": free_bytes})

    with pytest.raises(CaptureError, match=r"needs 3.00 GiB on RPC0, 2.00 GiB are free there"):
        check_with(2 * GIB)
    # What lies there takes nothing of this machine's memory; a device may not tell what it has.
    assert check_with(4 * GIB) == check_with(0) == plan["buffers"]


def test_originals_of_repacked_weights_need_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = buffer("CPU_Mapped", "weights", 4 * GIB), buffer("CPU_REPACK", "weights", 3 * GIB)
    check(monkeypatch, 5 * GIB, *weights)
    with pytest.raises(CaptureError, match=r"needs 4.00 GiB"):
        check(monkeypatch, 4 * GIB, *weights)
    # Without memory mapping there is nothing that the system could drop.
    with pytest.raises(CaptureError, match=r"needs 7.00 GiB"):
        check(monkeypatch, 5 * GIB, buffer("CPU", "weights", 4 * GIB), weights[1])


def test_notes_too_large_for_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "available_bytes", lambda: GIB)

    def fail(message: str) -> Any:
        raise EngineError(message)

    with pytest.raises(CaptureError, match="bookkeeping"):
        plan_buffers(lambda _: fail("std::bad_alloc"), "model.gguf", 2**20)
    with pytest.raises(EngineError, match="no such type"):
        plan_buffers(lambda _: fail("no such type"), "model.gguf", 2048)


@pytest.mark.parametrize(
    ("kind", "asked"), [("kv_cache", [2**21]), ("recurrent_state", [2**21, 2**30])]
)
def test_notes_that_could_not_be_held_are_not_made(
    monkeypatch: pytest.MonkeyPatch, kind: str, asked: list[int]
) -> None:
    monkeypatch.setattr(memory_check, "available_bytes", lambda: 8 * GIB)
    plans: list[int] = []

    def plan(n_ctx: int) -> Any:
        plans.append(n_ctx)
        return {"buffers": [buffer("CPU", kind, GIB)]}

    if kind == "kv_cache":
        with pytest.raises(CaptureError, match="bookkeeping"):
            plan_buffers(plan, "model.gguf", 2**30)
    else:
        # Nothing is noted for each token: such a state is as large for any context.
        assert plan_buffers(plan, "model.gguf", 2**30)
    assert plans == asked
