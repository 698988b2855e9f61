"""Schemes with kernels, inside llama.cpp: what is computed, what is told of it, and what breaks."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from command_line import run
from kernel_files import ARRANGED, FLOATS, with_kernels, write_kernels
from small_models import small_dimensions

import slmprof
from slmprof import quant
from slmprof.errors import EngineError, ModelError, SchemeError, UsageError
from slmprof.models.synthesis import synthesize
from slmprof.quantization.process import plan
from slmprof.settings.recipe import Recipe
from slmprof.system.cores import usable_cores

Q4_0 = Path(__file__).parents[3] / "examples" / "schemes" / "q4_0.c"
TRAINED = Path(__file__).parents[2] / "models" / "trained.gguf"
_BASE_LINE = "-march=x86-64" if platform.machine() == "x86_64" else "-O1"
FEW: dict[str, Any] = {"n_prompt": 9, "n_gen": 2, "repeats": 1, "ceilings": "off"}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is compiled and packed here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLMPROF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Dense, with one matrix for embeddings and head, and a mixture of experts; in float32."""
    folder = tmp_path_factory.mktemp("models")
    changes: dict[str, dict[str, Any]] = {
        "dense": {},
        "tied": {"tied": True},
        "experts": {"n_expert": 5, "n_expert_used": 2},
    }
    return {
        name: synthesize(
            small_dimensions("llama", n_vocab=515, **changed), folder / f"{name}.gguf",
            file_type="F32",
        )
        for name, changed in changes.items()
    }  # fmt: skip


def logits(model: str, n_tokens: int = 9, **settings: Any) -> list[np.ndarray]:
    """After a prompt, and after two steps of decode."""
    tokens = np.random.default_rng(1).integers(3, 250, n_tokens + 2).astype(np.int32)
    with slmprof.Session(model, **{"threads": usable_cores(), **settings}) as session:
        session.prefill(tokens[:n_tokens])
        first = session.engine.last_logits()
        session.decode(tokens[n_tokens:])
        return [first, session.engine.last_logits()]


# On two cores.
@pytest.mark.usefixtures("two_cores")
@pytest.mark.filterwarnings("ignore:3 threads oversubscribe")
@pytest.mark.parametrize("text", [FLOATS, ARRANGED], ids=["plain", "arranged"])
@pytest.mark.parametrize("name", ["dense", "tied", "experts"])
def test_floats_through_the_door_compute_what_floats_do(
    models: dict[str, Path], name: str, text: str, tmp_path: Path
) -> None:
    place = write_kernels(tmp_path, text)
    before = logits(str(models[name]), repack=False)
    for settings in ({"threads": 1}, {"threads": 3}, {"mmap": False}, {"repack": False}):
        after = logits(f"{models[name]}@{place}", **settings)
        for one, other in zip(before, after, strict=True):
            assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(one).max()), settings


def test_a_scheme_in_cpp(models: dict[str, Path], tmp_path: Path) -> None:
    casts = {
        "const float * a = row;": "const float * a = static_cast<const float *>(row);",
        "const float * b = activations;":
            "const float * b = static_cast<const float *>(activations);",
        "(void) importance;": "static_cast<void>(importance);",
    }  # fmt: skip
    text = FLOATS
    for old, new in casts.items():
        text = with_kernels(old, new, text)
    place = write_kernels(tmp_path, text, "kernels.cpp")
    before, after = logits(str(models["dense"])), logits(f"{models['dense']}@{place}")
    for one, other in zip(before, after, strict=True):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(one).max())


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("n_tokens", [1, 2, 50])
def test_q4_0_through_the_door_is_q4_0_to_the_bit(n_tokens: int, tmp_path: Path) -> None:
    built_in = quant.apply(TRAINED, tmp_path / "q4_0.gguf", file_type="Q4_0", pure=True)
    before = logits(str(built_in), n_tokens, repack=False)
    after = logits(f"{TRAINED}@{Q4_0}:q4_0_again", n_tokens)
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_ops_types_and_memory_tell_of_it(models: dict[str, Path]) -> None:
    profile = slmprof.profile(f"{models['experts']}@{Q4_0}:q4_0_again", **FEW)
    ops = profile.ops()
    products = ops[ops["op"].isin(["MUL_MAT", "MUL_MAT_ID"]) & ops["impl"].str.startswith("custom")]
    assert set(products["impl"]) == {"custom:q4_0_again"}
    assert {"MUL_MAT", "MUL_MAT_ID"} == set(products["op"])
    assert all("custom:q4_0_again" in text for text in products["dtypes"])
    looked_up = ops[(ops["op"] == "GET_ROWS") & (ops["block"] == "embedding")]
    assert set(looked_up["impl"]) == {"custom:q4_0_again"}
    down = products[(products["tensor"] == "attn_out-0") & (products["phase"] == "decode")].iloc[0]
    # Blocks of the scheme, activations in and out as floats.
    assert down["bytes"] == 256 * 256 * 18 / 32 + 2 * 256 * 4
    model = profile.meta.model
    assert model.file_type == "custom:q4_0_again" and not model.scheme
    types = model.tensor_types
    assert set(types) == {"custom:q4_0_again", "f32"} and types["custom:q4_0_again"] > types["f32"]
    buffers = profile.memory()
    own = buffers[buffers["buffer_type"] == "CPU_CUSTOM"].iloc[0]
    assert own["allocated_bytes"] == own["predicted_bytes"]
    assert types["custom:q4_0_again"] <= own["allocated_bytes"] < 1.01 * types["custom:q4_0_again"]


def test_memory_is_planned_before_anything_is_packed(models: dict[str, Path]) -> None:
    model = f"{models['dense']}@{Q4_0}:q4_0_again"
    weights = slmprof.memory(model, by="tensor", n_ctx=256)
    packed = weights[weights["type"] == "custom:q4_0_again"]
    assert len(packed) == 3 * 7 + 2
    row = weights[weights["tensor"] == "blk.0.ffn_down.weight"].iloc[0]
    assert row["size_bytes"] == 512 * 256 * 18 // 32 and tuple(row["shape"]) == (512, 256)
    with pytest.raises(UsageError, match="blocks of its scheme"):
        slmprof.memory(model, file_type="Q8_0")


def test_sweeps_and_comparisons_take_it(models: dict[str, Path], tmp_path: Path) -> None:
    model = f"{models['dense']}@{Q4_0}:q4_0_again"
    few = ("--n-prompt", 4, "--n-gen", 2, "--repeats", 1, "--ceilings", "off")
    done = run("sweep", models["dense"], model, *few, "-o", tmp_path / "points", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["points"]) == 2
    again = run("sweep", models["dense"], model, *few, "-o", tmp_path / "points")
    assert again.returncode == 0 and again.stderr.count("kept") == 2
    compared = slmprof.compare(models["dense"], model, processes=1, n_prompt=4, n_gen=2, repeats=1)
    found = compared.to_json()
    assert found["b"]["name"] == "dense-q4_0_again"
    weights = next(r for r in found["rows"] if (r["what"], r["name"]) == ("memory", "weights"))
    assert weights["b"] < weights["a"]
    kernels = {r["name"] for r in found["rows"] if r["what"] == "kernel"}
    assert {"mul_mat_vec_f", "mul_mat_vec_q"} <= kernels


def test_the_packed_file_is_small_and_needs_its_scheme(
    models: dict[str, Path], tmp_path: Path
) -> None:
    place = write_kernels(tmp_path, ARRANGED)
    packed = quant.apply(models["dense"], tmp_path / "packed.gguf", scheme=f"{Q4_0}:q4_0_again")
    assert packed.stat().st_size < models["dense"].stat().st_size / 6
    tensors = {t.name: t for t in gguf.GGUFReader(packed).tensors}
    assert tensors["blk.0.ffn_up.weight"].tensor_type == gguf.GGMLQuantizationType.I8
    assert tensors["blk.0.ffn_up.weight"].n_bytes == 512 * 256 * 18 // 32
    with slmprof.Session(f"{packed}@{Q4_0}:q4_0_again") as session:
        assert session.path == packed
    for model, message in (
        (str(packed), r"packed by the scheme q4_0_again \(q4_0.c:q4_0_again\)"),
        (f"{packed}@{place}", "not the scheme that was given, or was changed"),
    ):
        with pytest.raises(ModelError, match=message):
            slmprof.profile(model, **FEW)
        with pytest.raises(ModelError, match=message):
            slmprof.memory(model)
    assert run("breakdown", packed).returncode == 2
    changed = tmp_path / "q4_0.c"
    changed.write_text(Q4_0.read_text() + "/* changed */\n")
    with pytest.raises(ModelError, match="was changed since"):
        slmprof.profile(f"{packed}@{changed}:q4_0_again", **FEW)


def test_some_weights_only_and_values_instead_of_blocks(
    models: dict[str, Path], tmp_path: Path
) -> None:
    place = f"{Q4_0}:q4_0_again"
    packed = quant.apply(models["tied"], tmp_path / "p.gguf", scheme=place, scheme_tensors="ffn_")
    fake = quant.apply(
        models["tied"], tmp_path / "f.gguf", scheme=place, scheme_tensors="ffn_", fake_quant=True
    )
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(packed).tensors}
    assert {name for name, kind in types.items() if kind == "I8"} == {
        name for name in types if "ffn_" in name and "norm" not in name
    }
    assert "I8" not in {t.tensor_type.name for t in gguf.GGUFReader(fake).tensors}
    pairs = zip(logits(f"{packed}@{place}"), logits(str(fake)), strict=True)
    assert all(np.corrcoef(*pair)[0, 1] > 0.999 for pair in pairs)


def test_weights_that_a_model_does_more_with_are_left_alone(
    models: dict[str, Path], tmp_path: Path
) -> None:
    # Without unpack no rows can be looked up: the embeddings stay, and a head that they are.
    text = """
import ctypes
import numpy as np
from slmprof.quant import Scheme

_LIBRARY = ctypes.CDLL({library!r})
_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_size_t, *3 * [ctypes.c_void_p])

@Scheme(block_size=32, type_size=128)
class Floats:
    activations = "f32"
    dot = _TYPE(("dot", _LIBRARY))
    def quantize_blocks(self, blocks):
        return blocks.view(np.uint8)
    def dequantize_blocks(self, blocks):
        return blocks.view(np.float32)
"""
    source = tmp_path / "dot.c"
    source.write_text(with_kernels("static void dot", "void dot", FLOATS).split("/* KERNELS")[0])
    library = tmp_path / "dot.so"
    include = Path(slmprof.__file__).parent / "include"
    subprocess.run(["cc", "-shared", "-fPIC", f"-I{include}", source, "-o", library], check=True)
    scheme = tmp_path / "mine.py"
    scheme.write_text(text.format(library=str(library)))
    place = f"{scheme}:Floats"
    found = plan(models["tied"], Recipe.of(scheme=place))
    kept = [one.tensor for one in found.tensors if one.fell_back]
    assert kept == ["token_embd.weight"] and len(found.of_scheme) == 3 * 7
    for one, other in zip(
        logits(str(models["tied"]), repack=False), logits(f"{models['tied']}@{place}"), strict=True
    ):
        assert np.allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(one).max())


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    "flags", ["", "-march=x86-64" if platform.machine() == "x86_64" else "-O1"]
)
@pytest.mark.parametrize("name", ["q3_32", "ternary", "q4_25"])
def test_the_examples_compute_what_they_store(
    name: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_SCHEME_FLAGS", flags)
    place = f"{Q4_0.parent / name}.c:{name}"
    # 499 rows of the LM head are no whole groups of any layout.
    source = synthesize(
        small_dimensions("llama", n_vocab=499, n_ff=576), tmp_path / "f.gguf", file_type="F32"
    )
    fake = quant.apply(source, tmp_path / "fake.gguf", scheme=place, fake_quant=True)
    for n_tokens in (1, 13):
        before, after = logits(str(fake), n_tokens), logits(f"{source}@{place}", n_tokens)
        for one, other in zip(before, after, strict=True):
            # Activations of 8 bits are all that differs.
            assert np.corrcoef(one, other)[0, 1] > 0.999


@pytest.mark.usefixtures("two_cores")
def test_numba_kernels(models: dict[str, Path]) -> None:
    pytest.importorskip("numba")
    place = f"{Q4_0.parent / 'numba_q8.py'}:NumbaQ8"
    before, after = logits(str(models["dense"])), logits(f"{models['dense']}@{place}")
    assert all(np.corrcoef(*pair)[0, 1] > 0.999 for pair in zip(before, after, strict=True))


def test_quality_runs_the_kernels(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(Path(json.__file__).read_text())
    place = f"{Q4_0}:q4_0_again"
    built_in = quant.apply(TRAINED, tmp_path / "q4_0.gguf", file_type="Q4_0", pure=True)
    found = quant.quality(f"{TRAINED}@{place}", reference=TRAINED, text=text, n_ctx=128)
    other = quant.quality(built_in, reference=TRAINED, text=text, n_ctx=128)
    assert found.divergence is not None and other.divergence is not None
    assert found.perplexity.value == pytest.approx(other.perplexity.value, rel=0.01)
    own, theirs = ({t.tensor: t for t in one.tensors} for one in (found, other))
    for name, tensor in own.items():
        assert tensor.type == "custom:q4_0_again"
        assert tensor.rmse == pytest.approx(theirs[name].rmse, rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sum += (double) a[i] * b[i];", "sum += (double) a[i] * b[i] + 1;", "dot disagrees with"),
        ("i < n; i++) {\n        sum", "i < 0; i++) {\n        sum", "and it gives 0"),
        ('"f32"', '"iq2_xxs"', "ggml converts no activations"),
        (".abi = SLMPROF_SCHEME_ABI", ".abi = 99", "for version 99 of slmprof_scheme.h"),
        (", .dot = dot", "", "it has no dot"),
        ("SLMPROF_SCHEME(floats)", "SLMPROF_SCHEME(others)", r"no SLMPROF_SCHEME\(floats\) in it"),
        ("enum { BLOCK = 32 };", "enum { BLOCK = 0 };", "is impossible"),
        ("double sum = 0;", "double sum = zero;", "(?s)does not compile.*'?zero.*undeclared"),
        (".unpack = unpack, ", "", "it has no unpack"),
        ("/* MORE */", ".group_rows = 4,", "group_rows .* and arrange go together"),
        ("results + c * stride", "results + c * n_rows", "gemm (writes between|disagrees)"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_scheme(
    old: str, new: str, message: str, models: dict[str, Path], tmp_path: Path
) -> None:
    text = FLOATS if old in FLOATS else ARRANGED
    place = write_kernels(tmp_path, with_kernels(old, new, text))
    with pytest.raises(SchemeError, match=message):
        quant.apply(models["dense"], tmp_path / "made.gguf", scheme=place)
    with pytest.raises(SchemeError, match=message):
        slmprof.profile(f"{models['dense']}@{place}", **FEW)
    assert not (tmp_path / "made.gguf").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("*result = ", "result[1] = ", "SIGSEGV while trying dot of floats on rows of 32"),
        ("i < n; i++) {\n        sum", "i <= n; i++) {\n        sum", "SIGSEGV while trying dot"),
        ("double sum = 0;", "double sum = 0; for (volatile int x = 0;; x = 0) {}",
         "dot does not return on rows of 32"),
        ("    (void) importance;", "    ((char *) blocks)[-1] = 0;",
         "SIGSEGV while trying pack and unpack of floats"),
    ],
)  # fmt: skip
def test_kernels_that_crash_or_loop_end_their_own_process(
    old: str, new: str, message: str, models: dict[str, Path], tmp_path: Path
) -> None:
    place = write_kernels(tmp_path, with_kernels(old, new))
    with pytest.raises(EngineError, match=message):
        quant.apply(models["dense"], tmp_path / "made.gguf", scheme=place)
    assert [path.name for path in tmp_path.iterdir()] == ["kernels.c"]


def test_commands_that_take_no_model_in_a_scheme_say_so(models: dict[str, Path]) -> None:
    model = f"{models['dense']}@{Q4_0}:q4_0_again"
    for arguments in (["quant", "dry-run", model], ["quant", "make", model, "-o", "x.gguf"]):
        done = run(*arguments)
        assert done.returncode == 2 and "by --scheme" in done.stderr, done.stderr
    with pytest.raises(ModelError, match="names a scheme"):
        slmprof.synthesize(f"preset:tiny@{Q4_0}:q4_0_again", "x.gguf")


def test_a_scheme_without_kernels_runs_no_model(models: dict[str, Path]) -> None:
    with pytest.raises(SchemeError, match="Q4_0 has no kernels"):
        slmprof.profile(f"{models['dense']}@{write_python(models)}", **FEW)


def write_python(models: dict[str, Path]) -> str:
    path = models["dense"].with_name("plain.py")
    path.write_text("from gguf.quants import Q4_0\n")
    return f"{path}:Q4_0"


def test_the_digest_covers_what_a_file_includes(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "sizes.h").write_text("enum { BLOCK = 32 };\n")
    text = with_kernels("enum { BLOCK = 32 };", '#include "sizes.h"')
    place = write_kernels(tmp_path, text)
    packed = quant.apply(models["dense"], tmp_path / "packed.gguf", scheme=place)
    slmprof.memory(f"{packed}@{place}", n_ctx=64)
    (tmp_path / "sizes.h").write_text("enum { BLOCK = 32 }; /* changed */\n")
    with pytest.raises(ModelError, match="was changed since"):
        slmprof.memory(f"{packed}@{place}", n_ctx=64)
    (tmp_path / "sizes.h").unlink()
    with pytest.raises(SchemeError, match=r"(?s)does not compile.*sizes\.h"):
        slmprof.memory(f"{packed}@{place}", n_ctx=64)
