"""Outlines: the real header, the real length, nothing in between, and no traces of failures."""

from __future__ import annotations

import json
import os
import resource
import shutil
from pathlib import Path

import pytest
from gguf_files import pack_text
from gguf_header import read_header

from slmprof import _core
from slmprof.errors import ModelError, UsageError
from slmprof.models.outline import outline
from slmprof.models.presets import PRESETS
from slmprof.models.synthesis import find_dimensions, plan_model, synthesize

LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 8192, "intermediate_size": 28672,
    "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "vocab_size": 128256, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
}  # fmt: skip


def planned(path: Path) -> list[_core.BufferRecord]:
    settings = _core.EngineSettings()
    settings.path = os.fspath(path)
    settings.n_ctx = 256
    settings.use_mmap = False
    return _core.Planner(settings).plan(settings)["buffers"]


def on_disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_an_outline_is_the_header_of_the_real_file(tmp_path: Path) -> None:
    real = synthesize("tiny", tmp_path / "real.gguf")
    path = outline("preset:tiny", tmp_path)
    assert path.parent == tmp_path
    assert path.stat().st_size == real.stat().st_size
    n_header = real.stat().st_size - plan_model(PRESETS["tiny"].dimensions).size_bytes
    with real.open("rb") as a, path.open("rb") as b:
        assert a.read(n_header) == b.read(n_header)
        assert set(b.read()) == {0}
    assert planned(path) == planned(real)


def test_the_type_behind_the_model_or_the_argument(tmp_path: Path) -> None:
    def file_type(*arguments: str | None) -> object:
        path = outline(str(arguments[0]), tmp_path, file_type=arguments[1])
        return read_header(path).metadata["general.file_type"]

    numbers = _core.synth_file_types()
    assert file_type("preset:tiny", None) == numbers["Q4_K_M"]
    assert file_type("preset:tiny@Q8_0", None) == numbers["Q8_0"]
    assert file_type("preset:tiny@Q8_0", "q6_k") == numbers["Q6_K"]


def test_seventy_billion_parameters_take_kilobytes(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA_70B), encoding="utf-8")
    path = outline(config, tmp_path)
    assert path.stat().st_size > 39 * 2**30
    assert on_disk_bytes(path) < 200_000
    weights = sum(b["size_bytes"] for b in planned(path) if b["kind"] == "weights")
    assert weights == plan_model(find_dimensions(config)).size_bytes


def test_a_file_without_a_type_is_its_own_outline(tmp_path: Path) -> None:
    path = synthesize("tiny", tmp_path / "model.gguf")
    assert outline(path, tmp_path / "missing") == path


@pytest.mark.parametrize("name", ["tiny", "openelm-270m", "bloom-560m", "qwen2-0.5b"])
@pytest.mark.parametrize("file_type", ["Q4_K_M", "Q3_K_M", "IQ4_XS", "F16"])
def test_another_type_gives_the_plan_of_that_type(
    name: str, file_type: str, tmp_path: Path
) -> None:
    source = outline(f"preset:{name}@F32", tmp_path)
    path = outline(source, tmp_path, file_type=file_type.lower())
    plan = plan_model(PRESETS[name].dimensions, file_type)
    assert path != source and path.stat().st_size > plan.size_bytes
    tensors = read_header(path).tensors
    sizes = {t.name: (t.shape, t.size_bytes) for t in plan.tensors}
    if file_type != "IQ4_XS":  # whose blocks the reader does not know
        assert {n: (t.shape, t.size_bytes) for n, t in tensors.items()} == sizes
    assert sum(b["size_bytes"] for b in planned(path) if b["kind"] == "weights") >= plan.size_bytes


def split_in_two(model: Path, folder: Path) -> Path:
    """The outline of the model in two parts, every second tensor in the second one."""
    header = read_header(model)
    names = {value: name for name, value in _TYPE_NUMBERS.items()}
    tensors = [(t.name, t.shape, names[t.type]) for t in header.tensors.values()]
    for part in range(2):
        path = folder / f"split-{part + 1:05}-of-00002.gguf"
        _core.write_outline(
            os.fspath(path), list(header.metadata.items()) if part == 0 else [], tensors[part::2]
        )
        add_split_keys(path, part, len(tensors))
    return folder / "split-00001-of-00002.gguf"


_TYPE_NUMBERS = {"f32": 0, "q4_K": 12, "q6_K": 14, "q8_0": 8}


def add_split_keys(path: Path, part: int, n_tensors: int) -> None:
    """llama.cpp's own keys, which are of a type that slmprof never writes."""
    content = bytearray(path.read_bytes())
    keys = b""
    for key, kind, size, value in (
        (b"split.no", 2, 2, part), (b"split.count", 2, 2, 2),
        (b"split.tensors.count", 5, 4, n_tensors),
    ):  # fmt: skip
        keys += len(key).to_bytes(8, "little") + key + kind.to_bytes(4, "little")
        keys += value.to_bytes(size, "little")
    n_values = int.from_bytes(content[16:24], "little") + 3
    content[16:24] = n_values.to_bytes(8, "little")
    content[24:24] = keys
    path.write_bytes(content + bytes(32))  # the data, all zeros, moves by a whole alignment


def test_a_split_model_becomes_one(tmp_path: Path) -> None:
    whole = outline("preset:tiny@Q8_0", tmp_path)
    first = split_in_two(whole, tmp_path)
    joined = outline(first, tmp_path, file_type="Q4_K_M")
    expected = outline(whole, tmp_path, file_type="Q4_K_M")
    assert read_header(joined).tensors == read_header(expected).tensors
    assert not any(key.startswith("split.") for key in read_header(joined).metadata)
    (tmp_path / "split-00002-of-00002.gguf").unlink()
    with pytest.raises(ModelError, match="split-00002-of-00002"):
        outline(first, tmp_path, file_type="Q6_K")


def test_another_alignment_is_not_taken_over(tmp_path: Path) -> None:
    plan = plan_model(PRESETS["tiny"].dimensions)
    path = tmp_path / "model.gguf"
    tensors = [(t.name, t.shape, t.type) for t in plan.tensors]
    _core.write_outline(str(path), [*plan.metadata, ("general.alignment", 4096)], tensors)
    assert planned(path) == planned(outline("preset:tiny", tmp_path))
    assert "general.alignment" not in read_header(path).metadata


@pytest.mark.parametrize(
    ("found", "put"),
    [
        (b"blk.0.attn_norm.weight", b"blk.0.attn_norm.weigh\xfe"),  # which llama.cpp quotes
        (pack_text("slmprof.synthetic"), pack_text("")),  # which ggml does not write
    ],
)
def test_damaged_headers_are_explained(found: bytes, put: bytes, tmp_path: Path) -> None:
    path = outline("preset:tiny", tmp_path).rename(tmp_path / "damaged.gguf")
    content = path.read_bytes()
    assert found in content
    path.write_bytes(content.replace(found, put) + bytes(64))
    with pytest.raises(ModelError, match=r"damaged\.gguf"):
        outline(path, tmp_path, file_type="Q8_0")
    assert [p.name for p in tmp_path.iterdir()] == ["damaged.gguf"]


def test_unusable_sources_and_types(tmp_path: Path) -> None:
    path = outline("preset:tiny", tmp_path)
    with pytest.raises(UsageError, match="importance matrix"):
        outline(path, tmp_path, file_type="IQ3_XXS")
    with pytest.raises(UsageError, match="known are"):
        outline("preset:tiny", tmp_path, file_type="Q9")
    with pytest.raises(ModelError, match="no such model file"):
        outline(tmp_path / "none.gguf", tmp_path, file_type="Q8_0")
    short = tmp_path / "short.gguf"
    shutil.copyfile(path, short)
    os.truncate(short, path.stat().st_size // 2)
    with pytest.raises(ModelError, match="not within the file bounds"):
        outline(short, tmp_path, file_type="Q8_0")
    os.truncate(short, 100)
    with pytest.raises(ModelError, match=r"short\.gguf"):
        outline(short, tmp_path, file_type="Q8_0")
    foreign = tmp_path / "\udcff.gguf"
    shutil.copyfile(path, foreign)
    made = outline(foreign, tmp_path, file_type="Q8_0")
    assert made.parent == tmp_path and made.stat().st_size > 0
    made.unlink()
    same = path.rename(tmp_path / "same.gguf")
    (tmp_path / "same-Q4_K_M.gguf").symlink_to(same)
    with pytest.raises(UsageError, match="over it"):
        outline(same, tmp_path, file_type="Q4_K_M")


def test_failures_name_the_cause_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file or directory"):
        outline("preset:tiny", tmp_path / "missing")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(ModelError, match=r"outline of a 1\.5 GiB model .*File too large"):
            outline("preset:gemma-2b", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelError, match="No such file or directory"):
        outline("preset:tiny", tmp_path / "\udcff")


def test_the_native_writer_refuses_what_gguf_cannot_hold(tmp_path: Path) -> None:
    path = str(tmp_path / "model.gguf")
    for tensors, message in (
        ([("a", (255,), "q4_K")], "blocks"),
        ([("a", (256,), "q4_K"), ("a", (256,), "f32")], "twice"),
        ([("a", (2**40, 2**40), "f32")], "impossible shape"),
        ([("a", (256,), "q9_9")], "unknown tensor type"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.write_outline(path, [], tensors)
    assert list(tmp_path.iterdir()) == []
