"""What fell back and what that costs; which weights gain and lose."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from slmprof.quantization.quality.records import Estimate, Quality, Scored, ScoredModel
from slmprof.quantization.quality.records import TensorDeviation as Deviation
from slmprof.quantization.records import QuantizationPlan, QuantizedModel, QuantizedTensor
from slmprof.studies.members import decode_times, step_notes
from slmprof.studies.weights import (
    RoleTime,
    fallback_cost,
    role_changes,
    role_times,
    weight_changes,
)

MODEL = QuantizedModel("m", "m.gguf", "llama", "F16", 4000, False)


def tensor(name: str, type_: str, n_bytes: int, asked: str = "", asked_bytes: int = 0) -> Any:
    return QuantizedTensor(
        name, (40, 50), "f16", asked or type_, type_, 4000, n_bytes, asked_bytes or n_bytes, True,
        False,
    )  # fmt: skip


def plan(*tensors: QuantizedTensor) -> QuantizationPlan:
    return QuantizationPlan(MODEL, {"file_type": "Q4_K_M"}, tensors)


def quality(**snr: float | None) -> Quality:
    scored = Scored("t", 100, 1, 100, False, False)
    about = ScoredModel("m", "m", "llama", "F16", 1, 1.0)
    made = tuple(
        Deviation(f"blk.0.{name}.weight", "q4_0", "f16", 1, 0.1, value, 0.1, 0, 0)
        for name, value in snr.items()
    )
    return Quality(about, scored, Estimate(3.0, 0.1), tensors=made)


class _Phase:
    """Decode, of which the ops were recorded in longer steps than those that were timed."""

    phase = "decode"

    def __init__(self, difference: float) -> None:
        self.difference = difference


class _Profile:
    """What a profile tells of the weights."""

    def __init__(self, difference: float = 0.0) -> None:
        self.phase_summaries = [_Phase(difference)]

    def weights(self) -> pd.DataFrame:
        names = ["blk.0.a.weight", "blk.1.a.weight", "token_embd.weight", "norm.weight"]
        return pd.DataFrame(
            {
                "tensor": names,
                "decode_ms": [2.0, 1.0, 4.0, None],
                "decode_gbps": [10.0, 40.0, None, None],
            }
        )


def test_a_fallback_costs_the_share_of_its_time_that_its_extra_bytes_are() -> None:
    of = plan(tensor("blk.0.a.weight", "q5_0", 1000, "q4_K", 800), tensor("b.weight", "q4_K", 9))
    found = fallback_cost(of, _Profile())
    assert found is not None
    assert (found.extra_bytes, found.fallbacks.n_fallen) == (200, 1)
    assert found.extra_ms == pytest.approx(2.0 * 0.2)


def test_without_a_profile_there_are_no_milliseconds_and_without_fallbacks_nothing() -> None:
    of = plan(tensor("blk.0.a.weight", "q5_0", 1000, "q4_K", 800))
    found = fallback_cost(of, None)
    assert found is not None and found.extra_ms is None
    assert fallback_cost(plan(tensor("a.weight", "q4_0", 100)), None) is None


def test_gains_are_of_weights_whose_types_differ() -> None:
    own = plan(*(tensor(f"blk.0.{n}.weight", "q4_0", 100) for n in "abc"))
    other = plan(
        tensor("blk.0.a.weight", "q4_0", 100), tensor("blk.0.b.weight", "q8_0", 200),
        tensor("blk.0.c.weight", "f16", 400),
    )  # fmt: skip
    ratios = quality(a=20.0, b=21.0, c=22.0), quality(a=20.0, b=45.0)
    found = weight_changes((own, ratios[0]), (other, ratios[1]))
    assert [(one.tensor, one.gain_db) for one in found] == [
        ("blk.0.b.weight", -24.0), ("blk.0.c.weight", None),
    ]  # fmt: skip
    roles = {one.role: one for one in role_changes(found)}
    assert (roles["b"].extra_bytes, roles["b"].gain_db, roles["b"].n_weights) == (-100, -24.0, 1)
    assert roles["c"].gain_db is None and roles["c"].other_type == "f16"


def test_times_of_a_role_add_up_and_its_rate_is_by_all_bytes() -> None:
    found = role_times(_Profile())
    assert found == {"token_embd": RoleTime(4.0, None), "a": RoleTime(3.0, 20.0)}
    assert list(found) == ["token_embd", "a"]


def test_times_are_those_of_steps_as_long_as_the_timed_ones() -> None:
    longer = _Profile(0.25)
    assert decode_times(longer) == {
        "blk.0.a.weight": 1.6, "blk.1.a.weight": 0.8, "token_embd.weight": 3.2,
    }  # fmt: skip
    found = role_times(longer)
    assert found["a"].ms == pytest.approx(2.4) and found["a"].gbps == pytest.approx(25.0)
    (note,) = step_notes({"mine": longer, "other": _Profile(0.1)})
    assert "mine" in note and "1.25 times" in note
