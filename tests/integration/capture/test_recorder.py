"""What the hooks record, against what the graph says must have run."""

from __future__ import annotations

import _thread
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import make_settings

from slmprof import _core
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING, STAGE_OP

ModelMaker = Callable[..., Path]
PROMPT = np.arange(1, 41, dtype=np.int32)
NO_WORK = {"NONE", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"}
FLAG_COMPUTE = 16

pytestmark = pytest.mark.usefixtures("two_cores")


def open_engine(path: Path, **settings: Any) -> _core.Engine:
    return _core.Engine(make_settings(path, **{"n_threads": 2, **settings}))


def observe(engine: _core.Engine, n_gen: int = 3, aggregate: bool = False) -> dict[str, Any]:
    engine.truncate(0)
    engine.prefill(PROMPT, PASS_OP, aggregate=aggregate)
    engine.decode(PROMPT[:n_gen], PASS_OP, aggregate=aggregate)
    return dict(engine.take())


def executed_nodes(chunk: dict[str, Any], graph: int) -> list[int]:
    """Nodes that do work, by the graph's own table."""
    tensors, texts = chunk["tensors"], chunk["strings"]
    return [
        int(node)
        for node, op, flags, owner, *shape in zip(
            tensors["node"], tensors["op"], tensors["flags"], tensors["graph"],
            *(tensors[f"ne{i}"] for i in range(4)), strict=True,
        )
        if owner == graph and node >= 0 and texts[op] not in NO_WORK
        and flags & FLAG_COMPUTE and all(shape)
    ]  # fmt: skip


def test_every_working_node_runs_once_on_every_thread(small_model: ModelMaker) -> None:
    chunk = observe(open_engine(small_model()))
    events, runs = chunk["events"], chunk["runs"]
    assert len(runs["step"]) == 4
    for run, graph in enumerate(runs["graph"].tolist()):
        expected = executed_nodes(chunk, graph)
        for thread in range(2):
            mine = (events["run"] == run) & (events["lane"] == thread)
            nodes = [
                node + i
                for node, n_fused in zip(events["node"][mine], events["n_fused"][mine], strict=True)
                for i in range(n_fused + 1)
            ]
            assert nodes == expected


def test_spans_tile_each_run(small_model: ModelMaker) -> None:
    chunk = observe(open_engine(small_model()))
    events, runs = chunk["events"], chunk["runs"]
    for run in range(len(runs["step"])):
        mine = (events["run"] == run) & (events["lane"] == 0)
        begins, ends = events["begin_ns"][mine], events["end_ns"][mine]
        assert begins[0] == runs["begin_ns"][run]
        assert np.all(begins[1:] >= ends[:-1])
        assert np.all(ends >= begins)
        assert ends[-1] <= runs["end_ns"][run]


def test_segments_and_runs_lie_in_their_step_without_overlap(small_model: ModelMaker) -> None:
    chunk = observe(open_engine(small_model(), n_ubatch=16))
    steps, segments, runs = chunk["steps"], chunk["segments"], chunk["runs"]
    assert np.sum(runs["step"] == 0) == 3  # 40 tokens in batches of 16
    for step in range(len(steps["phase"])):
        intervals = sorted(
            [(b, e) for s, b, e in zip(segments["step"], segments["begin_ns"], segments["end_ns"],
                                       strict=True) if s == step]
            + [(b, e) for s, b, e in zip(runs["step"], runs["begin_ns"], runs["end_ns"],
                                         strict=True) if s == step]
        )  # fmt: skip
        assert intervals[0][0] >= steps["begin_ns"][step]
        assert intervals[-1][1] <= steps["end_ns"][step]
        for (_, end), (begin, _) in itertools.pairwise(intervals):
            assert begin >= end
    names = {0, 1, 2, 3, 4, 6}  # no copies: one backend
    assert set(segments["kind"].tolist()) == names


def test_nothing_is_recorded_with_the_hooks_off(small_model: ModelMaker) -> None:
    engine = open_engine(small_model())
    engine.prefill(PROMPT, PASS_TIMING)
    engine.decode(PROMPT[:2], PASS_TIMING)
    chunk = engine.take()
    assert len(chunk["steps"]["phase"]) == 3
    for table in ("segments", "runs", "events", "stats", "graphs", "tensors"):
        assert all(len(column) == 0 for column in chunk[table].values()), table


def test_hooks_do_not_change_the_result(small_model: ModelMaker) -> None:
    engine = open_engine(small_model())
    logits = []
    for kind in (PASS_TIMING, PASS_OP):
        engine.truncate(0)
        engine.prefill(PROMPT, kind)
        engine.decode(PROMPT[:4], kind)
        logits.append(engine.last_logits())
    assert np.all(np.isfinite(logits[0]))
    assert np.array_equal(logits[0], logits[1])


def test_the_fused_norm_is_one_op_with_its_members(small_model: ModelMaker) -> None:
    chunk = observe(open_engine(small_model()))
    tensors, texts = chunk["tensors"], chunk["strings"]
    names = {
        (int(g), int(n)): texts[op]
        for g, n, op in zip(tensors["graph"], tensors["node"], tensors["op"], strict=True)
    }
    graphs = chunk["runs"]["graph"][chunk["events"]["run"]]
    fused = chunk["events"]["n_fused"] > 0
    pairs = {
        (names[g, n], names[g, n + 1])
        for g, n in zip(
            graphs[fused].tolist(), chunk["events"]["node"][fused].tolist(), strict=True
        )
    }
    assert pairs == {("RMS_NORM", "MUL")}


def test_rebuilt_graphs_are_known_again(small_model: ModelMaker) -> None:
    engine = open_engine(small_model())
    first = observe(engine)
    second = observe(engine)
    assert len(first["graphs"]["hash"]) == 2  # prefill, decode
    assert len(second["graphs"]["hash"]) == 0
    assert second["runs"]["graph"].tolist() == first["runs"]["graph"].tolist()


def test_a_timing_pass_between_does_not_confuse_graphs(small_model: ModelMaker) -> None:
    engine = open_engine(small_model())
    first = observe(engine, n_gen=2)
    engine.truncate(0)
    engine.prefill(PROMPT[:7], PASS_TIMING)  # leaves another graph at the known addresses
    engine.decode(PROMPT[:2], PASS_OP)
    chunk = engine.take()
    # Decode after 7 tokens pads its KV as after 40: the same graph, found by its structure.
    assert set(chunk["runs"]["graph"].tolist()) == {int(first["runs"]["graph"][-1])}


def test_overflow_is_counted(small_model: ModelMaker) -> None:
    whole = observe(open_engine(small_model()), n_gen=1)
    n_ops = len(whole["events"]["run"]) // 2
    engine = open_engine(small_model(), event_capacity=20)
    engine.prefill(PROMPT, PASS_OP)
    chunk = engine.take()
    prefill_ops = int(np.sum((whole["events"]["run"] == 0) & (whole["events"]["lane"] == 0)))
    assert prefill_ops < n_ops
    assert np.sum(chunk["events"]["lane"] == 0) == 20
    assert chunk["runs"]["n_dropped"].sum() == 2 * (prefill_ops - 20)


def test_small_buffers_collect_between_steps(small_model: ModelMaker) -> None:
    engine = open_engine(small_model(), event_capacity=300)
    chunk = observe(engine, n_gen=20)
    assert chunk["runs"]["n_dropped"].sum() == 0
    assert len(chunk["runs"]["step"]) == 21
    assert np.all(np.diff(chunk["events"]["run"]) >= 0)


def test_aggregate_counts_what_events_hold(small_model: ModelMaker) -> None:
    engine = open_engine(small_model(), event_capacity=300)
    events = observe(engine, n_gen=10)
    stats = observe(engine, n_gen=10, aggregate=True)
    assert len(stats["events"]["run"]) == 0
    graphs = events["runs"]["graph"][events["events"]["run"]]
    # What disturbed a step of the second run is not for this test to decide.
    is_counted = stats["steps"]["set_apart"] == 0
    first = events["events"]["lane"] == 0
    first &= is_counted[events["runs"]["step"]][events["events"]["run"]]
    expected: dict[tuple[int, int], int] = {}
    nodes = events["events"]["node"][first]
    for graph, node in zip(graphs[first].tolist(), nodes.tolist(), strict=True):
        expected[graph, node] = expected.get((graph, node), 0) + 1
    table = stats["stats"]
    whole = table["stage"] == STAGE_OP
    counted = {
        (int(g), int(n)): int(c)
        for g, n, c in zip(
            *(table[name][whole] for name in ("graph", "node", "calls")), strict=True
        )
    }
    assert counted == expected
    runs = stats["runs"]
    counted_ns = (runs["end_ns"] - runs["begin_ns"])[is_counted[runs["step"]]]
    assert table["span_sum_ns"].sum() == counted_ns.sum()
    assert np.all(table["span_min_ns"] * table["calls"] <= table["span_sum_ns"])
    assert np.all(table["span_max_ns"] * table["calls"] >= table["span_sum_ns"])


@pytest.mark.parametrize(
    ("use_repack", "path"), [(True, "repack gemv_q4_K"), (False, "vec_dot_q4_K_q8_K")]
)
def test_the_path_that_ran_is_seen(small_model: ModelMaker, use_repack: bool, path: str) -> None:
    engine = open_engine(small_model(), use_repack=use_repack)
    if use_repack and not any("REPACK" in b["buffer_type"] for b in engine.buffers()):
        pytest.skip("this build repacks nothing for this processor")
    chunk = observe(engine, n_gen=1)
    decode = chunk["events"]["run"] == 1
    seen = {chunk["strings"][p] for p in np.unique(chunk["events"]["path"][decode])}
    assert any(text.startswith(path) for text in seen), seen


def test_float_weights_take_other_paths(small_model: ModelMaker) -> None:
    engine = open_engine(small_model("llama", "F16"), flash_attn=0)
    chunk = observe(engine, n_gen=1)
    seen = {chunk["strings"][p] for p in np.unique(chunk["events"]["path"])}
    assert "vec_dot_f16_f16" in seen
    assert "flash_attn_vec" not in seen
    with_flash = observe(open_engine(small_model("llama", "F16"), flash_attn=1), n_gen=1)
    seen = {with_flash["strings"][p] for p in np.unique(with_flash["events"]["path"])}
    assert any(text.startswith("flash_attn") for text in seen)


def test_only_one_recording_at_a_time_but_two_sessions_may_take_turns(
    small_model: ModelMaker,
) -> None:
    one, two = open_engine(small_model()), open_engine(small_model("qwen2"))
    for _ in range(2):
        for engine in (one, two):
            engine.truncate(0)
            engine.prefill(PROMPT, PASS_OP)
    assert len(one.take()["runs"]["step"]) == len(two.take()["runs"]["step"]) == 2


def test_bad_tokens_are_refused(small_model: ModelMaker) -> None:
    engine = open_engine(small_model())
    for tokens, message in [
        ([], "no tokens"), ([-1], "vocabulary"), ([512], "vocabulary"), ([1] * 600, "context"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            engine.prefill(np.array(tokens, dtype=np.int32), PASS_TIMING)
    engine.prefill(PROMPT, PASS_TIMING)
    assert engine.n_past == len(PROMPT)


def test_the_module_exports_nothing_but_its_entry() -> None:
    import shutil
    import subprocess

    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm on this machine")
    assert _core.__file__ is not None
    answer = subprocess.run(
        [nm, "-D", "--defined-only", _core.__file__], capture_output=True, text=True, check=True
    )
    names = [line.split()[-1] for line in answer.stdout.splitlines()]
    assert [name for name in names if "ggml" in name or "llama" in name] == []
    assert "PyInit__core" in names


def test_an_interrupted_pass_leaves_whole_steps(small_model: ModelMaker) -> None:
    engine = open_engine(small_model(), n_ctx=8192)
    engine.prefill(PROMPT, PASS_OP)

    def interrupt() -> None:
        while engine.n_past < len(PROMPT) + 3:
            pass
        _thread.interrupt_main()

    watcher = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):
        watcher.start()
        engine.decode(np.ones(8000, dtype=np.int32), PASS_OP)
    watcher.join()
    n_past = engine.n_past
    assert n_past < 8000
    engine.decode(PROMPT[:2], PASS_OP)
    chunk = engine.take()
    n_steps = 1 + n_past - len(PROMPT) + 2
    assert len(chunk["steps"]["phase"]) == n_steps
    assert sorted(chunk["runs"]["step"].tolist()) == list(range(n_steps))
    assert set(chunk["events"]["run"].tolist()) == set(range(n_steps))
    assert set(chunk["segments"]["step"].tolist()) == set(range(n_steps))


def test_the_buffers_grow_with_the_prompt(small_model: ModelMaker) -> None:
    deep = small_model("llama", "Q4_K_M", n_layer=40)
    engine = open_engine(deep, n_ctx=1024, n_ubatch=8, n_threads=1)
    engine.prefill(np.ones(960, dtype=np.int32), PASS_OP)
    chunk = engine.take()
    assert len(chunk["runs"]["step"]) == 120
    assert len(chunk["events"]["run"]) > 1 << 16
    assert chunk["runs"]["n_dropped"].sum() == 0


def test_a_context_observed_by_callback_has_no_op_passes(small_model: ModelMaker) -> None:
    # Its graphs are pieces that are gone when their step ends.
    engine = open_engine(small_model(), observe_by_callback=True)
    with pytest.raises(ValueError, match="callback"):
        engine.prefill(PROMPT, PASS_OP)
    engine.prefill(PROMPT, PASS_TIMING)
    assert engine.n_past == len(PROMPT)


def test_two_threads_share_an_engine(small_model: ModelMaker) -> None:
    engine, other = open_engine(small_model(), n_ctx=8192), open_engine(small_model("qwen2"))
    n_taken = 0
    finished = threading.Event()

    def run() -> None:
        engine.decode(np.ones(2000, dtype=np.int32), PASS_OP)
        finished.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not finished.is_set():
        n_taken += len(engine.take()["steps"]["phase"])
        other.truncate(0)
        other.prefill(PROMPT, PASS_OP)
        engine.buffers()
    thread.join()
    last = engine.take()
    assert n_taken + len(last["steps"]["phase"]) == 2000


def test_threads_that_rest_are_woken_by_the_next_run(small_model: ModelMaker) -> None:
    engine = open_engine(small_model(), n_threads=2)
    engine.rest()  # before any run, too
    engine.prefill(PROMPT, PASS_OP)
    before = engine.last_logits()
    for _ in range(20):
        engine.rest()
        engine.rest()
        assert engine.truncate(0)
        engine.prefill(PROMPT, PASS_OP)
        assert (engine.last_logits() == before).all()
    assert len(engine.take()["runs"]["step"]) == 21
