"""The keys that the figures of findings and layer flags have in JSON: scripts read them."""

from __future__ import annotations

import pytest

from slmprof.analysis.layers import flags
from slmprof.analysis.verdicts import findings
from slmprof.profiles.records.decoding import Record

_GAIN = {"gain_ms": 1.0, "time_ms": 2.0, "share": 0.5, "is_modelled": True}
_LIMIT = "memory_share compute_share kernel_share speedup speedup_threads"


@pytest.mark.parametrize(
    ("figures", "about", "keys"),
    [
        (
            findings.Limit("sync", 0.5, {"sync": 0.5}, None),
            "limit",
            f"bound share shares ceiling_share {_LIMIT}",
        ),
        (
            findings.MemoryLimit("memory", 0.5, {}, 0.4, gbps=10.0, peak_gbps=20.0, n_threads=2),
            "limit",
            f"bound share shares ceiling_share {_LIMIT} gbps peak_gbps n_threads peak_range_gbps",
        ),
        (findings.NoCeilings(2, None, None), "ceilings", "n_threads n_cores measured_for"),
        (
            findings.CeilingGain(block="ffn", ops="products", **_GAIN),
            "gain",
            "what block ops gain_ms time_ms share is_modelled is_largest",
        ),
        (
            findings.WaitingGain(**_GAIN),
            "gain",
            "what gain_ms time_ms share is_modelled is_largest",
        ),
        (
            flags.OddTime(layer=1, time_ms=2.0, median_ms=1.0, ratio=(2.0, 2.0)),
            "time",
            "layer time_ms median_ms ratio is_first is_last",
        ),
        (
            flags.OddOps(ops=("MUL",), n_ops=1),
            "structure",
            "ops n_ops is_first is_last time_ratio",
        ),
        (
            flags.OddShapes(weights=(flags.WeightShape("attn_q", (64, 64), (64, 32)),)),
            "size",
            "weights is_first is_last time_ratio",
        ),
    ],
)
def test_keys(figures: Record, about: str, keys: str) -> None:
    made = figures.to_json()
    assert set(made) == set(keys.split())
    assert about == getattr(figures, "topic", None) or about == getattr(figures, "kind", None)


def test_shapes_are_lists_of_numbers() -> None:
    weight = flags.WeightShape("attn_q", (64, 64), (64, 32))
    assert weight.to_json() == {"weight": "attn_q", "shape": [64, 64], "usual_shape": [64, 32]}
