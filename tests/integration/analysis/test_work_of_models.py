"""The work of real graphs: nothing unknown, and the sums that a model's tensors dictate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_models import ARCHITECTURES, small_dimensions

import slmprof
from slmprof.analysis.work.counts import GraphWork, Work
from slmprof.models.architectures import list_tensors
from slmprof.profiles.tables import TensorTable
from slmprof.views import Profile

ModelMaker = Callable[..., Path]
Executed = list[tuple[TensorTable, int, Work]]


def _measure(model: str | Path, flash_attn: str = "auto") -> Profile:
    with slmprof.Session(model, n_ctx=256, threads=1, flash_attn=flash_attn) as session:
        session.prefill(20)
        session.decode(1)
        return session.profile()


def _executed(profile: Profile, run: int) -> Executed:
    """Every op of one graph run, with its work."""
    events = profile.events.take(profile.events.run == run)
    tensors = profile.tensors.of_graph(int(profile.runs.graph[run]))
    work = GraphWork(tensors, profile.strings, profile.types.by_name(profile.strings))
    keys = np.unique(np.stack([events.node, events.n_fused], axis=1), axis=0).tolist()
    return [(tensors, node, work.of(node, n_fused)) for node, n_fused in keys]


@pytest.mark.parametrize("flash_attn", ["on", "off"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_op_has_its_work(small_model: ModelMaker, architecture: str, flash_attn: str) -> None:
    ops = _measure(small_model(architecture), flash_attn).ops()
    unknown = ops[ops[["flops", "bytes", "weight_bytes"]].isna().any(axis=1)]
    assert unknown.empty, set(unknown["op"])
    assert (ops["bytes"] > 0).all()
    assert (ops["weight_bytes"] <= ops["bytes"]).all()


def test_attention_counts_the_keys_that_are_there_not_those_of_the_context(
    small_model: ModelMaker,
) -> None:
    ops = _measure(small_model("llama"), "on").ops()
    attention = ops[ops["op"] == "FLASH_ATTN_EXT"]
    # Four heads of 64; for each pair of query and key two products, a soft max of four operations
    # and its mask; for each query and head a division of what is left.
    of_pair, of_query = 2 * 64 + 2 * 64 + 5, 64 + 1
    prompt = attention[(attention["phase"] == "prefill") & (attention["layer"] == 0)]
    assert prompt["flops"].tolist() == [4 * (20 * 21 / 2 * of_pair + 20 * of_query)]
    token = attention[attention["phase"] == "decode"]
    assert set(token["flops"]) == {4 * (21 * of_pair + of_query)}


@pytest.mark.parametrize("file_type", ["Q4_K_M", "F16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_decode_reads_each_weight_once_and_multiplies_with_it(
    small_model: ModelMaker, architecture: str, file_type: str
) -> None:
    profile = _measure(small_model(architecture, file_type))
    decode = _executed(profile, len(profile.runs) - 1)
    product_flops = 0.0
    multiplied, looked_up = set(), {}
    for tensors, node, work in decode:
        op, first = profile.text(int(tensors.op[node])), int(tensors.src0[node])
        name = profile.text(int(tensors.name[first])) if first >= 0 else ""
        if op == "MUL_MAT" and name.endswith(".weight"):
            product_flops += work.flops or 0.0
            multiplied.add(name)
        if op == "GET_ROWS" and name.endswith(".weight"):
            looked_up[name] = int(tensors.size_bytes[first]), int(tensors.nb1[first])
    matrices = {
        spec.name: spec.n_elements
        for spec in list_tensors(small_dimensions(architecture))
        if len(spec.shape) == 2 and (spec.name in multiplied or spec.name not in looked_up)
    }
    assert set(matrices) == multiplied
    assert product_flops == 2 * sum(matrices.values())
    # Every tensor of the file once; of embeddings, unless they are the head too, one row.
    expected = sum(profile.meta.model.tensor_types.values())
    for name, (table_bytes, row_bytes) in looked_up.items():
        expected += row_bytes - (0 if name in multiplied else table_bytes)
    assert sum(work.weight_bytes or 0 for _, _, work in decode) == expected
