"""`slmprof memory` and `slmprof.memory` with the real planner on small models."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from engines import open_engine
from gguf_files import write_llada, write_t5
from small_models import small_dimensions

import slmprof
from slmprof.models.outline import outline_plan
from slmprof.models.synthesis import plan_model
from slmprof.planning.fit import find_fit
from slmprof.planning.notes import size_text
from slmprof.planning.planner import ModelPlanner
from slmprof.planning.process import plan_memory, planning
from slmprof.planning.records import Fit
from slmprof.quantization.open_model import OpenModel
from slmprof.settings.planning import RESERVED, RESIDENT, AskedPlan, MemoryRequest

ModelMaker = Callable[..., Path]
N_LAYER, N_EMBD = 3, 256
MIB = 1 << 20


def kv_bytes(n_ctx: int) -> int:
    """Of the small models: K and V of 16 bits, as many heads as queries have."""
    return 2 * 2 * N_LAYER * N_EMBD * n_ctx


def test_one_setting(small_model: ModelMaker) -> None:
    answer = run("memory", small_model(), "--n-ctx", "max", "--format", "json")
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    (setting,) = document["settings"]
    assert setting["config"]["n_ctx"] == 512 == document["model"]["n_ctx_train"]
    totals = setting["totals_bytes"]
    assert totals["kv_cache"] == kv_bytes(512)
    assert totals["total"] == sum(buffer["size_bytes"] for buffer in setting["buffers"])
    assert [layer["layer"] for layer in setting["layers"]] == [0, 1, 2, None]
    assert sum(layer["kv_bytes"] for layer in setting["layers"]) == totals["kv_cache"]
    names = [tensor["tensor"] for tensor in setting["tensors"]]
    assert "blk.2.ffn_down.weight" in names and "cache_k_l0" in names
    phases = {peak["phase"]: peak for peak in setting["compute_phases"]}
    assert set(phases) == {"prefill", "decode"}
    assert setting["compute_peak"]["size_bytes"] == totals["compute"]
    for peak in phases.values():
        assert peak["live_bytes"] == sum(tensor["size_bytes"] for tensor in peak["tensors"])
        assert peak["live_bytes"] + peak["hole_bytes"] == peak["size_bytes"]
        assert peak["lower_bound_bytes"] <= peak["size_bytes"]
    used = next(row for row in setting["ubatch"] if row["n_ubatch"] == 512)
    assert used["compute_bytes"] == totals["compute"]
    assert document["planner"]["planner_ms"] > 0


def test_layers_with_a_sliding_window(small_model: ModelMaker) -> None:
    (plan,) = plan_memory(small_model("gemma2")).settings
    windows = {layer.layer: layer.n_swa for layer in plan.layers}
    assert None not in (windows[0], windows[2]) and windows[1] is None and windows[None] is None
    caches = [tensor for tensor in plan.tensors if tensor.kind == "kv_cache"]
    assert {(tensor.layer, tensor.n_swa) for tensor in caches} == set(windows.items()) - {
        (None, None)
    }


def test_every_combination(small_model: ModelMaker) -> None:
    answer = run(
        "memory", small_model(), "--n-ctx", "256,512", "--type-k", "f16,q8_0", "--mmap", "on,off"
    )
    assert answer.returncode == 0, answer.stderr
    table = answer.stdout.partition("Memory by setting")[2]
    assert len([line for line in table.splitlines() if line.strip()[:3] in ("256", "512")]) == 8
    assert max(map(len, answer.stdout.splitlines())) <= 80


@pytest.mark.parametrize("view", ["total", "buffer", "layer", "tensor", "peak"])
def test_views_of_the_command(small_model: ModelMaker, view: str) -> None:
    for form in ("table", "csv", "markdown", "json"):
        answer = run("memory", small_model(), "--by", view, "--format", form)
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout
        if form == "table":
            assert max(map(len, answer.stdout.splitlines())) <= 80


def test_the_command_loads_nothing_heavy(small_model: ModelMaker) -> None:
    code = (
        "import sys; from slmprof.commands.main import main; "
        f"main(['memory', {str(small_model())!r}]); "
        "print([m for m in ('numpy', 'pandas', 'slmprof._core') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr


def test_data_frames(small_model: ModelMaker) -> None:
    table = slmprof.memory(small_model(), n_ctx=[256, 512], type_k="q8_0")
    assert set(table.columns[:12]) == {
        "n_ctx", "n_batch", "n_ubatch", "n_seq_max", "flash_attn", "type_k", "type_v", "mmap",
        "repack", "n_outputs_max", "swa_full", "file_type",
    }  # fmt: skip
    assert set(table["kind"]) >= {"weights", "kv_cache", "compute"}
    assert set(table["n_ctx"]) == {256, 512} and set(table["type_k"]) == {"q8_0"}
    totals = slmprof.memory(small_model(), n_ctx=[256, 512], by="total")
    assert totals["kv_cache_bytes"].tolist() == [kv_bytes(256), kv_bytes(512)]
    assert len(slmprof.memory(small_model(), by="layer")) == N_LAYER + 1
    assert set(slmprof.memory(small_model(), by="peak")["phase"]) == {"prefill", "decode"}
    assert "bits_per_weight" in slmprof.memory(small_model(), by="tensor")
    with pytest.raises(slmprof.UsageError):
        slmprof.memory(small_model(), by="moon")
    with pytest.warns(UserWarning, match="left out: type_k q9_9: no cache type"):
        table = slmprof.memory(small_model(), type_k=["f16", "q9_9"], by="total")
    assert table["type_k"].tolist() == ["f16"]


def test_presets_and_configurations_need_no_file(tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
        "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
        "vocab_size": 512, "max_position_embeddings": 1024,
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    report = plan_memory(path, n_ctx="max")
    assert report.settings[0].totals_bytes["kv_cache"] == 2 * 2 * 2 * 256 * 1024
    assert plan_memory("preset:tiny", file_type=["Q8_0", "Q4_K_M"]).varying == ("file_type",)


def test_what_fits(small_model: ModelMaker) -> None:
    path = small_model()

    def find(budget: int) -> Fit:
        request = MemoryRequest.of(path, fit_bytes=budget, fit_for="reserved")
        setting = next(request.settings())
        return find_fit(ModelPlanner(request, OpenModel(path), own_bytes=MIB), request, setting)

    planner = ModelPlanner(MemoryRequest.of(path), OpenModel(path), own_bytes=MIB)
    least, most = (planner.plan(AskedPlan(n_ctx=n)).reserved_bytes for n in (256, 512))
    for budget, n_ctx in ((least - 1, 0), (least, 256), (most - 1, 256), (most, 512)):
        fit = find(budget)
        assert fit.n_ctx == n_ctx, budget
        assert fit.is_limited_by_training == (n_ctx == 512)
    answer = run("memory", path, "--fit", 1000)
    assert answer.returncode == 1 and "Nothing fits" in answer.stdout
    assert answer.stderr == "slmprof: error: nothing fits\n"
    answer = run(
        "memory", path, "--fit", "1GiB", "--n-ctx", 512, "--file-type", "F16,Q8_0,Q4_0",
        "--format", "json",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)["fit"]
    assert found["least_compressed"] == "F16" and found["lightest"] in ("Q8_0", "Q4_0")
    assert [fit["file_type"] for fit in found["found"]] == ["F16", "Q8_0", "Q4_0"]


@pytest.mark.parametrize("model", ["preset:tiny", "preset:gemma-3-270m@Q4_0", "preset:mamba-130m"])
def test_no_more_is_needed_than_is_reserved(model: str) -> None:
    """What fits by the stricter question fits by the other one, too."""
    plans = plan_memory(
        model, n_ctx=[256, 2048], n_ubatch=[64, 512], mmap=[True, False], repack=[True, False]
    ).settings
    assert len(plans) == 16
    for plan in plans:
        assert plan.resident is not None
        assert (
            plan.held_bytes(RESERVED) >= plan.resident.expected_bytes >= plan.held_bytes(RESIDENT)
        )


def gemma_like(folder: Path, file_type: str, **changes: object) -> Path:
    """An outline of a small model with windows of 512 and a vocabulary of 262144 tokens."""
    extra = (
        ("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30.0),
        ("attention.sliding_window", 512),
    )  # fmt: skip
    given = {"n_vocab": 262144, "n_ctx_train": 32768, "n_head_kv": 1, "extra": extra}
    dimensions = small_dimensions("gemma2", **{**given, **changes})
    return outline_plan(plan_model(dimensions, file_type), folder)


def test_logits_that_are_never_computed_need_no_memory(tmp_path: Path) -> None:
    """512 rows of logits are 512 MiB; a run computes one of them."""
    path = gemma_like(tmp_path, "Q4_0")
    answer = run("memory", path, "--fit", "512MiB", "--n-ctx", 8192, "--format", "json")
    assert answer.returncode == 0, answer.stderr
    fit = json.loads(answer.stdout)["fit"]
    (found,) = fit["found"]
    assert found["n_ctx"] >= 8192 and found["asked_resident_bytes"] < 300 << 20
    assert found["asked_total_bytes"] > 512 << 20
    assert fit["fit_for"] == "resident" and fit["change"] is None
    answer = run("memory", path, "--fit", "512MiB", "--n-ctx", 8192, "--fit-for", "reserved")
    assert "With --n-outputs-max 1 a context of 8192 fits" in " ".join(answer.stdout.split())


def test_mapped_originals_of_repacked_weights_need_not_fit(tmp_path: Path) -> None:
    """ggml repacks all of Q4_0; the mapped file behind it is never read again."""
    sizes = {}
    for file_type in ("Q4_0", "Q4_K_M"):
        path = gemma_like(tmp_path, file_type, n_ff=4096)
        (plan,) = plan_memory(path, n_ctx=8192).settings
        assert plan.resident is not None
        originals = plan.resident.of_kind("originals")
        assert plan.resident.expected_bytes - plan.resident.needed_bytes == originals
        sizes[file_type] = plan.resident.needed_bytes
    assert sizes["Q4_0"] < sizes["Q4_K_M"]


def test_where_nothing_fits_a_change_is_planned_before_it_is_named(tmp_path: Path) -> None:
    path = gemma_like(tmp_path, "Q8_0")
    (plan,) = plan_memory(path, n_ctx=32768).settings
    assert plan.resident is not None
    budget = 95 * MIB + plan.resident.unplanned_bytes
    report = plan_memory(path, fit_bytes=budget, n_ctx=32768, fit_for="reserved")
    change = report.change
    assert change is not None and change.missing_bytes == 0 and len(change.settings) > 1
    assert change.size_bytes <= budget
    again = plan_memory(path, **{**change.settings, "n_ctx": 32768})
    # Each planning measures the process anew.
    assert abs(again.settings[0].reserved_bytes - change.size_bytes) < 4 * MIB
    report = plan_memory(path, fit_bytes=1 << 20, n_ctx=32768, fit_for="reserved")
    assert report.change is not None and report.change.missing_bytes > 0


@pytest.mark.parametrize("write", [write_llada, write_t5])
def test_outputs_of_every_token_are_noted(write: Callable[[Path], Path], tmp_path: Path) -> None:
    """What the step makes of the output buffer, which the context has for one token."""
    path = write(tmp_path / "model.gguf")
    (plan,) = plan_memory(path, n_ctx=128).settings
    engine = open_engine(path, n_ctx=128, n_batch=2048, n_ubatch=512)
    n_tokens = min(plan.config.n_batch, plan.config.n_ubatch)
    engine.prefill(np.arange(n_tokens, dtype=np.int32) % 100, 0)
    size_bytes = next(b["size_bytes"] for b in engine.buffers() if b["kind"] == "output")
    note = next(note for note in plan.notes if "output" in note)
    assert f"up to {n_tokens} tokens" in note and size_text(size_bytes) in note


def test_a_batch_that_grows_with_the_context_is_on_no_line(small_model: ModelMaker) -> None:
    with pytest.raises(slmprof.UsageError, match="n_ubatch"):
        plan_memory(small_model(), n_ctx=2**30, n_batch=2**30, n_ubatch=2**22)


def test_contexts_that_no_machine_holds(small_model: ModelMaker) -> None:
    (plan,) = plan_memory(small_model(), n_ctx=2**31 - 1, flash_attn="on").settings
    notes = " ".join(plan.notes)
    assert "trained for a context of 512" in notes
    assert "this machine's memory" in notes and "straight line" in notes
    assert plan.totals_bytes["kv_cache"] == kv_bytes(2**31 - 1)
    # Up to there, plans are exact: the line through two goes through a third.
    lines = [plan_memory(small_model(), n_ctx=n << 19).settings[0] for n in (1, 2, 4)]
    totals = [p.total_bytes for p in lines]
    assert totals[2] - totals[1] == 2 * (totals[1] - totals[0])


def test_a_refused_setting_leaves_the_others(small_model: ModelMaker) -> None:
    report = plan_memory(small_model(), n_seq_max=[1, 4], type_k=["f16", "q9_9"])
    assert len(report.settings) == len(report.refusals) == 2
    answer = run("memory", small_model(), "--type-v", "f16,q8_0", "--flash-attn", "off")
    assert answer.returncode == 1
    assert "Memory by setting" in answer.stdout and "Refused by llama.cpp" in answer.stdout
    assert "flash" in answer.stderr and "Traceback" not in answer.stderr


def with_split_count(path: Path, target: Path, count: int) -> None:
    """A copy that says that it is the first of several parts."""
    content = path.read_bytes()
    magic, version, n_tensors, n_kv = struct.unpack_from("<4sIQQ", content)

    def key(name: str, type_code: int, value: bytes) -> bytes:
        text = name.encode()
        return struct.pack("<Q", len(text)) + text + struct.pack("<I", type_code) + value

    added = key("split.no", 2, struct.pack("<H", 0)) + key(
        "split.count", 2, struct.pack("<H", count)
    )
    added += key("split.tensors.count", 5, struct.pack("<i", n_tensors))
    n_added = 4
    # The data begins at a multiple of 32: a text of the right length leaves it there.
    filler = -(len(added) + 8 + len("pad") + 4 + 8) % 32
    added += key("pad", 8, struct.pack("<Q", filler) + b"x" * filler)
    head = struct.pack("<4sIQQ", magic, version, n_tensors, n_kv + n_added)
    target.write_bytes(head + added + content[struct.calcsize("<4sIQQ") :])


def test_unusable_models(small_model: ModelMaker, tmp_path: Path) -> None:
    whole = small_model()
    short = tmp_path / "short.gguf"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    header = tmp_path / "header.gguf"
    header.write_bytes(whole.read_bytes()[:1000])
    split = tmp_path / "split-00001-of-00002.gguf"
    with_split_count(whole, split, 2)
    empty = tmp_path / "empty.gguf"
    empty.touch()
    for model in (short, header, split, empty, tmp_path, "preset:nosuch", tmp_path / "no.gguf"):
        answer = run("memory", model)
        assert answer.returncode == 2, (model, answer.stdout, answer.stderr)
        assert answer.stdout == "" and len(answer.stderr.splitlines()) == 1, answer.stderr
        assert answer.stderr.startswith("slmprof: error: ")
    missing = "split-00002-of-00002.gguf, a part of the split model, is missing"
    assert missing in run("memory", split).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--type-v", "q8_0", "--flash-attn", "off"], ["--type-k", "q9_9"], ["--type-v", "iq2_xs"],
        ["--n-ctx", "0"], ["--n-ctx", "-1"], ["--n-ctx", str(2**31)], ["--n-ctx", str(10**30)],
        ["--n-ctx", ""], ["--n-ctx", ","], ["--n-ctx", "2048,"], ["--fit", "0"], ["--fit", "-1"],
        ["--file-type", "Q9"], ["--file-type", ""], ["--override-tensor", "x=y"],
        ["--override-tensor", "(=CPU"], ["--mmap", "maybe"], ["--flash-attn", ""],
        ["--mmap", "on", "--no-mmap"], ["--fit", "1GiB", "--by", "layer"],
        ["--fit", "1GiB", "--n-ctx", "256,512"],
    ],
)  # fmt: skip
def test_settings_that_cannot_be(small_model: ModelMaker, arguments: list[str]) -> None:
    answer = run("memory", small_model(), *arguments)
    assert answer.returncode == 2, (answer.stdout, answer.stderr)
    assert answer.stdout == "" and len(answer.stderr.splitlines()) == 1, answer.stderr


def test_heads_that_blocks_do_not_divide(small_model: ModelMaker) -> None:
    path = small_model(n_head=16, n_head_kv=16, head_dim=16)
    answer = run("memory", path, "--type-k", "q8_0", "--flash-attn", "on")
    assert answer.returncode == 2 and len(answer.stderr.splitlines()) == 1, answer.stderr


def test_a_model_that_names_no_trained_context(small_model: ModelMaker, tmp_path: Path) -> None:
    content = bytearray(small_model().read_bytes())
    key = b"llama.context_length"
    place = content.index(key) + len(key) + 4  # behind the type of the value
    content[place : place + 4] = bytes(4)
    path = tmp_path / "untrained.gguf"
    path.write_bytes(content)
    answer = run("memory", path, "--n-ctx", "max")
    assert answer.returncode == 2 and "--n-ctx N" in answer.stderr
    assert run("memory", path, "--n-ctx", "512").returncode == 0
    assert run("memory", path, "--fit", "1GiB").returncode == 2
    assert run("memory", path, "--fit", "1GiB", "--n-ctx", 512).returncode == 0


def test_a_child_that_is_killed(small_model: ModelMaker) -> None:
    request = MemoryRequest.of(small_model())
    with planning(request) as plan:
        plan.answer.child.kill()
        with pytest.raises(slmprof.EngineError, match="SIGKILL"):
            plan.result()


def test_the_child_loads_nothing_that_plans_have_no_use_for() -> None:
    code = "import slmprof.planning.worker, sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"pandas", "rich", "numpy.ma", "numpy.typing", "slmprof.profiles.data"}
    assert slow & set(done.stdout.split()) == set()


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    plan_memory("preset:tiny", file_type=["Q8_0", "Q4_0"])
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_takes_too_long_ends(small_model: ModelMaker) -> None:
    with pytest.raises(slmprof.EngineError, match=r"not done after 0\.01 s \(--timeout\)"):
        slmprof.memory(small_model(), timeout=0.01)
    answer = run("memory", small_model(), "--timeout", "0.01")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "--timeout" in answer.stderr and len(answer.stderr.splitlines()) == 1
    assert run("memory", small_model(), "--timeout", "100").returncode == 0


@pytest.mark.parametrize(
    "pattern", ["token_embd", r"\.ffn_(up|down)_exps\.", r"blk\.(1|2|3)\.ffn_.*_exps\.weight",
                r"blk\.[0-9]+\.attn_q", "(?!output).*norm", "[[:alpha:]]+_k"],
)  # fmt: skip
def test_patterns_that_people_write(small_model: ModelMaker, pattern: str) -> None:
    table = slmprof.memory(small_model(), override_tensor=f"{pattern}=CPU", by="total")
    assert len(table) == 1


def test_a_pattern_without_end_is_refused_before_anything_is_matched(
    small_model: ModelMaker,
) -> None:
    for command in ("memory", "breakdown"):
        answer = run(command, small_model(), "--override-tensor", "(.*)*(.*)*x=CPU")
        assert (answer.returncode, answer.stdout) == (2, "")
        assert len(answer.stderr.splitlines()) == 1 and "repeats a repetition" in answer.stderr
