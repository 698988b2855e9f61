"""What no kernel computes is refused with the tensor's name and type, before anything runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import retyped as program
from command_line import run
from gguf_files import common_metadata, llama_shapes, write_gguf, write_mamba, write_moe, write_t5
from retyped import retyped

from slmprof.errors import ModelError
from slmprof.planning.process import plan_memory

ModelMaker = Callable[..., Path]
FOREIGN = ("i8", "i16", "i32", "i64", "f64")
# One of each family; all of them take minutes a model (tests/engines/retyped.py without types).
TYPES = (*FOREIGN, "f32", "bf16", "q4_0", "q8_1", "q6_K", "iq2_xxs", "tq1_0")


def model_of(architecture: str, small_model: ModelMaker, folder: Path) -> Path:
    if architecture == "mamba":
        return write_mamba(folder / "mamba.gguf", 2, 256, 16)
    if architecture == "moe":
        return write_moe(folder / "moe.gguf")
    return small_model(architecture, "F16", n_layer=2)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "moe", "mamba"])
def test_every_kind_of_tensor_in_types_of_every_family(
    architecture: str, small_model: ModelMaker, tmp_path: Path
) -> None:
    """It runs, or is refused by name; nothing ends in a signal."""
    source = model_of(architecture, small_model, tmp_path)
    command = [sys.executable, program.__file__, str(source), str(tmp_path), *TYPES]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = list(map(json.loads, answer.stdout.splitlines()))
    assert {one["type"] for one in found} >= set(FOREIGN)
    assert [one for one in found if one["signal"]] == []
    # What is planned runs, and what is refused is refused alike.
    assert [one for one in found if one["planned"] != one["ran"]] == []
    refused = [one for one in found if one["planned"]]
    unnamed = [
        one
        for one in refused
        if "ModelError" not in one["planned"]
        or f"'{one['tensor']}' is of type {one['type']}, " not in one["planned"]
    ]
    assert unnamed == []
    ran = {(one["tensor"], one["type"]) for one in found if not one["planned"]}
    assert not [name for name, type_name in ran if type_name in FOREIGN]
    # Nothing that is computed is refused.
    matrices = {one["tensor"] for one in found if "attn_q.weight" in one["tensor"]}
    assert all((name, type_name) in ran for name in matrices for type_name in ("f32", "bf16"))


@pytest.mark.parametrize("type_name", ["q4_0", "f16", "bf16"])
def test_a_norm_of_an_encoder(type_name: str, tmp_path: Path) -> None:
    """No plan has its graph, so that the weight alone has to tell."""
    name = "enc.blk.0.attn_norm.weight"
    path = retyped(write_t5(tmp_path / "t5.gguf"), tmp_path / "norm.gguf", name, type_name)
    # In a process that knows of no device but the CPU, whatever tests before have added.
    code = "import sys, retyped; from pathlib import Path; "
    code += "print(retyped.json.dumps(retyped.outcome_in_a_child(Path(sys.argv[1]), 1)))"
    command = [sys.executable, "-c", code, str(path)]
    folder = Path(program.__file__).parent
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    found = json.loads(answer.stdout)
    assert found["signal"] == 0
    assert f"'{name}' is of type {type_name}, with which no kernel" in str(found["planned"])
    assert found["ran"] == found["planned"]


@pytest.fixture
def foreign(small_model: ModelMaker, tmp_path: Path) -> Path:
    path = tmp_path / "foreign.gguf"
    return retyped(small_model("llama", "F16"), path, "blk.1.ffn_up.weight", "i16")


def test_commands_refuse_it(foreign: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("words " * 2000, encoding="utf-8")
    for arguments in (
        ("memory", foreign),
        ("memory", foreign, "--n-ctx", "256,512"),
        ("breakdown", foreign, "--ceilings", "off"),
        ("compare", foreign, foreign),
        ("quant", "quality", foreign, "--text", text, "--n-ctx", 64),
    ):
        answer = run(*arguments)
        assert answer.returncode in (1, 2), (arguments, answer.stdout, answer.stderr)
        (line,) = [line for line in answer.stderr.splitlines() if "no kernel" in line][-1:]
        assert "'blk.1.ffn_up.weight' is of type i16, with which no kernel computes MUL_MAT" in line
        assert "SIG" not in answer.stderr and "Traceback" not in answer.stderr


def test_a_sweep_goes_on(foreign: Path, small_model: ModelMaker, tmp_path: Path) -> None:
    arguments = ("--n-prompt", 2, "--n-gen", 1, "--repeats", 1, "--ceilings", "off")
    folder = tmp_path / "sweep"
    answer = run("sweep", foreign, small_model(), "-o", folder, *arguments, "--format", "json")
    assert answer.returncode == 1, answer.stderr
    document = json.loads(answer.stdout)
    assert len(document["points"]) == 1
    (failure,) = document["failures"]
    assert "'blk.1.ffn_up.weight' is of type i16" in failure["message"]


def test_a_table_of_integers_is_read_but_not_as_an_embedding(
    small_model: ModelMaker, tmp_path: Path
) -> None:
    path = retyped(small_model(), tmp_path / "rows.gguf", "token_embd.weight", "i32")
    with pytest.raises(ModelError, match=r"'token_embd\.weight' is of type i32"):
        plan_memory(path)


def test_a_model_that_only_says_how_many_tokens_it_has(tmp_path: Path) -> None:
    """llama.cpp makes as many, however few rows the embedding has."""
    metadata = {
        **common_metadata("llama"),
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.context_length": 128,
        "llama.embedding_length": 64, "llama.block_count": 1, "llama.feed_forward_length": 64,
        "llama.attention.head_count": 2, "llama.vocab_size": 60_000_000,
    }  # fmt: skip
    path = write_gguf(tmp_path / "many.gguf", metadata, llama_shapes(1, 64, 64, 64, 64))
    for command in (("memory", path), ("breakdown", path, "--ceilings", "off")):
        answer = run(*command)
        assert answer.returncode == 2, answer.stderr
        assert "has no vocabulary, but says that it has 60000000 tokens" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1


def test_quant_refuses_or_keeps_it(foreign: Path, tmp_path: Path) -> None:
    for arguments in (
        ("quant", "dry-run", foreign, "--file-type", "Q4_0"),
        ("quant", "make", foreign, "--file-type", "Q4_0", "-o", tmp_path / "made.gguf"),
    ):
        answer = run(*arguments)
        assert answer.returncode in (0, 1, 2), answer.stderr
        assert "SIG" not in answer.stderr and "Traceback" not in answer.stderr
        assert answer.returncode == 0 or len(answer.stderr.splitlines()) >= 1


def test_a_model_planned_in_another_type_is_named_as_it_was_asked_for(
    small_model: ModelMaker, tmp_path: Path
) -> None:
    """And not by its outline, which is gone when somebody reads of it."""
    source = small_model("llama", "F16", n_layer=2)
    model = retyped(source, tmp_path / "m.gguf", "blk.1.ffn_norm.weight", "bf16")
    answer = run("memory", model, "--file-type", "Q2_K")
    assert answer.returncode == 2
    assert f"{model} as Q2_K: tensor 'blk.1.ffn_norm.weight' is of type bf16" in answer.stderr
    assert "slmprof-" not in answer.stderr
