"""What is synthesised of a `config.json` runs in llama.cpp, prompt and generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slmprof
from slmprof.analysis.layers.flags import OddWindows
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.commands.main import main

_TEXT: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 64, "max_position_embeddings": 2048, "vocab_size": 512,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "gemma3_text": {**_TEXT, "model_type": "gemma3_text", "sliding_window": 64},
    "gemma3": {
        "model_type": "gemma3", "text_config": {**_TEXT, "sliding_window": 64},
        "vision_config": {"hidden_size": 8},
    },
    "qwen3": {**_TEXT, "model_type": "qwen3", "tie_word_embeddings": True},
    "mamba": {"model_type": "mamba", "hidden_size": 256, "num_hidden_layers": 3,
              "vocab_size": 512},
    "mamba2": {"model_type": "mamba2", "hidden_size": 256, "num_hidden_layers": 3, "num_heads": 8,
               "n_groups": 2, "vocab_size": 512},
}  # fmt: skip


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", CONFIGS)
def test_it_runs_prefill_and_decode(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, CONFIGS[kind])
    with slmprof.Session(path, threads=1, n_ctx=512, ceilings="off") as session:
        session.prefill(100)
        assert np.isfinite(session.engine.last_logits()).all()
        session.decode(20)
        assert np.isfinite(session.engine.last_logits()).all()
        profile = session.profile()
    blocks = {"embedding", "lm_head"} | ({"recurrent"} if "mamba" in kind else {"attention", "ffn"})
    assert set(profile.blocks()["block"]) == blocks
    assert profile.ops()["flops"].notna().all()


def test_layers_of_gemma_3_that_see_the_whole_context_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, {**CONFIGS["gemma3_text"], "num_hidden_layers": 18})
    with slmprof.Session(path, threads=1, n_ctx=1024, n_ubatch=64, ceilings="off") as session:
        session.prefill(100)
        session.decode(5)
        profile = session.profile()
    flags = [flag for flag in break_down(profile).layer_flags if flag.kind == "structure"]
    assert [flag.layers for flag in flags] == [(5, 11, 17)]
    figures = flags[0].figures
    assert isinstance(figures, OddWindows)
    assert (figures.window, figures.usual_window, figures.n_usual) == (None, 64, 15)


def test_keys_that_nothing_follows_from_are_named_by_command_and_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**CONFIGS["qwen3"], "quantization_config": {"quant_method": "gptq", "bits": 4}}
    path = write(tmp_path, values)
    saved = tmp_path / "run.slmprof"
    options = ["--n-prompt", "8", "--n-gen", "2", "--repeats", "1", "--ceilings", "off"]
    assert main(["breakdown", f"{path}@Q8_0", *options, "--save", str(saved)]) == 0
    note = "config.json: ignored quantization_config (weights are Q8_0; give @TYPE for another)"
    assert f"slmprof: note: {note}" in capsys.readouterr().err
    assert main(["show", str(saved), "--format", "json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["environment"]["warnings"]
    assert sum("ignored quantization_config (weights are Q8_0;" in text for text in warnings) == 1
    assert slmprof.load(saved).meta.model.ignored == ("quantization_config",)
    for command in (["memory", str(path)], ["synth", str(path), "-o", str(tmp_path / "x.gguf")]):
        assert main(command) == 0
        assert "ignored quantization_config (weights are Q4_K_M;" in capsys.readouterr().err
