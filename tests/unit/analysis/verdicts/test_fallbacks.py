"""Weights in another type than the file asks for: which, why, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from slmprof.analysis.verdicts.fallbacks import fallbacks_of, quantizer_name
from slmprof.profiles.records.fallbacks import StoredWeight, find_fallbacks
from slmprof.profiles.tables import TensorType
from slmprof.reporters.documents.fallbacks import fallback_records, fallback_text

TYPES = {
    "f32": TensorType(1, 4, False), "f16": TensorType(1, 2, False),
    "q4_K": TensorType(256, 144, True), "q6_K": TensorType(256, 210, True),
    "q5_0": TensorType(32, 22, True), "q8_0": TensorType(32, 34, True),
    "q4_1": TensorType(32, 20, True),
}  # fmt: skip


def weight(type_: str, row: int, n_rows: int) -> tuple[str, tuple[int, ...], int]:
    stored = TYPES[type_]
    return type_, (row, n_rows), row * n_rows // stored.block_size * stored.type_size


def find(*weights: Any, file_type: str = "Q4_K - Medium") -> Any:
    size = sum(size for _, _, size in weights)
    n_params = sum(shape[0] * shape[1] for _, shape, _ in weights)
    return fallbacks_of(weights, file_type, TYPES, n_params, size)


def test_what_fell_back_is_counted_by_the_type_it_was_asked_for_in() -> None:
    found = find(
        weight("q5_0", 576, 1024), weight("q5_0", 576, 1024), weight("q8_0", 576, 4096),
        weight("q4_K", 1536, 576), weight("q6_K", 1536, 576), weight("f32", 576, 1),
    )  # fmt: skip
    assert found is not None
    assert [(g.asked, g.got, g.n_tensors, g.rows) for g in found.groups] == [
        ("q6_K", "q8_0", 1, (576,)), ("q4_K", "q5_0", 2, (576,)),
    ]  # fmt: skip
    assert found.groups[1].asked_bytes == 2 * 576 * 1024 * 144 // 256
    assert found.asked_bytes < found.size_bytes
    text = fallback_text(found)
    assert text.startswith("asked Q4_K_M: 3 of 6 tensors (rows of 576) fell back to q8_0")
    assert "bits per weight in all" in text and "instead of" in text
    assert fallback_records(found)[0]["got"] == "q8_0" and fallback_records(None) == []


def test_rows_that_no_quantized_type_holds_end_up_in_f16() -> None:
    found = find(weight("f16", 720, 2048), weight("q4_K", 2048, 720))
    assert found is not None and found.n_fallen == 1
    assert found.groups[0].asked == "q4_K" and found.bits_per_weight > 10


def test_types_that_were_chosen_are_no_fallbacks() -> None:
    # llama-quantize gives some tensors of a Q4_K_M more bits, and leaves norms and routers alone.
    assert find(weight("q4_K", 2048, 64), weight("q6_K", 2048, 64), weight("f32", 2048, 8)) is None
    assert find(weight("q4_1", 576, 64), weight("q8_0", 576, 64), file_type="Q4_1") is None
    assert find(weight("f16", 720, 64), file_type="F16") is None
    assert find(weight("q5_0", 576, 64), file_type="a type of a fork") is None
    assert find(weight("q5_0", 576, 64), file_type="") is None


def test_what_hardly_counts_is_not_told() -> None:
    slight = [StoredWeight("q4_K", "q5_0", 576, 4, 3)]
    assert find_fallbacks(slight, "Q4_K_M", 100, 10_000, 1000) is None
    assert find_fallbacks([], "Q4_K_M", 100, 10_000, 1000) is None


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("Q4_K - Medium", "Q4_K_M"), ("(guessed) Q5_K - Small", "Q5_K_S"),
        ("Q2_K - Medium", "Q2_K"),
        ("Q2_K - Small", "Q2_K_S"), ("Q3_K - Large", "Q3_K_L"), ("Q8_0", "Q8_0"),
        ("IQ2_M - 2.7 bpw", "IQ2_M"), ("Q4_K_M", "Q4_K_M"), ("all F32", "all F32"),
    ],
)  # fmt: skip
def test_a_file_type_is_named_as_it_is_asked_for(told: str, asked: str) -> None:
    assert quantizer_name(told) == asked
