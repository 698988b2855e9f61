"""A decode step reads the weights that it must, to the byte.

What it must read comes from the file's header: every tensor once, of the embeddings the rows of one
token, of a mixture of experts the matrices of as many experts as one token is routed to. What was
read is the column `weight_bytes` of the ops table, which sees the graph alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
import pytest
from corpus_run import MODELS, Corpus
from gguf_header import GgufHeader, read_header
from small_models import ARCHITECTURES

import slmprof
from slmprof.profiles.vocabulary import USAGES
from slmprof.views import Profile

ModelMaker = Callable[..., Path]

# Of these a token takes its own row.
LOOKED_UP = ("token_embd.weight", "position_embd.weight")


def decode_weight_bytes(profile: Profile) -> int:
    """`weight_bytes` of all ops of a mean decode step."""
    ops = profile.ops()
    total = float(ops.loc[ops["phase"] == "decode", "weight_bytes"].sum())
    assert total.is_integer()
    return int(total)


@pytest.mark.parametrize("file_type", ["Q4_K_M", "F16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_dense_model_is_read_once_a_token(
    small_model: ModelMaker, architecture: str, file_type: str
) -> None:
    path = small_model(architecture, file_type)
    header = read_header(path)
    needed = 0
    for tensor in header.tensors.values():
        if tensor.name in LOOKED_UP:
            needed += tensor.size_bytes // tensor.shape[-1]
        else:
            needed += tensor.size_bytes
    if "output.weight" not in header.tensors:
        needed += header.tensors["token_embd.weight"].size_bytes  # it is the head too
    with slmprof.Session(path, n_ctx=256, threads=1) as session:
        session.prefill(20)
        session.decode(3)
        profile = session.profile()
    assert decode_weight_bytes(profile) == needed


@pytest.mark.parametrize("name", MODELS)
def test_the_corpus_reads_what_it_must(corpus: Corpus, name: str) -> None:
    """Files of the corpus hold tensors that no graph uses, and layers may share some: so a weight
    counts as often as the decode graph reads it, with its size in the file."""
    profile = slmprof.load(corpus.profile_path(name, "auto"))
    reads = weights_read(profile)
    header = corpus.headers[name]
    assert {read.weight for read in reads} <= set(header.tensors)
    assert decode_weight_bytes(profile) == sum(bytes_of(read, header) for read in reads)


@dataclass(frozen=True)
class Read:
    """An op of the graph and a weight, or a view of it, that it reads.

    Attributes:
        n_elements: of the view.
        n_ids: how many rows or experts an op that chooses is told to take; 0 where it takes all.
    """

    weight: str
    op: str
    n_elements: int
    n_ids: int


def weights_read(profile: Profile) -> list[Read]:
    """What the ops of the last graph, a decode step's, read of the weights."""
    graph = profile.tensors.of_graph(int(profile.runs.graph[-1]))
    shapes, sources = graph.shapes(), graph.sources()
    reads = set()
    for row, op in enumerate(map(profile.text, graph.op.tolist())):
        if op in ("NONE", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE") or not graph.flags[row] & 16:
            continue
        ids = {"GET_ROWS": 1, "MUL_MAT_ID": 2, "ADD_ID": 2}.get(op, -1)
        n_ids = int(np.prod(shapes[sources[row][ids]])) if ids >= 0 else 0
        for source in sources[row].tolist():
            root = source
            while root >= 0 and graph.view_src[root] >= 0:
                root = int(graph.view_src[root])
            if root >= 0 and graph.usage[root] == USAGES.index("weights"):
                name = profile.text(int(graph.name[root]))
                reads.add((row, source, Read(name, op, int(np.prod(shapes[source])), n_ids)))
    return [read for _, _, read in reads]


def bytes_of(read: Read, header: GgufHeader) -> int:
    """Bytes of the weight in the file that the op needs for one token."""
    tensor = header.tensors[read.weight]
    n_bytes = tensor.size_bytes * read.n_elements // tensor.n_elements
    if read.op == "GET_ROWS":
        return n_bytes // (read.n_elements // tensor.shape[0]) * read.n_ids
    if read.op in ("MUL_MAT_ID", "ADD_ID"):
        # A token goes to so many experts, each another.
        assert read.n_ids == header.number("expert_used_count")
        assert tensor.shape[-1] == header.number("expert_count")
        return n_bytes // tensor.shape[-1] * read.n_ids
    if read.op == "DSV4_HC_COMB":
        # Of 3 scales the last, and of 2 n + n² biases those behind the 2 n, which other ops read.
        n_streams = isqrt(tensor.n_elements + 1) - 1
        n_needed = 1 if tensor.n_elements == 3 else n_streams**2
        return n_bytes // tensor.n_elements * n_needed
    return n_bytes
