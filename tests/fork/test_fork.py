"""A fork of llama.cpp with a type of its own: known by name, block and bytes, wherever types are.

`.ci/run` builds the fork of make_fork.py and runs this with it; no other build can pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from held_out import TRAINED, write_held_out

import slmprof
from slmprof import _core, quant
from slmprof.models.ggml_types import weight_types

TYPE, FILE_TYPE, BITS = "x6_0", "X6_0", 6.0


@pytest.fixture(scope="module", autouse=True)
def _cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache folder stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLMPROF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("fork") / "mine.gguf"
    return quant.apply(TRAINED, path, file_type=FILE_TYPE)


def test_its_block_is_read_from_the_library() -> None:
    found = weight_types()[TYPE]
    assert (found.block_size, found.type_size, found.is_quantized) == (16, 12, True)
    assert _core.synth_file_types()[FILE_TYPE] > 41


def test_a_plan_gives_types_and_bytes(model: Path) -> None:
    table = quant.dry_run(TRAINED, file_type=FILE_TYPE, pure=True)
    own = table[table["type"] == TYPE]
    assert len(own) == table["is_quantizable"].sum() > 20
    assert (own["bits_per_weight"] == BITS).all()
    mixed = quant.dry_run(TRAINED, tensor_type=f"attn_v={TYPE}").set_index("tensor")
    assert mixed.loc["blk.0.attn_v.weight", "type"] == TYPE
    memory = slmprof.memory(model, n_ctx=512)
    planned = memory[memory["kind"] == "weights"]["size_bytes"].sum()
    assert planned == pytest.approx(model.stat().st_size, rel=0.05)


def test_a_run_names_it_and_counts_its_bytes(model: Path) -> None:
    profile = slmprof.profile(model, n_prompt=8, n_gen=4, repeats=1, ceilings="off")
    ops = profile.ops()
    products = ops[ops["dtypes"].str.startswith(TYPE) & ops["op"].eq("MUL_MAT")]
    assert len(products) > 20 and set(products["impl"]) == {"vec_dot_x6_0_f32"}
    weights = profile.weights().set_index("tensor")
    assert weights.loc["blk.0.ffn_up.weight", "type"] == TYPE
    assert weights.loc["blk.0.ffn_up.weight", "bits_per_weight"] == BITS
    assert (
        profile.meta.model.tensor_types[TYPE]
        == weights["size_bytes"][weights["type"] == TYPE].sum()
    )
    assert profile.meta.model.file_type == FILE_TYPE


def test_its_quality_and_its_values_are_told(model: Path, tmp_path: Path) -> None:
    text = write_held_out(tmp_path, 2000)
    found = quant.quality(model, reference=TRAINED, text=text, n_ctx=64, chunks=4, costs=True)
    assert found.divergence is not None and 0 < found.divergence.kld.value < 0.1
    assert {one.type for one in found.tensors} >= {TYPE}
    assert all(one.snr_db and one.snr_db > 15 for one in found.tensors)
    assert all(one.ms for one in found.costs)
    values = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)
    blocks = _core.pack_rows(TYPE, values)
    assert blocks.size == 48
    assert np.abs(_core.unpack_rows(TYPE, blocks.ravel(), 64) - values).max() < 0.1


def test_the_commands_show_it(model: Path, tmp_path: Path) -> None:
    for arguments in (
        ("breakdown", model, "--n-prompt", 8, "--n-gen", 4, "--repeats", 1),
        ("memory", model),
        ("quant", "dry-run", TRAINED, "--file-type", FILE_TYPE),
        ("memory", TRAINED, "--file-type", FILE_TYPE),
    ):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert TYPE in done.stdout.lower(), arguments
    done = run("synth", "tiny", "--file-type", FILE_TYPE, "-o", "tiny.gguf", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run(
        "breakdown", "tiny.gguf", "--n-prompt", 8, "--n-gen", 4, "--repeats", 1, cwd=tmp_path
    )
    assert done.returncode == 0 and TYPE in done.stdout.lower(), done.stderr


def test_a_dossier_compares_with_it(tmp_path: Path) -> None:
    found = quant.dossier(
        TRAINED, recipe=quant.recipe(file_type=FILE_TYPE), text=write_held_out(tmp_path, 2000),
        output=tmp_path / "dossier", against=["Q8_0"], n_ctx=64, chunks=2, processes=1, repeats=1,
        n_prompt=8, n_gen=4,
    )  # fmt: skip
    assert found.figures[0].bits_per_weight == pytest.approx(BITS, abs=0.1)
