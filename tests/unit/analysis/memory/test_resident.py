"""What is expected to be resident: touched pages, originals of copies, and the sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plan_builder import MIB, OUTPUT, PlannedGraph

from slmprof.analysis.memory.resident import (
    Steps,
    expect_resident,
    originals_bytes,
    placed,
    touched_bytes,
)
from slmprof.profiles.records.resident import ORIGINALS, Resident, ResidentLine

PAGE = 4096


def graph(n_rows: int, *, offset: int = 0, n_ops: int = 2, **how: Any) -> dict[str, Any]:
    """A weight times an input, and logits of `n_rows` rows far behind them."""
    made = PlannedGraph()
    weight = made.leaf("output.weight")
    ids = made.leaf("inp_tokens", 4 * n_rows, offset)
    last = made.op("GET_ROWS", weight, ids, name="embd", size_bytes=PAGE * n_rows, offset=PAGE)
    for i in range(n_ops - 1):
        flags = OUTPUT if i == n_ops - 2 else 16
        last = made.op(
            "MUL_MAT", weight, last, name=f"out{i}", size_bytes=PAGE * n_rows,
            offset=PAGE * (100 + 100 * i), flags=flags,
        )  # fmt: skip
    return made.planned(**how)


def test_of_a_reserved_graph_only_the_rows_that_are_computed_are_touched() -> None:
    reserved = graph(64)
    assert touched_bytes(reserved, [graph(1)]) == 3 * PAGE
    assert touched_bytes(reserved, [graph(64)]) == (1 + 64 + 64) * PAGE
    # What one graph has touched stays: the union of both.
    assert touched_bytes(reserved, [graph(64), graph(1)]) == (1 + 64 + 64) * PAGE


def test_a_graph_of_the_same_nodes_keeps_the_places_reserved() -> None:
    moved = graph(1, offset=7 * PAGE)
    assert touched_bytes(graph(64), [moved, graph(1)]) == 3 * PAGE


def test_a_graph_with_other_nodes_or_a_larger_one_is_placed_anew() -> None:
    moved = graph(1, offset=700 * PAGE, n_ops=3)
    assert touched_bytes(graph(64), [moved]) == 4 * PAGE
    assert touched_bytes(graph(64), [moved, graph(1)]) == (4 + 1) * PAGE
    assert touched_bytes(graph(1), [graph(2, offset=5000 * PAGE)]) == (1 + 2 + 2) * PAGE


def weights(*rows: tuple[str, int, int, int]) -> dict[str, Any]:
    """Places: buffer type, part of the file, offset in it, bytes."""
    return {
        "name": [f"w{i}" for i in range(len(rows))],
        "buffer_type": [row[0] for row in rows],
        "file": np.array([row[1] for row in rows]),
        "file_offset_bytes": np.array([row[2] for row in rows]),
        "size_bytes": np.array([row[3] for row in rows]),
    }


def test_originals_lie_within_the_mapped_range_and_are_used_nowhere_in_it() -> None:
    places = weights(
        ("CPU_Mapped", 0, 100, 50), ("CPU_Mapped", 0, 300, 50),
        ("CPU_REPACK", 0, 200, 40),  # between the two
        ("CPU_REPACK", 0, 400, 40),  # behind them: never mapped
        ("CPU_REPACK", 0, 300, 50),  # the output matrix that is the embedding, too
        ("CPU_REPACK", 1, 200, 40),  # another part, of which nothing is mapped
        ("CPU_REPACK", -1, -1, 40),
    )  # fmt: skip
    assert originals_bytes(places) == 40


GRAPHS = [graph(64), graph(1, phase="decode")]


def plan(*, has_memory: bool = True) -> dict[str, Any]:
    buffers = [
        ("CPU", "CPU_Mapped", "weights", 250), ("CPU", "CPU_REPACK", "weights", 40),
        ("CPU", "CPU", "kv_cache", MIB), ("CPU", "CPU", "output", 16),
        ("CUDA0", "CUDA0", "kv_cache", MIB), ("CPU", "CPU", "compute", 8 * MIB),
    ]  # fmt: skip
    names = ("device", "buffer_type", "kind", "size_bytes")
    return {
        "context": {
            "n_ctx": 4096, "n_seq_max": 1, "n_ubatch": 512, "n_threads": 2,
            "has_memory": has_memory,
        },
        "buffers": [dict(zip(names, row, strict=True)) for row in buffers],
    }  # fmt: skip


def test_a_prompt_of_any_length_is_planned_by_its_largest_ubatches() -> None:
    asked: list[tuple[int, int, int]] = []

    def graph_of(*settings: int) -> Any:
        asked.append(settings)
        return placed(graph(4))

    places = weights(("CPU_Mapped", 0, 0, 250), ("CPU_REPACK", 0, 100, 40))
    found = expect_resident(Steps(600, 4096, 1000), plan(), GRAPHS, graph_of, places, 5 * MIB)
    # 512 and 488 tokens before the prompt, then 512 and 88; cells in steps of 256.
    assert asked == [(512, 512, 1), (1024, 488, 1), (1536, 512, 1), (1792, 88, 1)]
    assert found.of_kind("compute") == (1 + 4 + 4) * PAGE
    assert found.of_kind("weights") == 250 and found.of_kind(ORIGINALS) == 40
    # What lies on a device is not in this process.
    assert found.of_kind("kv_cache") == MIB
    assert found.of_kind("heap") > 5 * MIB
    assert found.expected_bytes - found.needed_bytes == 40
    assert found.evictable_bytes == 250
    assert found.profiled_bytes - found.expected_bytes == found.of_kind("recorder") > 0


def test_a_model_that_only_encodes_has_outputs_for_each_token() -> None:
    whole = plan(has_memory=False)
    found = expect_resident(Steps(600, 4096), whole, GRAPHS, lambda *_: GRAPHS[0], weights(), 0)
    assert found.of_kind("output") == 512 * 16


@pytest.mark.parametrize("steps", [Steps(50, 2048), Steps(1, 256), Steps(512, 256)])
def test_cells_never_exceed_the_context(steps: Steps) -> None:
    assert all(n_cells <= steps.n_ctx for _, n_cells in steps.ubatches(512))


def test_sums() -> None:
    lines = (
        ResidentLine("weights", 100, is_evictable=True),
        ResidentLine(ORIGINALS, 10, is_evictable=True, is_needed=False),
        ResidentLine("kv_cache", 1000), ResidentLine("recorder", 10000),
    )  # fmt: skip
    found = Resident(512, lines)
    assert (found.expected_bytes, found.needed_bytes) == (1110, 1100)
    assert (found.evictable_bytes, found.profiled_bytes) == (110, 11110)
