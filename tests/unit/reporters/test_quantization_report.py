"""What a recipe makes of a model, as people and scripts read it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from slmprof.commands.streams import put
from slmprof.quantization.records import QuantizationPlan, QuantizedModel, QuantizedTensor
from slmprof.reporters.documents.plans.quantization import made_text, quantization_document
from slmprof.reporters.renderers import render
from slmprof.settings.recipe import Recipe

_BITS = {"f16": 16, "f32": 32, "q4_K": 4.5, "q5_0": 5.5, "q8_0": 8.5}


def tensor(
    name: str, shape: tuple[int, ...], type_: str, asked: str = "", *, quantizable: bool = True
) -> QuantizedTensor:
    n = 1
    for size in shape:
        n *= size
    source, asked = ("f16", asked or type_) if quantizable else (type_, type_)
    return QuantizedTensor(
        tensor=name, shape=shape, source=source, asked=asked, type=type_,
        source_bytes=int(n * _BITS[source] / 8), size_bytes=int(n * _BITS[type_] / 8),
        asked_bytes=int(n * _BITS[asked] / 8), is_quantizable=quantizable, needs_imatrix=False,
    )  # fmt: skip


def plan(*notes: str) -> QuantizationPlan:
    tensors = [
        tensor("token_embd.weight", (576, 1000), "q8_0"),
        *(tensor(f"blk.{i}.attn_norm.weight", (576,), "f32", quantizable=False) for i in (0, 1)),
        *(tensor(f"blk.{i}.attn_q.weight", (576, 576), "q5_0", "q4_K") for i in (0, 1)),
        tensor("blk.0.ffn_down.weight", (1536, 576), "q4_K"),
        tensor("blk.1.ffn_down.weight", (1536, 576), "q8_0"),
    ]
    model = QuantizedModel(
        name="Small", path="small.gguf", architecture="llama", file_type="F16",
        n_params=sum(one.n_elements for one in tensors), random_weights=True,
    )  # fmt: skip
    return QuantizationPlan(model, Recipe.of().to_json(), tuple(tensors), notes)


def shown(form: str = "table", of: QuantizationPlan | None = None, **chosen: Any) -> str:
    stream = io.StringIO()
    render(quantization_document(of or plan(), **chosen), form, stream)
    return stream.getvalue()


def test_weights_of_one_role_and_type_share_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = shown()
    assert max(map(len, text.splitlines())) <= 80
    rows = [line.split() for line in text.splitlines()]
    assert ["attn_q", "2", "f16", "q5_0", "5.50", "0.44", "q4_K,", "rows", "of", "576"] in rows
    assert ["ffn_down", "1", "f16", "q4_K", "4.50", "0.47"] in rows
    assert ["ffn_down", "1", "f16", "q8_0", "8.50", "0.90"] in rows
    assert "2 tensors of 4.50 KiB are never quantized" in text
    assert "warning: asked Q4_K_M: 2 of 7 tensors (rows of 576) fell back to q5_0" in text
    assert "random weights" in text and "attn_norm" not in text


def test_views() -> None:
    assert shown(by="tensor").count("blk.") == 6
    largest = [line for line in shown(by="tensor", top=2).splitlines() if ".weight" in line]
    assert [line.split()[0] for line in largest] == ["blk.1.ffn_down.weight", "token_embd.weight"]
    rows = [line.split() for line in shown(by="type").splitlines()]
    assert ["q5_0", "2", "22.0", "%", "18.2", "%", "0.44", "2"] in rows


def test_scripts_get_every_tensor() -> None:
    value = json.loads(shown("json"))
    assert value["schema_version"] == 1 and len(value["tensors"]) == 7
    assert value["totals"]["size_bytes"] == sum(one["size_bytes"] for one in value["tensors"])
    assert value["fallbacks"][0]["asked"] == "q4_K"
    lines = shown("csv").splitlines()
    assert lines[0].startswith("tensor,shape,source,asked,type,") and len(lines) == 8
    assert "| attn\\_q" in shown("markdown")


def test_notes_and_names_of_files_are_printable(capsys: pytest.CaptureFixture[str]) -> None:
    odd = plan("from \x1b[2J a file")
    odd = odd.replace(model=odd.model.replace(name="a\x1bb"))
    for form in ("table", "markdown"):
        assert "\x1b" not in shown(form, odd)
    put(made_text(odd, "x.gguf"))
    assert "\x1b" not in capsys.readouterr().out


def test_what_came_over_as_json_is_the_same() -> None:
    from slmprof.profiles.records.decoding import decode

    made = plan("a note")
    assert decode(QuantizationPlan, json.loads(json.dumps(made.to_json()))) == made
