"""What a scheme's speed is modelled from, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest
from ceilings_builder import example_ceilings

from slmprof.profiles.records.ceilings import MEMORY
from slmprof.quantization import modelled
from slmprof.quantization.modelled import modelled_decode
from slmprof.quantization.records import (
    BLOCKS,
    QuantizationPlan,
    QuantizedModel,
    QuantizedTensor,
    SchemeInfo,
)
from slmprof.reporters.documents.plans.quantization import scheme_texts

SCHEME = SchemeInfo("mine", "mine.py:Mine", "0" * 64, BLOCKS, 4.5, 32, 18)


def tensor(name: str, shape: tuple[int, ...], n_bytes: int) -> QuantizedTensor:
    return QuantizedTensor(
        tensor=name, shape=shape, source="f16", asked=SCHEME.type, type=SCHEME.type,
        source_bytes=n_bytes * 4, size_bytes=n_bytes, asked_bytes=n_bytes, is_quantizable=True,
        needs_imatrix=False,
    )  # fmt: skip


def plan(*tensors: QuantizedTensor, scheme: SchemeInfo | None = SCHEME) -> QuantizationPlan:
    model = QuantizedModel("a model", "m.gguf", "llama", "F16", 1000, False)
    return QuantizationPlan(model, {"file_type": None}, tensors, scheme=scheme)


EMBEDDING = tensor("token_embd.weight", (64, 100), 3600)
LAYER = tensor("blk.0.ffn_up.weight", (64, 32), 1152)
HEAD = tensor("output.weight", (64, 100), 3600)
EXPERTS = tensor("blk.0.ffn_up_exps.weight", (64, 32, 4), 4608)


@pytest.fixture(autouse=True)
def ceilings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Those of the machine, as if they had been measured."""
    found = example_ceilings()
    monkeypatch.setattr(modelled, "find_ceilings", lambda n: found if n == 2 else None)
    return found


def test_a_token_reads_every_weight_once_and_one_row_of_the_embeddings(ceilings: Any) -> None:
    tied, untied = (
        modelled_decode(plan(*t), 2) for t in ((EMBEDDING, LAYER), (EMBEDDING, LAYER, HEAD))
    )
    assert tied is not None and untied is not None
    assert tied.read_bytes == 3600 + 1152  # the embeddings are the LM head
    assert untied.read_bytes == 36 + 1152 + 3600
    assert tied.gbps == ceilings.gbps(MEMORY)
    assert tied.ms == pytest.approx(4752 / tied.gbps / 1e6)


def test_what_is_not_known_is_not_modelled() -> None:
    assert modelled_decode(plan(LAYER), 3) is None
    assert modelled_decode(plan(LAYER, EXPERTS), 2) is None


def test_a_file_of_values_says_what_it_is() -> None:
    made = plan(EMBEDDING, LAYER)
    first, second = scheme_texts(made, modelled_decode(made, 2))
    assert "the file takes 33.00 KiB" in first and "as float32" in first
    assert second.startswith("modelled: ") and "4.64 KiB" in second and "2 threads" in second
    assert len(scheme_texts(made, None)) == 1
    assert scheme_texts(plan(LAYER, scheme=None), None) == []
