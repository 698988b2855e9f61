"""Recipes: what is planned is what is made, and what llama-quantize itself makes."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
from command_line import run
from gguf_header import read_header
from imatrix_files import write_imatrix

import slmprof
from slmprof import _core, quant
from slmprof.children.protocol import Progress
from slmprof.errors import EngineError, ModelError, UsageError
from slmprof.models.synthesis import synthesize
from slmprof.quantization.process import make, plan
from slmprof.quantization.records import QuantizationPlan
from slmprof.settings.dimensions import Dimensions
from slmprof.settings.recipe import Recipe

SMALL = Dimensions(
    architecture="llama", name="small", n_layer=4, n_embd=256, n_ff=512, n_head=4, n_head_kv=2,
    n_vocab=320, n_ctx_train=128,
)  # fmt: skip
# Rows that blocks of 256 do not divide, and an LM head of its own.
ODD = Dimensions(
    architecture="llama", name="odd", n_layer=4, n_embd=96, n_ff=160, n_head=3, n_head_kv=3,
    n_vocab=320, n_ctx_train=128, tied=False,
)  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "patterns": {"tensor_type": [r"blk\.[01]\.attn_q=q8_0", "ffn_down=q3_K"]},
    "pure": {"file_type": "Q4_0", "pure": True},
    "head and embeddings": {
        "file_type": "Q5_K_M", "output_tensor_type": "q8_0", "token_embedding_type": "q4_0"
    },
    "head kept": {"file_type": "Q8_0", "leave_output_tensor": True},
    "floats": {"file_type": "BF16"},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the sources, in floats."""
    made: Path = tmp_path_factory.mktemp("sources")
    synthesize(SMALL, made / "small.gguf", file_type="F32")
    synthesize(ODD, made / "odd.gguf", file_type="F16")
    synthesize(SMALL, made / "quantized.gguf", file_type="Q8_0")
    return made


@pytest.fixture(scope="module")
def imatrix(folder: Path) -> Path:
    """Importances of every matrix of the small model."""
    tensors = read_header(folder / "small.gguf").tensors.values()
    rows = {t.name: (t.shape[0],) for t in tensors if len(t.shape) > 1}
    return write_imatrix(folder / "imatrix.gguf", rows)


def types_of(path: Path) -> list[tuple[str, str]]:
    """The tensors of a file in their order, by the planner's own names of types."""
    settings = _core.EngineSettings()
    settings.path = os.fspath(path)
    settings.use_repack = False
    weights = _core.Planner(settings).weights()
    known = dict(zip(weights["name"], weights["type"], strict=True))
    return [(name, known[name]) for name in read_header(path).tensors]


def data_begin(path: Path) -> int:
    """Where the tensors begin in a file."""
    return int(gguf.GGUFReader(path).data_offset)


def planned_types(found: QuantizationPlan) -> list[tuple[str, str]]:
    return [(one.tensor, one.type) for one in found.tensors]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("source", ["small", "odd"])
def test_what_is_planned_is_made(folder: Path, tmp_path: Path, source: str, name: str) -> None:
    recipe = Recipe.of(**RECIPES[name])
    model = folder / f"{source}.gguf"
    planned = plan(model, recipe)
    seen: list[Progress] = []
    made = make(model, tmp_path / "made.gguf", recipe, threads=2, on_progress=seen.append)
    assert made == planned
    assert types_of(tmp_path / "made.gguf") == planned_types(planned)
    size = (tmp_path / "made.gguf").stat().st_size - data_begin(tmp_path / "made.gguf")
    assert 0 <= size - planned.size_bytes < 32 * len(planned.tensors)
    assert [progress.done for progress in seen] == list(range(len(planned.tensors)))
    assert [path.name for path in tmp_path.iterdir()] == ["made.gguf"]


def test_fallbacks_are_told(folder: Path) -> None:
    found = plan(folder / "odd.gguf", Recipe.of())
    by_name = {one.tensor: one for one in found.tensors}
    up = by_name["blk.0.ffn_up.weight"]
    assert (up.asked, up.type, up.fell_back) == ("q4_K", "q5_0", True)
    assert up.asked_bytes == 96 * 160 * 144 // 256
    assert not by_name["blk.0.attn_norm.weight"].is_quantizable
    assert found.fallbacks is not None and found.fallbacks.rows == (96, 160)
    assert plan(folder / "small.gguf", Recipe.of()).fallbacks is None


def test_no_weight_is_read(folder: Path, tmp_path: Path) -> None:
    """A file with a hole in place of its data gives the same plan."""
    outline, n_header = tmp_path / "outline.gguf", data_begin(folder / "small.gguf")
    outline.write_bytes((folder / "small.gguf").read_bytes()[:n_header])
    os.truncate(outline, (folder / "small.gguf").stat().st_size)
    found = plan(outline, Recipe.of())
    assert found.tensors == plan(folder / "small.gguf", Recipe.of()).tensors


@pytest.fixture(scope="module")
def llama_quantize() -> Path:
    program = Path(os.environ.get("SLMPROF_PEERS_DIR", "missing")).resolve() / "llama-quantize"
    if not program.is_file():
        pytest.skip("SLMPROF_PEERS_DIR names no folder with llama-quantize (see CONTRIBUTING.md)")
    return program


_OPTIONS = {"tensor_type": "--tensor-type", "pure": "--pure", "imatrix": "--imatrix",
            "output_tensor_type": "--output-tensor-type",
            "token_embedding_type": "--token-embedding-type",
            "leave_output_tensor": "--leave-output-tensor"}  # fmt: skip


def llama_options(settings: dict[str, Any]) -> list[str]:
    found = []
    for name, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            if name in _OPTIONS:
                found += [_OPTIONS[name], *([] if one is True else [str(one)])]
    return found


@pytest.mark.parametrize("name", [*RECIPES, "importances", "three bits with importances"])
def test_a_file_is_byte_for_byte_what_llama_quantize_writes(
    folder: Path, imatrix: Path, tmp_path: Path, llama_quantize: Path, name: str
) -> None:
    settings = {
        **RECIPES,
        "importances": {"imatrix": str(imatrix)},
        "three bits with importances": {"file_type": "IQ3_XXS", "imatrix": str(imatrix)},
    }[name]
    theirs, ours = tmp_path / "theirs.gguf", tmp_path / "ours.gguf"
    subprocess.run(
        [llama_quantize, *llama_options(settings), folder / "small.gguf", theirs,
         settings.get("file_type", "Q4_K_M"), "2"],
        check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    quant.apply(folder / "small.gguf", ours, threads=2, **settings)
    assert ours.read_bytes() == theirs.read_bytes()


def test_what_needs_importances_is_known_before(folder: Path, tmp_path: Path) -> None:
    """Of every file type, the quantizer makes it without importances, or the plan says so."""
    refused = set()
    for file_type in _core.synth_file_types():
        found = plan(folder / "small.gguf", Recipe.of(file_type=file_type))
        if any("importance matrix" in note for note in found.notes):
            refused.add(file_type)
            with pytest.raises(UsageError, match="importance matrix"):
                quant.apply(folder / "small.gguf", tmp_path / "made.gguf", file_type=file_type)
            assert list(tmp_path.iterdir()) == []
        else:
            quant.apply(folder / "small.gguf", tmp_path / "made.gguf", file_type=file_type)
            (tmp_path / "made.gguf").unlink()
    assert refused == {
        "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "IQ3_XS", "Q2_K_S",
    }  # fmt: skip


def test_importances_change_types_and_are_noted(
    folder: Path, imatrix: Path, tmp_path: Path
) -> None:
    made = quant.apply(
        folder / "small.gguf", tmp_path / "a.gguf", file_type="IQ2_XXS", imatrix=imatrix
    )
    values = read_header(made).metadata
    assert str(values["quantize.imatrix.file"]).endswith("imatrix.gguf")
    assert values["quantize.imatrix.dataset"] == "calibration.txt"
    assert values["quantize.imatrix.chunks_count"] == 3
    with pytest.raises(UsageError, match="IQ3_XXS"):
        plan(folder / "small.gguf", Recipe.of(file_type="IQ3_XXS"))
    assert plan(folder / "small.gguf", Recipe.of(file_type="IQ3_XXS", imatrix=imatrix)).tensors


def test_importances_of_another_model_are_refused(folder: Path, imatrix: Path) -> None:
    found = plan(folder / "odd.gguf", Recipe.of(imatrix=imatrix))
    assert any("of another model" in note for note in found.notes)
    with pytest.raises(UsageError, match="of another model"):
        quant.apply(folder / "odd.gguf", folder / "never.gguf", imatrix=imatrix)
    with pytest.raises(UsageError, match="no importance matrix"):
        plan(folder / "small.gguf", Recipe.of(imatrix=folder / "small.gguf"))


def test_what_is_quantized_is_not_quantized_again_unasked(folder: Path, tmp_path: Path) -> None:
    source = folder / "quantized.gguf"
    assert "quantized already (q8_0)" in " ".join(plan(source, Recipe.of()).notes)
    with pytest.raises(UsageError, match="--allow-requantize"):
        quant.apply(source, tmp_path / "a.gguf")
    quant.apply(source, tmp_path / "a.gguf", allow_requantize=True)
    noted = plan(source, Recipe.of(allow_requantize=True)).notes
    assert any("a second time" in note for note in noted)
    # Nothing is converted: nothing is lost.
    quant.apply(source, tmp_path / "b.gguf", file_type="Q8_0")


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("small", {"file_type": "Q9_X"}, "known are"),
        ("small", {"tensor_type": "attn_qq=q8_0"}, "no tensor's name matches"),
        ("small", {"tensor_type": "attn_(=q8_0"}, "no regular expression"),
        ("small", {"tensor_type": "attn_q=q9_9"}, "unknown tensor type"),
        ("small", {"tensor_type": "attn_q=q8_K"}, "no weights can have the type"),
        ("small", {"tensor_type": "attn_norm=q8_0"}, "never quantized"),
        ("small", {"tensor_type": "attn_q=q8_0", "file_type": "F16"}, "need a quantized file type"),
        ("small", {"token_embedding_type": "q9_9"}, "unknown tensor type"),
        ("odd", {"token_embedding_type": "q4_K"}, r"token_embd\.weight \(96\) do not divide"),
        ("odd", {"output_tensor_type": "q6_K"}, r"output\.weight \(96\) do not divide"),
    ],
)
def test_recipes_that_cannot_be_followed(
    folder: Path, tmp_path: Path, source: str, settings: dict[str, Any], message: str
) -> None:
    for call in (
        lambda: quant.dry_run(folder / f"{source}.gguf", **settings),
        lambda: quant.apply(folder / f"{source}.gguf", tmp_path / "made.gguf", **settings),
    ):
        with pytest.raises(UsageError, match=message):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_pattern_falls_back_where_rows_do_not_divide(folder: Path) -> None:
    table = quant.dry_run(folder / "odd.gguf", tensor_type="attn_v=q6_K").set_index("tensor")
    row = table.loc["blk.0.attn_v.weight"]
    assert (row["asked"], row["type"], bool(row["fell_back"])) == ("q6_K", "q8_0", True)


def test_a_head_that_is_the_embeddings_is_told(folder: Path) -> None:
    synthesize(replace(SMALL, tied=True), folder / "tied.gguf", file_type="F32")
    found = plan(folder / "tied.gguf", Recipe.of(output_tensor_type="q8_0"))
    assert any("--output-tensor-type changes nothing" in note for note in found.notes)
    untied = plan(folder / "odd.gguf", Recipe.of(output_tensor_type="q8_0"))
    assert not any("changes nothing" in note for note in untied.notes)


def test_presets_start_from_floats(tmp_path: Path) -> None:
    found = plan("preset:tiny", Recipe.of(file_type="Q4_0"))
    assert (found.model.file_type, found.model.random_weights) == ("F16", True)
    made = quant.apply("preset:tiny", tmp_path / "tiny.gguf", file_type="Q4_0")
    assert types_of(made) == planned_types(found)
    assert slmprof.profile(made, n_prompt=4, n_gen=2, repeats=1, n_ctx=64).meta.model.n_layer


def test_where_a_file_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes((folder / "small.gguf").read_bytes())
    (tmp_path / "there.gguf").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for target, message in (
        (tmp_path, "is a directory"),
        (tmp_path / "missing" / "a.gguf", "no directory"),
        (source, "is the model"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "there.gguf", "exists already"),
    ):
        with pytest.raises(UsageError, match=message):
            quant.apply(source, target, overwrite=False)
    assert (tmp_path / "there.gguf").read_text() == "mine"
    quant.apply(source, tmp_path / "there.gguf")
    assert (tmp_path / "there.gguf").read_bytes()[:4] == b"GGUF"


def test_files_that_are_no_models(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").write_bytes(b"")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes((folder / "small.gguf").read_bytes()[:-4096])
    for path in (tmp_path / "empty.gguf", tmp_path / "missing.gguf", cut):
        with pytest.raises(ModelError):
            quant.apply(path, tmp_path / "made.gguf")
    assert not (tmp_path / "made.gguf").exists()


def test_what_is_not_done_in_time_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--timeout"):
        make(folder / "small.gguf", tmp_path / "made.gguf", Recipe.of(), timeout=0.01)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(folder / "small.gguf", tmp_path / "made.gguf", Recipe.of(), on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_command(folder: Path, tmp_path: Path) -> None:
    shown = run("quant", "dry-run", folder / "odd.gguf", "--format", "json")
    value = json.loads(shown.stdout)
    assert value["schema_version"] == 1
    assert value["totals"]["size_bytes"] == sum(one["size_bytes"] for one in value["tensors"])
    assert {"tensor", "shape", "source", "asked", "type", "bits_per_weight"} <= {
        *value["tensors"][0]
    }
    assert value["fallbacks"] and value["recipe"]["file_type"] == "Q4_K_M"
    made = run("quant", "make", folder / "odd.gguf", "-o", tmp_path / "made.gguf")
    assert made.returncode == 0, made.stderr
    first, second = made.stdout.splitlines()
    assert first.startswith("warning: asked Q4_K_M: ") and "bits per weight" in second
    refused = run("quant", "make", folder / "quantized.gguf", "-o", tmp_path / "no.gguf")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--allow-requantize" in refused.stderr
    assert run("quant", "make", folder / "odd.gguf").returncode == 2
    assert run("quant").returncode == 2
    for view in ("table", "csv", "markdown"):
        assert run("quant", "dry-run", folder / "odd.gguf", "--format", view).returncode == 0
