"""Tensor types by pattern: what they change, what wins, and which requests are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_header import read_header
from small_models import small_dimensions

from slmprof.commands.main import main
from slmprof.errors import UsageError
from slmprof.models.outline import outline_plan
from slmprof.models.presets import PRESETS
from slmprof.models.synthesis import plan_model, plan_source, synthesize
from slmprof.planning.process import plan_memory
from slmprof.reporters.documents.fallbacks import fallback_text
from slmprof.settings.dimensions import Dimensions

TINY = PRESETS["tiny"].dimensions


def types(*patterns: tuple[str, str]) -> dict[str, str]:
    return {t.name: t.type for t in plan_model(TINY, tensor_types=patterns).tensors}


def test_a_pattern_changes_the_tensors_that_it_finds_and_no_others() -> None:
    plain, changed = types(), types((r"blk\.[01]\.attn_q", "q5_K"))
    differing = {name: kind for name, kind in changed.items() if kind != plain[name]}
    assert differing == {"blk.0.attn_q.weight": "q5_K", "blk.1.attn_q.weight": "q5_K"}


def test_the_first_pattern_that_finds_a_name_wins() -> None:
    changed = types((r"blk\.3\.ffn_up", "f16"), ("ffn_up", "Q8_0"))
    assert changed["blk.3.ffn_up.weight"] == "f16"
    assert changed["blk.4.ffn_up.weight"] == "q8_0"
    assert types(("ffn", "q8_0"), ("ffn_up", "q4_0"))["blk.3.ffn_up.weight"] == "q8_0"


def test_tensors_that_are_never_quantized_stay() -> None:
    changed = types(("attn", "q8_0"))
    assert changed["blk.0.attn_norm.weight"] == "f32"
    assert changed["blk.0.attn_k.weight"] == "q8_0"


def test_one_changed_layer_leaves_the_counting_of_the_others() -> None:
    # llama-quantize counts only the layers that it decides on itself.
    plain, changed = types(), types((r"blk\.0\.ffn_down", "q8_0"))
    assert changed["blk.0.ffn_down.weight"] == "q8_0"
    counted = [f"blk.{i}.ffn_down.weight" for i in range(TINY.n_layer)]
    assert [changed[name] for name in counted[1:]] == [plain[name] for name in counted[:-1]]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (("attn_(", "q4_K"), "no regular expression"),
        (("attn_qq", "q4_K"), "no tensor's name matches 'attn_qq'"),
        (("attn_norm", "q4_K"), "never quantized"),
        (("attn_q", "q9_K"), "unknown tensor type 'q9_K'"),
        (("attn_q", "q8_1"), "no weights can have the type"),
        (("attn_q", "i32"), "no weights can have the type"),
    ],
)
def test_patterns_that_cannot_be_followed(pattern: tuple[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        types(pattern)


def test_rows_that_do_not_divide_are_named() -> None:
    # llama-quantize falls back to another type here, or fails where it knows none.
    narrow = PRESETS["smollm-135m"].dimensions
    for type_ in ("q6_K", "tq1_0", "q1_0"):
        message = rf"attn_q\.weight \(576\) do not divide into blocks of {type_}"
        with pytest.raises(UsageError, match=message):
            plan_model(narrow, tensor_types=[("attn_q", type_)])


def test_files_that_are_not_quantized_have_no_patterns() -> None:
    with pytest.raises(UsageError, match="need a quantized file type"):
        plan_model(TINY, "F16", tensor_types=[("attn_q", "q8_0")])


def test_a_file_holds_what_was_asked_for(tmp_path: Path) -> None:
    path = synthesize("tiny", tmp_path / "model.gguf", tensor_types=[("ffn_gate", "q8_0")])
    plan = plan_model(TINY, tensor_types=[("ffn_gate", "q8_0")])
    written = read_header(path).tensors
    assert {t.name: t.size_bytes for t in plan.tensors} == {
        name: tensor.size_bytes for name, tensor in written.items()
    }


def test_the_command_reads_patterns_as_llama_quantize_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.gguf"
    arguments = ["synth", "tiny", "-o", str(path), "--tensor-type", "FFN_Gate=Q8_0"]
    assert main([*arguments, "--tensor-type", r"blk\.0\.ffn_up=q6_k"]) == 0
    tensors = read_header(path).tensors
    assert tensors["blk.7.ffn_gate.weight"].type == 8
    assert tensors["blk.0.ffn_up.weight"].type == 14
    path.unlink()
    for wrong in ("ffn_gate", "=q8_0", "ffn_gate="):
        assert main(["synth", "tiny", "-o", str(path), "--tensor-type", wrong]) == 2
        assert "is not PATTERN=TYPE" in capsys.readouterr().err
    assert main(["synth", "--list", "--tensor-type", "a=q8_0"]) == 2
    assert not path.exists()


def test_a_file_that_cannot_be_as_it_was_asked_for_says_so() -> None:
    """Rows of 720 divide by no block: asked for 4.5 bits a weight, most of it has 16."""
    dimensions = Dimensions(
        architecture="llama", name="odd", n_layer=24, n_embd=720, n_ff=1920, n_head=12,
        n_vocab=32000, n_ctx_train=2048,
    )  # fmt: skip
    found = plan_model(dimensions, "Q4_K_M").fallbacks
    assert found is not None
    assert ("q4_K", "f16", (720,)) in [(g.asked, g.got, g.rows) for g in found.groups]
    assert found.bits_per_weight is not None and found.bits_per_weight > 14
    assert found.size_bytes > 2.5 * found.asked_bytes
    assert plan_model(small_dimensions("llama"), "Q4_K_M").fallbacks is None
    # Q8_0 has rows of 720 in F16, too.
    found = plan_model(dimensions, "Q8_0").fallbacks
    assert found is not None and {g.got for g in found.groups} == {"f16"}


@pytest.mark.parametrize("preset", ["smollm-135m", "qwen2-0.5b"])
def test_what_is_inferred_of_a_file_is_what_was_asked_for(preset: str) -> None:
    asked = plan_source(preset).fallbacks
    inferred = plan_memory(f"preset:{preset}").model.fallbacks
    assert asked is not None and inferred is not None
    assert inferred.n_fallen == asked.n_fallen and inferred.rows == asked.rows
    assert abs(inferred.asked_bytes - asked.asked_bytes) < 0.02 * asked.asked_bytes


@pytest.mark.parametrize("file_type", ["Q4_K_M", "Q5_K_S", "Q2_K", "Q8_0", "IQ4_XS"])
def test_a_written_file_tells_the_same_fallbacks_as_its_plan(
    file_type: str, tmp_path: Path
) -> None:
    dimensions = small_dimensions("llama", n_embd=720, n_ff=1920, n_head=12, n_head_kv=12)
    plan = plan_model(dimensions, file_type)
    found = plan_memory(outline_plan(plan, tmp_path), n_ctx=256).model.fallbacks
    assert found == plan.fallbacks
    if found is not None:
        assert fallback_text(found).startswith(f"asked {file_type}: ")
