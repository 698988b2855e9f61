"""What the names of weights say."""

from __future__ import annotations

import pytest

from slmprof.analysis.graphs import weight_roles
from slmprof.analysis.graphs.weight_roles import PARTS, role_of_name, state_layer, stem_and_layer


@pytest.mark.parametrize(
    ("name", "block", "part", "layer"),
    [
        ("blk.12.attn_q.weight", "attention", "qkv", 12),
        ("blk.3.ffn_down_exps.weight", "ffn", "experts", 3),
        ("blk.3.attn_v_exps.weight", "attention", "qkv", 3),
        ("blk.3.attn_v_gate.bias", "attention", "qkv", 3),
        ("dec.blk.1.cross_attn_o.weight", "attention", "out_proj", 1),
        ("blk.0.ssm_a", "recurrent", "scan", 0),
        ("blk.4.nextn.eh_proj.weight", "embedding", "mtp", -1),
        ("output_norm.weight", "lm_head", "norm", -1),
        ("blk.7.attn_q.weight.lora_a", "attention", "qkv", 7),
    ],
)
def test_names_of_weights(name: str, block: str, part: str, layer: int) -> None:
    role = role_of_name(name)
    assert role is not None
    assert (role.block, role.part, role.layer) == (block, part, layer)


def test_unknown_names_have_no_role() -> None:
    assert role_of_name("model.layers.0.self_attn.q_proj.weight") is None


@pytest.mark.parametrize("name", [f"blk.{10**20}.ffn_up.weight", f"cache_k_l{10**20}"])
def test_numbers_that_no_layer_has(name: str) -> None:
    assert stem_and_layer(name)[1] == -1
    assert state_layer(name) == -1


def test_every_rule_gives_a_part_of_its_block() -> None:
    for _, block, part, _ in weight_roles._RULES:
        assert part in PARTS[block], (block, part)
