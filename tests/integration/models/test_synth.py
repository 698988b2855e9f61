"""Synthesis with llama.cpp itself: types, sizes, files that load, and no traces of failures."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import slmprof
from slmprof import _core
from slmprof.commands.main import main
from slmprof.errors import ModelError, UsageError
from slmprof.models.presets import PRESETS
from slmprof.models.synthesis import ModelPlan, plan_model, synthesize
from slmprof.settings.dimensions import Dimensions, StateSpace


def small(architecture: str, **changes: object) -> Dimensions:
    fields: dict[str, object] = {
        "architecture": architecture, "name": architecture, "n_layer": 10, "n_embd": 256,
        "n_ff": 512, "n_head": 4, "n_vocab": 320, "n_ctx_train": 128,
    }  # fmt: skip
    return Dimensions(**{**fields, **changes})  # type: ignore[arg-type]


CASES = {
    "llama tied, grouped": small("llama", tied=True, n_head_kv=1),
    "llama experts": small("llama", n_expert=8, n_expert_used=2),
    "llama narrow": small("llama", n_embd=288, n_head=9, n_head_kv=3, tied=True, n_ff=576),
    "llama like 70B": small("llama", n_layer=80, n_head_kv=1),
    "gptneox": small("gptneox", n_rot=16),
    "gpt2": small("gpt2", tied=True),
}

# Read from what llama-quantize wrote for F32 files of these dimensions.
WRITTEN_BY_LLAMA_QUANTIZE = {
    ("llama tied, grouped", "Q4_K_M"): "21xF32 60xQ4_K 11xQ6_K",
    ("llama tied, grouped", "Q3_K_M"): "21xF32 40xQ3_K 28xQ4_K 2xQ5_K 1xQ6_K",
    ("llama tied, grouped", "Q2_K"): "21xF32 40xQ2_K 20xQ3_K 10xQ4_K 1xQ6_K",
    ("llama tied, grouped", "IQ4_XS"): "21xF32 59xIQ4_XS 11xQ5_K 1xQ6_K",
    ("llama tied, grouped", "F16"): "71xF16 21xF32",
    ("llama experts", "Q4_K_M"): "31xF32 36xQ4_K 10xQ5_K 6xQ6_K 20xQ8_0",
    ("llama experts", "Q3_K_M"): "31xF32 31xQ3_K 10xQ4_K 10xQ5_K 1xQ6_K 20xQ8_0",
    ("llama experts", "Q2_K"): "31xF32 31xQ2_K 10xQ3_K 10xQ5_K 1xQ6_K 20xQ8_0",
    ("llama experts", "IQ4_XS"): "31xF32 40xIQ4_XS 11xQ5_K 1xQ6_K 20xQ8_0",
    ("llama narrow", "Q4_K_M"): "21xF32 60xQ5_0 11xQ8_0",
    ("llama narrow", "Q3_K_M"): "21xF32 40xQ4_0 28xQ5_0 2xQ5_1 1xQ8_0",
    ("llama narrow", "IQ4_XS"): "21xF32 69xIQ4_NL 1xQ5_1 1xQ8_0",
    ("llama like 70B", "Q4_K_M"): "161xF32 441xQ4_K 40xQ5_K 81xQ6_K",
    ("llama like 70B", "Q3_K_M"): "161xF32 321xQ3_K 155xQ4_K 85xQ5_K 1xQ6_K",
    ("llama like 70B", "IQ4_XS"): "161xF32 471xIQ4_XS 90xQ5_K 1xQ6_K",
    ("gptneox", "Q4_K_M"): "82xF32 31xQ4_K 11xQ6_K",
    ("gptneox", "Q2_K"): "82xF32 11xQ2_K 30xQ3_K 1xQ6_K",
    ("gpt2", "Q4_K_M"): "83xF32 30xQ4_K 11xQ6_K",
    ("gpt2", "Q3_K_M"): "83xF32 10xQ3_K 28xQ4_K 2xQ5_K 1xQ6_K",
}


@pytest.mark.parametrize(("case", "file_type"), WRITTEN_BY_LLAMA_QUANTIZE)
def test_types_are_those_that_llama_quantize_writes(case: str, file_type: str) -> None:
    plan = plan_model(CASES[case], file_type)
    counts = Counter(tensor.type.upper() for tensor in plan.tensors)
    written = " ".join(f"{n}x{type_}" for type_, n in sorted(counts.items()))
    assert written == WRITTEN_BY_LLAMA_QUANTIZE[case, file_type]


def load(path: Path) -> _core.Engine:
    settings = _core.EngineSettings()
    settings.path = os.fspath(path)
    settings.n_ctx = 64
    settings.n_threads = 1
    return _core.Engine(settings)


def check_loads(path: Path, plan: ModelPlan) -> None:
    """llama.cpp takes the file, counts what was planned, and its logits are numbers."""
    engine = load(path)
    info = engine.model_info()
    assert (info["n_params"], info["size_bytes"]) == (plan.n_params, plan.size_bytes)
    assert info["random_weights"]
    engine.fill(np.arange(5, dtype=np.int32))
    assert np.isfinite(engine.last_logits()).all()


SMALL = {
    "bloom": {}, "gemma": {"tied": True, "n_head_kv": 1, "head_dim": 128},
    "gemma2": {"tied": True, "n_head_kv": 2}, "gpt2": {"tied": True}, "gptneox": {"n_rot": 16},
    "gemma3": {"tied": True, "n_layer": 6, "n_head_kv": 1, "head_dim": 128, "extra": (
        ("attention.sliding_window", 32), ("attention.sliding_window_pattern", (1, 0) * 3),
        ("rope.freq_base_swa", 10000.0),
    )},
    "mamba": {"tied": True, "n_ff": 0, "n_head": 0,
              "ssm": StateSpace(n_inner=512, n_state=16, n_conv=4, dt_rank=16)},
    "mamba2": {"n_ff": 0, "n_head": 0,
               "ssm": StateSpace(n_inner=512, n_state=64, n_conv=4, dt_rank=8, n_group=2)},
    "qwen3": {"n_head_kv": 2, "head_dim": 128, "qkv_bias": True},
    "llama": {"n_expert": 4, "n_expert_used": 2}, "minicpm": {"tied": True}, "olmo": {},
    "openelm": {"tied": True, "n_head": (2, 4), "n_head_kv": (1, 2), "n_ff": (256, 512),
                "head_dim": 64, "n_layer": 2},
    "phi2": {"n_rot": 32}, "phi3": {"extra": (("attention.sliding_window", 0),)}, "qwen": {},
    "qwen2": {"n_head_kv": 2}, "stablelm": {"n_rot": 16},
}  # fmt: skip


@pytest.mark.parametrize("architecture", SMALL)
def test_every_architecture_loads_and_decodes(architecture: str, tmp_path: Path) -> None:
    dimensions = small(architecture, **{"n_layer": 2, **SMALL[architecture]})
    path = synthesize(dimensions, tmp_path / "model.gguf")
    check_loads(path, plan_model(dimensions))


SLOW_TYPES = {"IQ1_M", "IQ1_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS"}  # ggml builds large tables


@pytest.mark.parametrize("file_type", [t for t in _core.synth_file_types() if t not in SLOW_TYPES])
def test_every_file_type_loads_and_decodes(file_type: str, tmp_path: Path) -> None:
    dimensions = small("llama", n_layer=3)
    path = synthesize(dimensions, tmp_path / "model.gguf", file_type=file_type)
    check_loads(path, plan_model(dimensions, file_type))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_seed_alone_decides_the_bytes(tmp_path: Path) -> None:
    plan = plan_model(PRESETS["tiny"].dimensions, "Q8_0")
    tensors = [(t.name, t.shape, t.type, t.fill) for t in plan.tensors]
    digests = set()
    for n_threads in (1, 2, 5):
        path = tmp_path / f"{n_threads}.gguf"
        _core.write_random_gguf(
            str(path), list(plan.metadata), tensors, seed=0, n_threads=n_threads
        )
        digests.add(digest(path))
    assert digests == {digest(synthesize("tiny", tmp_path / "a.gguf", file_type="q8_0"))}
    assert digest(synthesize("tiny", tmp_path / "b.gguf", file_type="Q8_0", seed=1)) not in digests


def test_public_name() -> None:
    assert slmprof.synthesize is synthesize


def test_unusable_outputs_say_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        synthesize("tiny", tmp_path)
    with pytest.raises(UsageError, match="no directory"):
        synthesize("tiny", tmp_path / "missing" / "model.gguf")
    with pytest.raises(UsageError, match="not a regular file"):
        synthesize("tiny", "/dev/full")
    with pytest.raises(UsageError, match="cannot write"):
        synthesize("tiny", tmp_path / ("x" * 300))
    with pytest.raises(UsageError, match="is not a file"):
        synthesize("tiny", tmp_path / "a\0b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model.gguf").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="exists"):
        synthesize("tiny", tmp_path / "model.gguf", overwrite=False)
    assert (tmp_path / "model.gguf").read_text(encoding="utf-8") == "mine"


@contextlib.contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Makes the system refuse to write past this size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_space_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_text("mine", encoding="utf-8")
    with largest_file(2**20), pytest.raises(UsageError, match="MiB needed"):
        synthesize("tiny", path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text(encoding="utf-8") == "mine"


def test_an_interrupt_leaves_no_half_written_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        # Early or late, the alarm must find a whole file or none.
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with contextlib.suppress(KeyboardInterrupt):
            synthesize("qwen2-0.5b", path)
            signal.pause()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert [p for p in tmp_path.iterdir() if p != path] == []
    if path.exists():
        assert path.stat().st_size > plan_model(PRESETS["qwen2-0.5b"].dimensions).size_bytes


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.gguf").symlink_to(tmp_path / "real.gguf")
    synthesize(small("llama", n_layer=1), tmp_path / "link.gguf")
    assert (tmp_path / "link.gguf").is_symlink()
    assert (tmp_path / "real.gguf").read_bytes()[:4] == b"GGUF"


def test_bad_requests_never_reach_an_abort() -> None:
    with pytest.raises(UsageError, match="known are"):
        plan_model(PRESETS["tiny"].dimensions, "Q9_X")
    with pytest.raises(UsageError, match="importance matrix"):
        plan_model(PRESETS["tiny"].dimensions, "IQ3_XXS")
    with pytest.raises(UsageError, match="seed"):
        plan_model(PRESETS["tiny"].dimensions, seed=-1)
    with pytest.raises(ModelError, match="impossible shape"):
        plan_model(small("llama", n_embd=2**30, n_head=2**20, n_ff=2**30, n_vocab=2**22))
    hints = {"n_embd": 64, "n_ff": 64, "n_head": 1, "n_head_kv": 1, "n_expert": 0, "head_dim": 64}
    with pytest.raises(ValueError, match="architecture"):
        _core.choose_tensor_types("nothing", "Q8_0", [], n_layer=1, **hints)
    with pytest.raises(ValueError, match="layers"):
        _core.choose_tensor_types("llama", "Q8_0", [], n_layer=513, **hints)
    with pytest.raises(ValueError, match="longer than"):
        _core.choose_tensor_types("llama", "Q8_0", [("x" * 64, (1,))], n_layer=1, **hints)
    with pytest.raises(ValueError, match="divide into blocks"):
        _core.tensor_size_bytes("q4_K", (100,))


def test_the_writer_refuses_what_gguf_cannot_hold(tmp_path: Path) -> None:
    path = str(tmp_path / "model.gguf")
    tensor = ("a.weight", (256,), "q4_K", "weight")
    for metadata, tensors, message in (
        ([], [tensor, tensor], "twice"),
        ([], [("a", (255,), "q4_K", "weight")], "blocks"),
        ([], [("a", (256,), "q8_K", "weight")], "no random blocks"),
        ([], [("a", (256,), "q9_9", "weight")], "unknown tensor type"),
        ([], [("a", (256,), "f32", "noise")], "unknown fill"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.write_random_gguf(path, metadata, tensors, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "preset" and lines[0].endswith("MiB Q4_K_M")
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["qwen2-0.5b"] == ["qwen2", "24", "896", "151936", "494.03", "373.71"]
    assert rows["qwen1.5-0.5b"][-2:] == ["619.57", "382.62"]
    asked_for = {"tiny", "smollm-135m", "pythia-160m", "bloom-560m", "gemma-2b", "phi-1.5"}
    assert asked_for | {"openelm-270m", "stablelm-zephyr-3b"} <= set(rows)
    assert all(line == line.strip() and len(line) <= 80 for line in lines)
