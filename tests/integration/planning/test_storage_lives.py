"""Lives of a graph's storages against the places that ggml's allocator gave them.

No two storages that are alive at once may share a byte, and one that takes over another's place
must lie there: then the lives are the allocator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from corpus_run import FLASH_ATTN, MODELS, Corpus
from engines import open_engine
from small_models import ARCHITECTURES

import slmprof
from slmprof import _core
from slmprof.analysis.memory.liveness import Lives, find_lives
from slmprof.analysis.memory.peak import find_peak
from slmprof.planning.peaks import PeakFinder
from slmprof.profiles.tables import TensorTable

_ALIGNMENT = 64


def faults(tensors: TensorTable, strings: Sequence[str]) -> list[str]:
    """What cannot be of a graph's lives, in words."""
    lives = find_lives(tensors, list(strings))
    moment = find_peak(lives)
    found = []
    if not len(lives):
        found.append("no storages")
    if _n_overlaps(lives):
        found.append(f"{_n_overlaps(lives)} pairs overlap")
    taken = lives.place >= 0
    if (lives.offset_bytes[taken] != lives.offset_bytes[lives.place[taken]]).any():
        found.append("a storage was to take over a place and lies elsewhere")
    needed = lives.needed_bytes()[moment.step + 1]
    if not needed <= moment.lower_bound_bytes <= moment.end_bytes:
        found.append(f"the lower bound is out of order: {needed} bytes needed, {moment}")
    if not needed <= moment.live_bytes <= moment.end_bytes:
        found.append(f"more bytes alive than there are: {moment}")
    return found


def _n_overlaps(lives: Lives) -> int:
    """Pairs of storages that are there at the same time with a byte in common."""
    begin, end = lives.offset_bytes, lives.offset_bytes + lives.size_bytes
    in_place = (begin[:, None] < end[None, :]) & (begin[None, :] < end[:, None])
    in_place &= lives.buffer[:, None] == lives.buffer[None, :]
    born, dead = lives.birth, lives.death
    in_time = (born[:, None] <= dead[None, :]) & (born[None, :] <= dead[:, None])
    is_there = (born <= dead) & (lives.size_bytes > 0)
    both = in_place & in_time & is_there[:, None] & is_there[None, :]
    return int(np.triu(both, 1).sum())


@pytest.mark.parametrize("flash_attn", FLASH_ATTN)
def test_every_architecture_that_llama_cpp_can_build(corpus: Corpus, flash_attn: str) -> None:
    found = {}
    for name in MODELS:
        profile = slmprof.load(corpus.profile_path(name, flash_attn))
        for graph in range(len(profile.graphs)):
            found[name, graph] = faults(profile.tensors.of_graph(graph), profile.strings)
    assert {key: texts for key, texts in found.items() if texts} == {}


@pytest.mark.parametrize("flash_attn", [0, 1])
def test_the_peak_is_the_allocated_buffer(
    small_model: Callable[..., Path], flash_attn: int
) -> None:
    for architecture in ARCHITECTURES:
        settings = _core.EngineSettings()
        settings.path = str(small_model(architecture, "Q8_0"))
        settings.n_ctx, settings.flash_attn, settings.n_threads = 512, flash_attn, 1
        sizes = []
        for graph in _core.Planner(settings).plan(settings)["graphs"]:
            tensors = TensorTable.from_columns(graph["tensors"])
            assert faults(tensors, graph["strings"]) == [], architecture
            peak = PeakFinder().peak(graph)
            end = find_peak(find_lives(tensors, graph["strings"])).end_bytes
            assert 0 <= peak.size_bytes - end < _ALIGNMENT, architecture
            assert sum(tensor.size_bytes for tensor in peak.tensors) == peak.live_bytes
            sizes.append(peak.size_bytes)
        engine = open_engine(Path(settings.path), flash_attn=flash_attn)
        allocated = [b["size_bytes"] for b in engine.buffers() if b["kind"] == "compute"]
        assert [max(sizes)] == allocated, architecture
