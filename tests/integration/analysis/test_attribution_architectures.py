"""Every op of real graphs has its block, for every architecture that the presets are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_models import ARCHITECTURES

import slmprof

ModelMaker = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("two_cores")


@pytest.mark.parametrize("flash_attn", ["on", "off"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_time_is_left_without_a_block(
    small_model: ModelMaker, architecture: str, flash_attn: str
) -> None:
    path = small_model(architecture)
    with slmprof.Session(path, n_ctx=256, threads=2, flash_attn=flash_attn) as session:
        session.prefill(20)
        session.decode(2)
        profile = session.profile()
    ops = profile.ops()
    assert set(ops["block"]) == {"embedding", "attention", "ffn", "lm_head"}
    assert (ops["part"] != "").all()
    for phase in ("prefill", "decode"):
        mine = ops[ops["phase"] == phase]
        for block in ("attention", "ffn"):
            assert set(mine.loc[mine["block"] == block, "layer"].dropna()) == {0, 1, 2}
        parts = set(mine.loc[mine["block"] == "attention", "part"])
        expected = {"flash_attn"} if flash_attn == "on" else {"scores", "softmax", "values"}
        assert {"qkv", "kv_write", "out_proj", *expected} <= parts
    outside = ops[ops["layer"].isna()]
    assert set(outside["block"]) <= {"embedding", "lm_head", "attention"}
    # Only masks and positions, which all layers share, are attention outside the layers.
    assert set(outside.loc[outside["block"] == "attention", "part"]) <= {"mask", "rope"}
