"""The cheapest change with which a model fits, by a table of sizes instead of a planner."""

from __future__ import annotations

from typing import Any

import pytest

from slmprof.errors import EngineError
from slmprof.planning.changes import find_change
from slmprof.planning.records import FitChange
from slmprof.settings.planning import AskedPlan

TYPES = {"Q8_0": 800, "Q6_K": 600, "Q4_K_M": 450, "Q2_K": 300}


def size_of(setting: AskedPlan) -> int:
    """Logits, activations, cache and weights; flash attention off takes no quantized V."""
    if setting.flash_attn == "off" and setting.type_v == "q8_0":
        raise EngineError("V cache quantization requires flash_attn")
    logits = setting.n_ubatch * (setting.n_outputs_max != 1)
    cache = 200 * ((setting.type_k == "f16") + (setting.type_v == "f16")) + 100
    return logits + setting.n_ubatch + cache + TYPES.get(str(setting.file_type), 700)


def change(budget: int, **asked: Any) -> FitChange:
    setting = AskedPlan(**asked)
    return find_change(size_of, setting, 4096, budget, 700, TYPES.get)


def test_the_case_needs_2224() -> None:
    assert size_of(AskedPlan()) == 512 + 512 + 500 + 700


@pytest.mark.parametrize(
    ("budget", "settings"),
    [
        (1800, {"n_outputs_max": 1}),  # although smaller ubatches would do, too
        (1700, {"n_ubatch": 128}),
        (1500, {"n_ubatch": 128}),
        (1300, {"n_ubatch": 32}),
        # None of them alone is enough: outputs of 32 tokens are not worth a word then.
        (900, {"n_ubatch": 32, "type_k": "q8_0", "type_v": "q8_0"}),
        (840, {"n_outputs_max": 1, "n_ubatch": 32, "type_k": "q8_0", "type_v": "q8_0"}),
        (600, {"n_ubatch": 32, "type_k": "q8_0", "type_v": "q8_0", "file_type": "Q4_K_M"}),
    ],
)
def test_the_first_that_fits_in_the_order_of_what_it_costs(
    budget: int, settings: dict[str, Any]
) -> None:
    found = change(budget)
    if len(settings) < 3:
        assert found.settings == settings
    assert found.missing_bytes == 0 and found.size_bytes <= budget and found.n_ctx == 4096


def test_what_is_not_needed_is_not_named() -> None:
    found = change(900)
    # The cache's types are the last that are needed; the weights stay as they are.
    assert set(found.settings) <= {"n_outputs_max", "n_ubatch", "type_k", "type_v"}
    assert {"type_k", "type_v"} <= set(found.settings)


def test_where_all_is_not_enough_it_says_by_how_much() -> None:
    found = change(100)
    assert found.settings["file_type"] == "Q2_K" and found.settings["n_outputs_max"] == 1
    assert found.size_bytes == 32 + 100 + 300 and found.missing_bytes == found.size_bytes - 100


def test_settings_that_a_model_does_not_have_are_passed_over() -> None:
    found = change(100, flash_attn="off")
    assert "type_v" not in found.settings and found.settings["type_k"] == "q8_0"


def test_what_is_as_small_as_it_can_be_is_not_changed() -> None:
    found = change(10, n_ubatch=32, n_outputs_max=1, type_k="q8_0", type_v="q8_0")
    assert set(found.settings) == {"file_type"}
    assert change(10, n_ubatch=16, n_outputs_max=1, type_k="q4_0", type_v="q4_0").settings == {
        "file_type": "Q2_K"
    }
