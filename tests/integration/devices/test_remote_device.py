"""A device of another process: the one that runs on any machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from engines import open_engine
from gguf_files import write_mamba, write_moe
from plans import differences
from rpc_server import serving

import slmprof
from slmprof import _core
from slmprof.analysis.tables.splits import copy_table, split_table
from slmprof.analysis.timing.devices import serialized_devices
from slmprof.children.protocol import Progress
from slmprof.profiles.vocabulary import PASS_OP, PASS_SPLIT

ModelMaker = Callable[..., Path]

ARCHITECTURES = ("llama", "qwen2", "gemma2", "gptneox")


@pytest.fixture(scope="module")
def remote() -> Iterator[str]:
    with serving() as (name, _):
        yield name


@pytest.fixture(scope="module")
def partial(small_model: ModelMaker, remote: str) -> slmprof.Profile:
    """A profile of a model whose last layer and LM head are on the device."""
    settings = {"n_prompt": 20, "n_gen": 8, "repeats": 3, "threads": 1, "ceilings": "off"}
    return slmprof.profile(small_model(), device=remote, n_gpu_layers=2, **settings)


@pytest.mark.parametrize("n_gpu_layers", [0, 1, 2, -1])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_predicted_is_allocated_on_each_device(
    small_model: ModelMaker, remote: str, architecture: str, n_gpu_layers: int
) -> None:
    placed = {"devices": [remote], "n_gpu_layers": n_gpu_layers}
    for more in ({}, {"flash_attn": 0, "use_mmap": False}, {"type_k": "q8_0", "flash_attn": 1}):
        assert differences(small_model(architecture), **placed, **more) == []


def test_weights_caches_and_compute_lie_on_the_device(small_model: ModelMaker, remote: str) -> None:
    buffers = open_engine(small_model(), devices=[remote], n_gpu_layers=2).buffers()
    there = {buffer["kind"] for buffer in buffers if buffer["device"].startswith("RPC")}
    assert there == {"weights", "kv_cache", "compute"}
    assert {"weights", "kv_cache", "compute", "output"} == {
        buffer["kind"] for buffer in buffers if buffer["device"] == "CPU"
    }


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_device_computes_what_the_cpu_does(
    small_model: ModelMaker, remote: str, architecture: str
) -> None:
    path, tokens = small_model(architecture), np.arange(5, 25, dtype=np.int32)
    logits = []
    for placed in ({}, {"devices": [remote], "n_gpu_layers": 2}):
        engine = open_engine(path, n_threads=2, use_repack=False, flash_attn=0, **placed)
        for pass_kind in (PASS_OP, PASS_SPLIT):
            engine.truncate(0)
            engine.prefill(tokens, pass_kind)
            engine.decode(tokens[:3], pass_kind)
            logits.append(engine.last_logits())
    for one in logits[1:]:
        assert np.allclose(one, logits[0], rtol=1e-3, atol=1e-3 * np.abs(logits[0]).max())


@pytest.mark.usefixtures("any_load")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("n_gpu_layers", [1, 3, -1])
def test_all_time_and_every_layer_has_its_place(
    small_model: ModelMaker, remote: str, architecture: str, n_gpu_layers: int
) -> None:
    layers = "all" if n_gpu_layers < 0 else n_gpu_layers
    with slmprof.Session(
        small_model(architecture), device=remote, n_gpu_layers=layers, threads=1
    ) as session:
        session.prefill(16)
        session.decode(4)
        profile = session.profile()
    ops = profile.ops()
    assert set(ops["device"].dropna()) == {"CPU", "RPC0"}
    assert "UNRECORDED" not in set(ops["op"])
    placed = ops[ops["op"] != "SERIALIZATION"]
    assert (placed["part"] != "").all()
    assert "other" not in set(placed["block"])
    phases = profile.phases().set_index("phase")
    for phase, mine in ops.groupby("phase"):
        assert sorted(mine["layer"].dropna().unique()) == [0, 1, 2]
        assert mine["time_ms"].sum() == pytest.approx(
            phases.loc[phase, "segments_ms.ops"], rel=1e-9
        )
        assert phases.loc[phase, "attributed_share"] > 0.9


def test_a_preset_in_part_on_the_device(remote: str) -> None:
    settings = {"n_prompt": 8, "n_gen": 2, "repeats": 1, "threads": 1, "ceilings": "off"}
    profile = slmprof.profile("preset:tiny", device=remote, n_gpu_layers=10, **settings)
    splits = split_table(profile)
    assert splits["device"].tolist() == ["CPU", "RPC0"] * 2
    # The last nine of 30 layers, and the LM head.
    assert splits["last_layer"].tolist() == [20, 29] * 2
    # The work buffer is as large as the steps so far have asked for.
    memory = profile.memory()
    memory = memory[memory["kind"] != "work"]
    assert memory["size_bytes"].tolist() == memory["predicted_bytes"].tolist()


def test_a_recurrent_state_on_the_device(tmp_path: Path, remote: str) -> None:
    path = write_mamba(tmp_path / "model.gguf", n_layer=2, n_inner=128, n_state=16)
    assert differences(path, devices=[remote], n_gpu_layers=1) == []
    with slmprof.Session(path, device=remote, n_gpu_layers=1, threads=1) as session:
        session.prefill(8)
        session.decode(2)
        assert set(session.profile().ops()["device"].dropna()) == {"CPU", "RPC0"}


def test_splits_are_those_of_a_run_as_it_is(partial: slmprof.Profile) -> None:
    assert serialized_devices(partial) == ("RPC0",)
    steps = partial.steps
    assert (steps.pass_ == PASS_SPLIT).sum() == (steps.pass_ == PASS_OP).sum() == 3 * (1 + 8)
    splits = split_table(partial)
    decode = splits[splits["phase"] == "decode"]
    assert decode["device"].tolist() == ["CPU", "RPC0"]
    assert decode["calls"].tolist() == [1.0, 1.0]
    # The residual sum that ends layer 1 is computed where layer 2 reads it.
    assert decode["first_layer"].tolist() == [0, 1]
    assert decode["last_layer"].tolist() == [1, 2]
    nodes = partial.graphs.n_nodes[partial.runs.graph[-1]]
    assert decode["n_nodes"].sum() == nodes


def test_what_crosses_is_the_activations_of_a_step(partial: slmprof.Profile) -> None:
    copies = copy_table(partial)
    decode = copies[copies["phase"] == "decode"]
    assert set(decode["source"]) == {"CPU"}
    assert set(decode["target"]) == {"RPC0"}
    # What layer 2 reads of the residual stream: 256 floats.
    assert 256 * 4.0 in decode["bytes"].tolist()


def test_the_union_of_lanes_and_the_host_cover_a_step(partial: slmprof.Profile) -> None:
    for summary in partial.phase_summaries:
        assert summary.as_run is not None
        assert summary.as_run.attributed_share > 0.95
        assert summary.as_run.segments_ms.ops > 0


def test_every_table_says_that_it_is_serialized(partial: slmprof.Profile, tmp_path: Path) -> None:
    path = tmp_path / "run.slmprof"
    partial.save(path)
    answer = run("show", path)
    assert answer.returncode == 0, answer.stderr
    assert "serialized: RPC0 ran ops one by one" in answer.stdout
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert "Splits" in run("show", path, "--full").stdout
    for by in ("block", "layer", "kernel", "op", "part"):
        assert ", serialized" in run("show", path, "--by", by).stdout
    data = json.loads(run("show", path, "--format", "json").stdout)
    assert data["serialized"] == ["RPC0"]
    assert {row["device"] for row in data["splits"]} == {"CPU", "RPC0"}
    assert {lane["kind"] for lane in data["lanes"]} == {"cpu_thread", "device"}
    assert data["config"]["n_gpu_layers"] == 2
    assert all(row["bound"] is None for row in data["ops"] if row["device"] == "RPC0")


def test_statistics_are_those_of_events(small_model: ModelMaker, remote: str) -> None:
    """The recorder adds up what analysis derives from events, on a device too."""
    tokens = np.arange(5, 21, dtype=np.int32)
    engine = open_engine(small_model(), devices=[remote], n_gpu_layers=2, n_threads=1)
    engine.prefill(tokens, PASS_OP)
    engine.take()
    engine.truncate(0)
    engine.prefill(tokens, PASS_OP, aggregate=True)
    harvest = engine.take()
    kinds = [harvest["strings"][kind] for kind in harvest["lanes"]["kind"]]
    assert kinds == []  # told with the first one
    assert len(harvest["events"]["run"]) == 0
    on_device = harvest["stats"]["lane"] == 1
    assert on_device.any()
    assert (harvest["stats"]["wait_sum_ns"][on_device] == 0).all()


def test_more_layers_than_there_are_is_all_of_them(small_model: ModelMaker, remote: str) -> None:
    with slmprof.Session(small_model(), device=remote, n_gpu_layers=99) as session:
        assert session.used_config().n_gpu_layers == 4


def test_experts_of_products_on_the_cpu_are_counted(tmp_path: Path, remote: str) -> None:
    """What one lane routes is not looked up by the events of another."""
    path = write_moe(tmp_path / "model.gguf")
    found = []
    for placed in ({}, {"device": remote, "override_tensor": "exps=CPU"}):
        with slmprof.Session(path, n_ctx=128, threads=1, **placed) as session:
            session.prefill(6)
            ops = session.profile().ops()
        found.append(ops[ops["op"] == "MUL_MAT_ID"].set_index("tensor")["bytes"].sort_index())
    assert len(found[0]) and found[0].notna().all()
    assert found[1].to_dict() == found[0].to_dict()


@pytest.mark.usefixtures("two_cores")
def test_of_micro_batches_that_nobody_reads_the_end_is_not_known(
    small_model: ModelMaker, remote: str
) -> None:
    engine = open_engine(small_model(), devices=[remote], n_gpu_layers=2, n_ubatch=16, n_threads=2)
    engine.prefill(np.arange(5, 69, dtype=np.int32), PASS_SPLIT)
    runs = engine.take()["runs"]
    there = runs["n_threads"] == 1
    assert runs["is_end_seen"][there].tolist() == [0, 0, 0, 1]
    assert (runs["end_ns"] == runs["begin_ns"])[there].tolist() == [True, True, True, False]


def test_one_server_under_two_names_is_refused(small_model: ModelMaker, remote: str) -> None:
    twice = f"{remote},{remote.replace('127.0.0.1', 'localhost')}"
    answer = run("memory", small_model(), "--device", twice)
    assert answer.returncode == 2
    assert "name it once" in answer.stderr
    answer = run("memory", small_model(), "--device", f"{remote},{remote}")
    assert answer.returncode == 2 and "names a device twice" in answer.stderr


def test_what_listens_is_no_rpc_server(small_model: ModelMaker) -> None:
    if not _core.build_info()["rpc"]:
        pytest.skip("this build has no RPC (GGML_RPC)")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"rpc:127.0.0.1:{silent.getsockname()[1]}"
        answer = run("memory", small_model(), "--device", name)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "does not answer as an RPC server" in answer.stderr


def test_nobody_answers(small_model: ModelMaker) -> None:
    if not _core.build_info()["rpc"]:
        pytest.skip("this build has no RPC (GGML_RPC)")
    for command in ("breakdown", "memory"):
        answer = run(command, small_model(), "--device", "rpc:127.0.0.1:1")
        assert answer.returncode == 2
        assert answer.stderr.count("\n") == 1
        assert "no RPC server answers at 127.0.0.1:1" in answer.stderr


def test_a_build_without_rpc_says_so(small_model: ModelMaker) -> None:
    if _core.build_info()["rpc"]:
        pytest.skip("this build has RPC")
    answer = run("memory", small_model(), "--device", "rpc:127.0.0.1:1")
    assert answer.returncode == 2
    assert "GGML_RPC=ON" in answer.stderr


def test_a_server_that_is_lost_costs_the_repeats_behind_it_only(small_model: ModelMaker) -> None:
    with serving() as (name, process):

        def lose(progress: Progress) -> None:
            if progress.stage.startswith("repeat 3"):
                process.kill()

        with pytest.raises(slmprof.EngineError) as raised:
            slmprof.profile(
                small_model(), device=name, n_gpu_layers=2, n_prompt=20, n_gen=8, repeats=50,
                threads=1, ceilings="off", on_progress=lose,
            )  # fmt: skip
    assert "the RPC server was lost" in str(raised.value)
    profile = raised.value.profile
    assert profile is not None
    assert profile.meta.run.n_repeats_done >= 1
    assert profile.meta.run.complete is False


def test_several_processes_do_not_share_a_server(small_model: ModelMaker, remote: str) -> None:
    with pytest.raises(slmprof.UsageError, match="one process after the other"):
        slmprof.profile(small_model(), device=remote, processes=2)
    with pytest.raises(slmprof.UsageError, match="one process after the other"):
        slmprof.compare(small_model(), small_model("qwen2"), device=remote, processes=1)


def test_memory_is_planned_by_device(small_model: ModelMaker, remote: str) -> None:
    answer = run(
        "memory", small_model(), "--device", remote, "--n-gpu-layers", 2, "--format", "json"
    )
    assert answer.returncode == 0, answer.stderr
    buffers = json.loads(answer.stdout)["settings"][0]["buffers"]
    assert {buffer["device"] for buffer in buffers} == {"CPU", "RPC0"}
