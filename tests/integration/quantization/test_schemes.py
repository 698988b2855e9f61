"""Schemes applied to models: the file holds what they give back, and what breaks leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from command_line import run
from gguf_header import read_header
from imatrix_files import write_imatrix
from scheme_files import variant, write_scheme

import slmprof
from slmprof import quant
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.errors import EngineError, ModelError, SchemeError, UsageError
from slmprof.models.synthesis import synthesize
from slmprof.quantization.process import make, plan
from slmprof.quantization.schemes.loading import load_scheme
from slmprof.settings.dimensions import Dimensions
from slmprof.settings.recipe import Recipe

SMALL = Dimensions(
    architecture="llama", name="small", n_layer=2, n_embd=96, n_ff=160, n_head=3, n_head_kv=3,
    n_vocab=320, n_ctx_train=128, tied=False,
)  # fmt: skip
FFN = "blk.1.ffn_down.weight"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In floats."""
    path: Path = tmp_path_factory.mktemp("sources") / "small.gguf"
    return synthesize(SMALL, path, file_type="F32")


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """The place of the scheme of 32-blocks."""
    return f"{write_scheme(tmp_path)}:Mine"


def contents(path: Path) -> dict[str, Any]:
    """The tensors of a file, by name, as numbers."""
    tensors = gguf.GGUFReader(path).tensors
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in tensors}


def metadata(path: Path, key: str) -> Any:
    field = gguf.GGUFReader(path).get_field(f"slmprof.scheme.{key}")
    return None if field is None else field.contents()


def test_the_file_holds_what_the_scheme_gives_back(model: Path, mine: str, tmp_path: Path) -> None:
    target = tmp_path / "made.gguf"
    planned = plan(model, Recipe.of(scheme=mine, scheme_tensors="ffn"))
    assert make(model, target, Recipe.of(scheme=mine, scheme_tensors="ffn"), threads=2) == planned
    scheme = load_scheme(mine)
    before, after = contents(model), contents(target)
    assert list(after) == [one.tensor for one in planned.tensors]
    for one in planned.tensors:
        expected = before[one.tensor]
        if "ffn" in one.tensor and one.is_quantizable:
            assert (one.type, one.stored, one.fell_back) == ("custom:mine", "f32", False)
            assert one.size_bytes == one.n_elements * 18 // 32
            expected = scheme.give_back(expected.copy())
        assert np.array_equal(after[one.tensor], expected), one.tensor
    own = [one.tensor for one in planned.of_scheme]
    assert len(own) == 6 and metadata(target, "tensors") == own
    assert metadata(target, "name") == "mine" and metadata(target, "source") == "mine.py:Mine"
    assert metadata(target, "digest") == scheme.info.digest
    assert metadata(target, "size_bytes") == sum(one.size_bytes for one in planned.of_scheme)
    assert metadata(target, "bits_per_weight") == 4.5
    profile = slmprof.profile(target, n_prompt=4, n_gen=2, repeats=1, ceilings="off")
    assert profile.meta.model.scheme == "mine"
    assert any("not the scheme's" in text for text in break_down(profile).caveats)


def test_slabs_and_threads_change_nothing(
    model: Path, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slmprof.quantization import assembly
    from slmprof.quantization.make import make as make_here

    files = []
    for slab, threads in ((1 << 20, 1), (200, 3)):
        monkeypatch.setattr(assembly, "SLAB", slab)
        folder = tmp_path / str(slab)
        folder.mkdir()
        seen: list[Any] = []
        make_here(str(model), Recipe.of(scheme=mine), folder, threads, seen.append)
        (file,) = folder.iterdir()
        files.append(file.read_bytes())
        assert seen[0].done == 0 and seen[-1].total >= len(read_header(model).tensors)
    assert files[0] == files[1]


def test_the_other_weights_become_what_llama_quantize_makes_of_them(
    model: Path, mine: str, tmp_path: Path
) -> None:
    tensors = read_header(model).tensors.values()
    rows = {t.name: (t.shape[0],) for t in tensors if len(t.shape) > 1}
    imatrix = write_imatrix(tmp_path / "imatrix.gguf", rows)
    recipe: dict[str, Any] = {"file_type": "Q4_K_M", "imatrix": imatrix}
    plain = quant.apply(model, tmp_path / "plain.gguf", **recipe)
    mixed = quant.apply(model, tmp_path / "mixed.gguf", scheme=mine, scheme_tensors="ffn", **recipe)
    before = {t.name: t for t in gguf.GGUFReader(plain).tensors}
    after = {t.name: t for t in gguf.GGUFReader(mixed).tensors}
    assert list(before) == list(after)
    for name, tensor in after.items():
        if "ffn" in name and "norm" not in name:
            assert tensor.tensor_type == gguf.GGMLQuantizationType.F32
        else:
            assert tensor.data.tobytes() == before[name].data.tobytes(), name


def test_blocks_that_do_not_divide_a_row_are_named_and_kept(model: Path, tmp_path: Path) -> None:
    text = variant("block_size=32, type_size=18", "block_size=160, type_size=82")
    text = text.replace(":16]", ":80]").replace("16:]", "80:]")
    place = f"{write_scheme(tmp_path, text)}:Mine"
    found = plan(model, Recipe.of(scheme=place))
    fallen = [one for one in found.tensors if one.fell_back]
    assert {one.tensor for one in found.of_scheme} == {"blk.0.ffn_down.weight", FFN}
    assert {(one.asked, one.type, one.shape[0]) for one in fallen} == {("custom:mine", "f32", 96)}
    assert found.fallbacks is not None and found.fallbacks.rows == (96,)
    shown = run("quant", "dry-run", str(model), "--scheme", place).stdout
    assert "custom:mine" in shown and "rows of 96" in shown
    json_ = json.loads(
        run("quant", "dry-run", str(model), "--scheme", place, "--format", "json").stdout
    )
    assert json_["scheme"]["block_size"] == 160 and json_["recipe"]["file_type"] is None
    made = contents(quant.apply(model, tmp_path / "made.gguf", scheme=place))
    assert np.array_equal(made["output.weight"], contents(model)["output.weight"])


@pytest.mark.parametrize(
    "name",
    [t.name for t in gguf.GGMLQuantizationType if t in gguf.quants._type_traits],
)
def test_every_class_of_gguf_is_a_scheme(name: str, tmp_path: Path) -> None:
    """Those that only read blocks are made by ggml."""
    wide = Dimensions(
        architecture="llama", name="wide", n_layer=1, n_embd=256, n_ff=256, n_head=4, n_head_kv=4,
        n_vocab=320, n_ctx_train=128,
    )  # fmt: skip
    source = synthesize(wide, tmp_path / "wide.gguf", file_type="F32")
    target = quant.apply(
        source, tmp_path / "made.gguf", scheme=f"gguf.quants:{name}", scheme_tensors="ffn_up"
    )
    made, values = (contents(path)["blk.0.ffn_up.weight"] for path in (target, source))
    error = float(np.sqrt(np.mean((made - values) ** 2) / np.mean(values**2)))
    assert 0 < error < (0.9 if name.startswith("TQ") else 0.7)  # ternary


def test_what_is_quantized_already_is_said(mine: str, tmp_path: Path) -> None:
    source = synthesize(SMALL, tmp_path / "q8.gguf", file_type="Q8_0")
    with pytest.raises(UsageError, match="quantized already"):
        quant.apply(source, tmp_path / "made.gguf", scheme=mine)
    made = quant.apply(source, tmp_path / "made.gguf", scheme=mine, allow_requantize=True)
    expected = load_scheme(mine).give_back(contents(source)[FFN].copy())
    assert np.array_equal(contents(made)[FFN], expected)
    assert any("second time" in note for note in plan(source, Recipe.of(
        scheme=mine, allow_requantize=True)).notes)  # fmt: skip


def test_a_split_source(model: Path, mine: str, tmp_path: Path) -> None:
    whole = quant.apply(model, tmp_path / "whole.gguf", scheme=mine)
    writer = gguf.GGUFWriter(
        tmp_path / "split.gguf", "llama", split_max_tensors=5, use_temp_file=False
    )
    reader = gguf.GGUFReader(model)
    for field in reader.fields.values():
        if not field.name.startswith(("GGUF.", "general.architecture")):
            kind = field.types[0]
            sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), kind, sub_type=sub)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    first, *others = sorted(tmp_path.glob("split-0*.gguf"))
    assert len(others) > 1
    made = contents(quant.apply(first, tmp_path / "made.gguf", scheme=mine))
    for name, values in contents(whole).items():
        assert np.array_equal(made[name], values), name


@pytest.mark.parametrize(
    ("old", "new", "error", "told"),
    [
        ("numbers - 8) * scale", "numbers - 8) * scale / 0", SchemeError, "not finite of noise"),
        ("wide = scale.astype(np.float32)", "import os; os._exit(3)", EngineError, "status 3"),
        ("wide = scale.astype(np.float32)", "import os; os.abort()", EngineError, "SIGABRT"),
        ("wide = scale.astype(np.float32)", "import os; os.kill(os.getpid(), 2)", EngineError,
         "died of SIGINT"),
        ("wide = scale.astype(np.float32)", "raise KeyboardInterrupt", SchemeError,
         "quantize_blocks raised KeyboardInterrupt at mine.py:9$"),
        ("import numpy as np", "raise KeyboardInterrupt", SchemeError,
         "mine.py cannot be run: it raised KeyboardInterrupt at mine.py:2$"),
        ("return (numbers - 8) * scale",
         "return np.where(len(blocks) > 99, np.float32('nan'), (numbers - 8) * scale)",
         SchemeError, "not finite: "),
    ],
)  # fmt: skip
def test_what_breaks_leaves_nothing(
    model: Path, tmp_path: Path, old: str, new: str, error: type[Exception], told: str
) -> None:
    path = write_scheme(tmp_path, variant(old, new))
    with pytest.raises(error, match=told):
        quant.apply(model, tmp_path / "made.gguf", scheme=f"{path}:Mine")
    assert {one.name for one in tmp_path.iterdir()} <= {"mine.py", "__pycache__"}


def test_a_scheme_that_never_ends(model: Path, tmp_path: Path) -> None:
    text = variant("wide = scale.astype(np.float32)", "[0 for _ in iter(int, 1)]")
    recipe = Recipe.of(scheme=f"{write_scheme(tmp_path, text)}:Mine")
    with pytest.raises(EngineError, match="not done after 3 s"):
        make(model, tmp_path / "made.gguf", recipe, timeout=3)
    assert not (tmp_path / "made.gguf").exists()


def test_a_source_that_is_not_finite(model: Path, mine: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(model.read_bytes())
    tensor = next(t for t in gguf.GGUFReader(broken, "r+").tensors if t.name == FFN)
    tensor.data[3, 5] = np.inf
    tensor.data.flush()
    with pytest.raises(ModelError, match=rf"{FFN} of the source holds what is not finite"):
        quant.apply(broken, tmp_path / "made.gguf", scheme=mine)


def test_importances_that_a_scheme_does_not_take_are_told(
    model: Path, mine: str, tmp_path: Path
) -> None:
    rows = {t.name: (t.shape[0],) for t in read_header(model).tensors.values() if len(t.shape) > 1}
    imatrix = write_imatrix(tmp_path / "imatrix.gguf", rows)
    for scheme, is_told in ((mine, True), ("gguf.quants:IQ4_NL", False)):
        notes = plan(model, Recipe.of(scheme=scheme, imatrix=imatrix)).notes
        assert any("takes no importances" in note for note in notes) == is_told


def test_patterns_that_find_nothing(model: Path, mine: str) -> None:
    for pattern, told in (
        ("(", "no regular expression"),
        ("nowhere", "finds no tensor"),
        ("norm", "only tensors that are never quantized"),
    ):
        with pytest.raises(UsageError, match=told):
            plan(model, Recipe.of(scheme=mine, scheme_tensors=pattern))


def test_the_command_says_that_the_file_holds_floats(
    model: Path, mine: str, tmp_path: Path
) -> None:
    told = run("quant", "make", str(model), "--scheme", mine, "-o", str(tmp_path / "made.gguf"))
    assert "as custom:mine, 4." in told.stdout and "as float32" in told.stderr
    failed = run("quant", "make", model, "--scheme", "no.py:A", "-o", tmp_path / "x.gguf")
    assert failed.returncode == 2
    assert failed.stderr == "slmprof: error: scheme: cannot read no.py: No such file or directory\n"


def test_memory_is_bounded(tmp_path: Path, mine: str) -> None:
    """A tensor that is much larger than what a few slabs take."""
    big = Dimensions(
        architecture="llama", name="big", n_layer=1, n_embd=1024, n_ff=1024, n_head=16,
        n_head_kv=16, n_vocab=120_000, n_ctx_train=128,
    )  # fmt: skip
    source = synthesize(big, tmp_path / "big.gguf", file_type="F16")
    code = (
        "import resource, sys\n"
        "from slmprof import quant\n"
        "quant.apply(*sys.argv[1:3], scheme=sys.argv[3], threads=2)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    arguments = [sys.executable, "-c", code, source, tmp_path / "made.gguf", mine]
    told = subprocess.run(
        list(map(os.fspath, arguments)), check=True, capture_output=True, text=True
    )
    scale = 1 if sys.platform == "darwin" else 1024
    assert int(told.stdout) * scale < 450 * 2**20 < 4 * 1024 * 120_000
