"""Choices as recipes: the patterns find the weights that they are for, and no other one."""

from __future__ import annotations

import re

from slmprof.studies.recipes import patterns, recipe_of

NAMES = [f"blk.{i}.{role}.weight" for i in range(12) for role in ("attn_q", "ffn_gate")]
NAMES += ["token_embd.weight", "output.weight"]


def test_patterns_find_their_weights_only() -> None:
    own = ["blk.1.attn_q.weight", "blk.11.attn_q.weight", "blk.2.ffn_gate.weight", "output.weight"]
    made = patterns(own)
    assert len(made) == 3
    assert [name for name in NAMES if any(re.search(one, name) for one in made)] == sorted(
        own, key=NAMES.index
    )


def test_a_name_with_signs_is_read_as_itself() -> None:
    (made,) = patterns(["a+b(c).weight"])
    assert re.search(made, "a+b(c).weight") and not re.search(made, "aab(c).weight")


def test_each_weight_gets_its_type() -> None:
    types = dict.fromkeys(NAMES, "q4_0") | {
        "blk.3.attn_q.weight": "q8_0", "token_embd.weight": "q6_K", "output.weight": "f16",
    }  # fmt: skip
    made = recipe_of(types)
    assert made.file_type == "Q4_0" and made.scheme is None
    assert (made.token_embedding_type, made.output_tensor_type) == ("q6_K", "f16")
    pairs = made.tensor_types()
    for name, type_ in types.items():
        first = next(given for pattern, given in pairs if re.search(pattern, name))
        assert first == type_, name


def test_a_scheme_takes_its_weights() -> None:
    types = dict.fromkeys(NAMES, "q4_0") | {"blk.3.attn_q.weight": "custom:mine"}
    made = recipe_of(types, scheme="mine.c:mine", imatrix="i.gguf")
    assert made.scheme == "mine.c:mine" and made.imatrix == "i.gguf"
    assert made.scheme_tensors is not None
    found = [name for name in NAMES if re.search(made.scheme_tensors, name)]
    assert found == ["blk.3.attn_q.weight"]
