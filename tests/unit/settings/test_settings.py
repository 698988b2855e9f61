"""The table of settings: that one entry reaches every place that shows, reads or counts it."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slmprof.capture.sweep import make_grid
from slmprof.commands import breakdown, memory
from slmprof.commands.main import build_parser
from slmprof.commands.options import Parser, add_settings, given
from slmprof.errors import UsageError
from slmprof.settings.capture import CaptureConfig
from slmprof.settings.kinds import Whole
from slmprof.settings.planning import GRID, AskedPlan, MemoryRequest
from slmprof.settings.resolved import ResolvedConfig, ResolvedPlan, used_buffers
from slmprof.settings.table import (
    CHANGED,
    NEVER,
    SWEEP,
    RunSettings,
    Setting,
    captions,
    setting,
    table,
)

pytestmark = pytest.mark.usefixtures("by_name")

# For each setting a value that is not the default, as a command line and as Python have it.
OTHER: dict[str, tuple[str, Any]] = {
    "n_prompt": ("16", 16), "n_gen": ("7", 7), "n_depth": ("0,64", (0, 64)), "n_ctx": ("512", 512),
    "n_batch": ("256", 256), "n_ubatch": ("128", 128), "threads": ("3", 3),
    "flash_attn": ("on", "on"), "type_k": ("q8_0", "q8_0"), "type_v": ("q4_0", "q4_0"),
    "override_tensor": ("ffn=CPU", ("ffn=CPU",)), "mmap": ("off", False),
    "cuda_graphs": ("off", False),
    "repack": ("off", False), "repeats": ("2", 2), "processes": ("3", 3), "seed": ("9", 9),
    "events": ("all", "all"),
    "prompt_file": (__file__, __file__), "clock": ("exact", "exact"), "timeout": ("2.5", 2.5),
    "ceilings": ("off", "off"), "device": ("rpc:h:1", "rpc:h:1"), "n_gpu_layers": ("0", 0),
    "split_mode": ("row", "row"), "tensor_split": ("3/1", (3.0, 1.0)), "n_seq_max": ("2", 2),
    "n_outputs_max": ("1", 1), "swa_full": ("on", True), "file_type": ("Q8_0", "Q8_0"),
    "fit_bytes": ("1GiB", 2**30), "scaling": ("", True), "energy": ("", True),
    "energy_window": ("2.5", 2.5), "force": ("", True),
}  # fmt: skip
# What the native EngineSettings gets of it.
NATIVE: dict[str, dict[str, Any]] = {
    "n_ctx": {"n_ctx": 512}, "n_batch": {"n_batch": 256}, "n_ubatch": {"n_ubatch": 128},
    "threads": {"n_threads": 3}, "flash_attn": {"flash_attn": 1}, "type_k": {"type_k": "q8_0"},
    "type_v": {"type_v": "q4_0"}, "override_tensor": {"tensor_overrides": [("ffn", "CPU")]},
    "cuda_graphs": {"cuda_graphs": False},
    "mmap": {"use_mmap": False}, "repack": {"use_repack": False}, "clock": {"exact_clock": True},
    "n_seq_max": {"n_seq_max": 2}, "n_outputs_max": {"n_outputs_max": 1},
    "swa_full": {"swa_full": True}, "device": {"devices": ["rpc:h:1"], "n_gpu_layers": -1},
    "n_gpu_layers": {"devices": [], "n_gpu_layers": 0}, "split_mode": {"split_mode": 2},
    "tensor_split": {"tensor_split": [3.0, 1.0]},
}  # fmt: skip


def option_of(entry: Setting) -> str:
    return entry.option or "--" + entry.name.replace("_", "-")


def parsed(command: Any, *arguments: str) -> argparse.Namespace:
    parser = Parser()
    command.configure(parser)
    return parser.parse_args(["m.gguf", *arguments])


@pytest.mark.parametrize("name", table(CaptureConfig))
def test_a_setting_of_a_run_reaches_every_place(name: str) -> None:
    entry, (text, value) = table(CaptureConfig)[name], OTHER[name]
    # A flag has no value.
    args = given(parsed(breakdown, option_of(entry), *filter(None, [text])), CaptureConfig)
    assert list(args) == [name]
    config = CaptureConfig("m.gguf", **args)
    assert getattr(config, name) == value
    assert CaptureConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    native = SimpleNamespace()
    config.fill(native)
    assert bool(entry.native) == (name in NATIVE)
    assert {**vars(native), **NATIVE.get(name, {})} == vars(native)
    if name not in ("ceilings", "scaling", "energy", "energy_window", "force"):
        assert getattr(ResolvedConfig.from_json(config.to_json()), name) == value
    shown = captions(CaptureConfig, config.to_json())
    assert (name in shown) == (entry.caption != NEVER)
    points = make_grid(["preset:tiny"], {name: (value,) if SWEEP in entry.axes else value})
    plain = make_grid(["preset:tiny"], {})
    differs = points[0].file_name != plain[0].file_name
    assert differs == (entry.tells_apart != NEVER)


@pytest.mark.parametrize("name", [*table(AskedPlan), "fit_bytes"])
def test_a_setting_of_a_plan_reaches_every_place(name: str) -> None:
    entry = {**table(AskedPlan), **table(MemoryRequest)}[name]
    text, value = OTHER[name]
    args = given(parsed(memory, option_of(entry), text), AskedPlan, MemoryRequest)
    request = MemoryRequest.of("m.gguf", **args)
    assert request == MemoryRequest.of("m.gguf", **{name: value})
    assert request == MemoryRequest.from_json(json.loads(json.dumps(request.to_json())))
    (plan,) = request.settings()
    if name == "fit_bytes":
        assert request.fit_bytes == value
        return
    assert getattr(plan, name) == value
    assert getattr(ResolvedPlan.from_json(plan.to_json()), name) == value
    native = SimpleNamespace()
    plan.fill(native)
    assert {**vars(native), **NATIVE.get(name, {})} == vars(native)
    if name in GRID:
        assert getattr(request, name) == (value,)


def test_a_new_setting_is_one_entry() -> None:
    @dataclass(frozen=True)
    class Longer(CaptureConfig):
        n_wings: int = setting(
            Whole(0, 8), 2, "of a plane", native="wings", axes=(SWEEP,), caption=CHANGED
        )

    parser = Parser()
    add_settings(parser, "breakdown", Longer)
    assert "of a plane (2)" in parser.format_help()
    assert given(parser.parse_args(["--n-wings", "4"]), Longer) == {"n_wings": 4}
    sweep = Parser()
    add_settings(sweep, SWEEP, Longer)
    assert given(sweep.parse_args(["--n-wings", "4,2,4"]), Longer) == {"n_wings": (4, 2)}
    with pytest.raises(UsageError, match="--n-wings: 9 is too large; at most 8"):
        parser.parse_args(["--n-wings", "9"])
    entry = table(Longer)["n_wings"]
    with pytest.raises(UsageError, match="n_wings: 9 is too large; at most 8"):
        Longer("m.gguf", n_wings=9)
    native = SimpleNamespace()
    Longer("m.gguf", n_wings=6).fill(native)
    assert native.wings == 6
    assert captions(Longer, {"n_wings": 2}) == {} and captions(Longer, {"n_wings": 6})
    # Points of folders that did not know it yet stay those of its default.
    assert [entry.applies(entry.tells_apart, n) for n in (2, 6)] == [False, True]


def test_options_have_one_meaning_in_all_commands() -> None:
    parser = build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps: dict[str, set[str]] = {}
    for name in ("breakdown", "sweep", "memory", "roofline"):
        for action in commands.choices[name]._actions:
            if action.dest in table(RunSettings):
                helps.setdefault(action.option_strings[0], set()).add(str(action.help))
    del helps["--n-ctx"]  # of which a plan has one meaning more
    assert len(helps) > 15 and all(len(texts) == 1 for texts in helps.values()), helps


def test_what_was_not_asked_for_is_known_as_such() -> None:
    config = CaptureConfig("m.gguf")
    assert config.n_ctx is None and config.threads is None and config.n_ctx_made == 2048
    unknown = ResolvedConfig.from_json({"n_gen": 0, "n_depth": [0, 5], "future": 1})
    assert unknown.n_gen == 0 and unknown.n_depth == (0, 5)
    assert all(
        getattr(unknown, f.name) is None
        for f in fields(unknown)
        if f.name not in ("n_gen", "n_depth")
    )


def test_buffers_tell_what_was_mapped_and_repacked() -> None:
    assert used_buffers(["CPU_Mapped", "CPU_REPACK"]) == {"mmap": True, "repack": True}
    assert used_buffers(["CPU"]) == {"mmap": False, "repack": False}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_prompt": 0}, "n_prompt: 0 is too small; at least 1"),
        ({"n_gen": True}, "n_gen: True is not a whole number"),
        ({"threads": 513}, "threads: 513 is too large; at most 512"),
        ({"flash_attn": "maybe"}, "flash_attn: 'maybe' is not one of auto, on, off"),
        ({"clock": None}, "clock: None is not one of fast, exact"),
        ({"device": "cuda,"}, "device: 'cuda,' has an empty item"),
        ({"device": "cpu,cuda"}, "device: cpu is always there"),
        ({"device": "rpc:here"}, "device: 'rpc:here' is not rpc:HOST:PORT"),
        ({"device": "rpc:h:65536"}, "device: 'rpc:h:65536' is not rpc:HOST:PORT"),
        ({"device": "rpc:h:1", "processes": 2}, "one process after the other"),
        ({"n_gpu_layers": 7}, "n_gpu_layers: 7 of the layers have nowhere to go"),
        ({"n_gpu_layers": -1}, "n_gpu_layers: -1 is too small; at least 0"),
        ({"n_gpu_layers": "some"}, "n_gpu_layers: 'some' is not a whole number"),
        ({"split_mode": "both"}, "split_mode: 'both' is not one of none, layer, row"),
        ({"tensor_split": (1, -1)}, "tensor_split: -1 is not a proportion"),
        ({"tensor_split": (0, 0)}, "tensor_split: no device gets anything"),
        ({"device": 0}, "device: 0"),
        ({"timeout": 0}, "timeout: 0 is not a positive number of seconds"),
        ({"timeout": "5"}, "timeout: '5' is not a number of seconds"),
        ({"mmap": 1}, "mmap: 1 is not true or false"),
        ({"override_tensor": ["x"]}, "override_tensor: 'x' is not PATTERN=BUFFER"),
        ({"type_k": ""}, "type_k: '' is not the name of a type"),
        ({"prompt_file": 5}, "prompt_file: 5 is not a file"),
        ({"wings": 5}, "no setting 'wings'; there are ceilings, clock"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        CaptureConfig.from_json({"model": "m.gguf", **settings})
    assert message in str(caught.value)


def test_points_of_older_sweeps_keep_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and digests as version 0.1.0 made them before the table was one."""
    every = {
        "threads": (1,), "n_prompt": (16,), "n_gen": (8,), "n_batch": (1024,), "n_ubatch": (256,),
        "flash_attn": ("on",), "type_v": ("q4_0",), "n_depth": (0, 8192), "repeats": 3, "seed": 7,
        "override_tensor": ("ffn=CPU",), "mmap": False, "repack": False, "events": "all",
        "clock": "exact", "timeout": 5.0, "ceilings": "off",
    }  # fmt: skip
    two = {"threads": (2, 4), "n_ctx": (None, 4096), "type_k": ("q8_0",)}
    names = [
        point.file_name
        for model, settings in (
            ("preset:tiny", {"threads": (2,)}),
            ("preset:Qwen2-0.5b@Q8_0", two),
            ("preset:tiny", every),
        )
        for point in make_grid([model], settings)
    ]
    assert names == [
        "tiny_t2_62672961.slmprof",
        "Qwen2-0.5b-Q8-0_t2_k-q8-0_bd38966d.slmprof",
        "Qwen2-0.5b-Q8-0_t4_k-q8-0_96cfe0e9.slmprof",
        "Qwen2-0.5b-Q8-0_c4096_t2_k-q8-0_121bbb9e.slmprof",
        "Qwen2-0.5b-Q8-0_c4096_t4_k-q8-0_f5409147.slmprof",
        "tiny_p16_g8_d0+8192_b1024_ub256_t1_fa-on_v-q4-0_r3_s7_e8a6fdc6.slmprof",
    ]
    (tmp_path / "q-model").mkdir()
    (tmp_path / "q-model" / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    models = ["q-model/config.json@F16", "q-model/config.json"]
    points = make_grid(models, {"threads": (2,)})
    assert [point.file_name for point in points] == [
        "q-model-F16_t2_a7841788.slmprof",
        "q-model_t2_6a6dce13.slmprof",
    ]
    (one,) = make_grid(["preset:tiny"], {"threads": (2,)})
    dimensions = "a00d6336b590572ff395fd8b7469933e644ed565578ffc3f7f052f2c14bb541a"
    assert one.model.dimensions == dimensions


CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 256,
    "max_position_embeddings": 128,
}  # fmt: skip
