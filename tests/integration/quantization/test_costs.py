"""What each weight costs, by another way to the same figures: a file with that weight alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import run
from held_out import TRAINED, write_held_out

from slmprof import _core, quant
from slmprof.errors import UsageError
from slmprof.quantization.quality.records import Estimate, Quality, WeightCost

N_CTX = 64
WEIGHT = "blk.1.ffn_down.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("costs")
    write_held_out(made, 2000)
    quant.apply(TRAINED, made / "q2.gguf", file_type="Q2_K")
    # The values alone, so that no kernel that rounds activations comes in between.
    quant.apply(
        TRAINED, made / "one.gguf", scheme="gguf.quants:Q4_0", scheme_tensors=r"^blk\.1\.ffn_down"
    )
    return made


def costs(folder: Path, model: str, **settings: Any) -> Quality:
    settings = {"reference": TRAINED, "n_ctx": N_CTX, "cost_chunks": 3, **settings}
    return quant.quality(
        folder / model, text=folder / "held-out.txt", costs=True, threads=1, **settings
    )


@pytest.fixture(scope="module")
def of_one(folder: Path) -> Quality:
    return costs(folder, "one.gguf", chunks=3)


@pytest.fixture(scope="module")
def of_many(folder: Path) -> Quality:
    return costs(folder, "q2.gguf", chunks=3)


def test_a_weight_costs_what_a_file_with_it_alone_diverges(of_one: Quality) -> None:
    found = of_one
    (cost,) = found.costs
    assert found.divergence is not None and cost.tensor == WEIGHT
    assert found.n_cost_tokens == found.scored.n_tokens == 3 * (N_CTX // 2 - 1)
    assert cost.kld.value == pytest.approx(found.divergence.kld.value, rel=0.03)
    assert cost.kld.value > 1e-6 and 0 < cost.kld.error < cost.kld.value


def test_every_weight_that_differs_has_its_cost_and_its_time(of_many: Quality) -> None:
    found = of_many
    assert [one.tensor for one in found.costs] == [one.tensor for one in found.tensors]
    assert all(one.kld.value > 0 and one.size_bytes < one.reference_bytes for one in found.costs)
    assert all(math.isfinite(one.kld.value) and math.isfinite(one.kld.error) for one in found.costs)
    assert all(one.ms and one.reference_ms and not one.is_modelled for one in found.costs)
    assert found.divergence is not None
    # Small divergences add up; these are not small, so within a factor.
    total = sum(one.kld.value for one in found.costs)
    assert found.divergence.kld.value / 3 < total < 3 * found.divergence.kld.value


def test_the_reference_is_as_it_was_after_each_weight(folder: Path, of_many: Quality) -> None:
    """The last of many weights costs what it costs alone."""
    every = {one.tensor: one for one in of_many.costs}
    quant.apply(
        TRAINED, folder / "last.gguf", file_type="Q2_K", token_embedding_type="f16",
        tensor_type=[r"blk\.2\.ffn_up=q2_k", ".*=f16"],
    )  # fmt: skip
    (alone,) = costs(folder, "last.gguf", chunks=3).costs
    assert alone.kld.value == pytest.approx(every["blk.2.ffn_up.weight"].kld.value, rel=1e-6)


def test_values_of_a_scheme_have_no_time(of_one: Quality) -> None:
    (cost,) = of_one.costs
    assert cost.ms is None and cost.nats_per_ms is None
    assert any("times are not the scheme's" in note for note in of_one.notes)


def test_what_costs_cannot_be_told_of_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="against a reference; give --reference"):
        costs(folder, "q2.gguf", reference=None)
    with pytest.raises(UsageError, match=r"token_embd\.weight of the reference is q6_K.*floats"):
        costs(folder, "one.gguf", reference=folder / "q2.gguf", chunks=3)


def test_the_command_lists_them_and_draws_them(folder: Path) -> None:
    command = ("quant", "quality", folder / "q2.gguf", "--reference", TRAINED, "--text",
               folder / "held-out.txt", "--n-ctx", "64", "--chunks", "2")  # fmt: skip
    done = run(*command, "--cost-chunks", "1", "--by", "cost", "--plot", folder / "costs.svg")
    assert done.returncode == 0, done.stderr
    assert WEIGHT in done.stdout and "nats per ms" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    picture = "".join(ElementTree.parse(folder / "costs.svg").getroot().itertext())
    assert "milliseconds of a token saved" in picture and "q2_K" in picture
    done = run(*command, "--costs", "--cost-chunks", "1", "--format", "json")
    found = json.loads(done.stdout)
    assert found["n_cost_tokens"] == 31 and len(found["costs"]) == len(found["tensors"])
    assert {"kld", "saved_ms", "nats_per_ms", "tensor"} <= set(found["costs"][0])


def test_a_picture_that_cannot_be_written_is_told_before_anything_is_measured(folder: Path) -> None:
    command = ("quant", "quality", folder / "q2.gguf", "--reference", TRAINED, "--text",
               folder / "held-out.txt", "--plot")  # fmt: skip
    for path, said in (("x.png", ".svg"), (folder / "none" / "x.svg", "no directory")):
        done = run(*command, path)
        assert done.returncode == 2 and said in done.stderr and not done.stdout


def test_nats_per_ms_are_of_what_is_saved() -> None:
    cost = WeightCost("w", "q4_0", "f16", Estimate(0.02, 0.001), 10, 20, 1.0, 1.5)
    assert (cost.saved_ms, cost.nats_per_ms) == (0.5, 0.04)
    assert cost.replace(ms=1.5).nats_per_ms is None
    slower = cost.replace(ms=2.0)
    assert slower.saved_ms == -0.5 and slower.nats_per_ms is None
    assert cost.replace(reference_ms=None).saved_ms is None


def engine(**settings: Any) -> _core.Engine:
    native = _core.EngineSettings()
    native.path, native.n_ctx, native.n_batch, native.n_threads = str(TRAINED), 64, 64, 1
    for name, value in settings.items():
        setattr(native, name, value)
    return _core.Engine(native)


def logits(of: _core.Engine) -> Any:
    of.truncate(0)
    of.fill(np.arange(5, dtype=np.int32))
    return of.last_logits()


def test_a_weight_in_memory_is_exchanged_and_put_back() -> None:
    made = engine(use_mmap=False, use_repack=False)
    before = logits(made)
    zeros = np.zeros(2 * 128 * 64, np.uint8)
    # The first rows of a matrix of half precision: what they were stands in the file.
    source = {one["tensor"]: one for one in _core.source_tensors(str(TRAINED))["tensors"]}[WEIGHT]
    with TRAINED.open("rb") as file:
        file.seek(source["source_begin"])
        was = np.frombuffer(file.read(len(zeros)), np.uint8)
    made.write_weight(WEIGHT, 0, zeros)
    assert not np.array_equal(logits(made), before)
    made.write_weight(WEIGHT, 0, was)
    assert np.array_equal(logits(made), before)


@pytest.mark.parametrize(
    ("settings", "tensor", "begin", "said"),
    [
        ({}, WEIGHT, 0, "does not lie in memory as the file has it"),
        ({"use_mmap": False, "use_repack": False}, "no.weight", 0, "there is no weight"),
        ({"use_mmap": False, "use_repack": False}, WEIGHT, 2**62, "beyond the end"),
        ({"use_mmap": False, "use_repack": False}, WEIGHT, 2**64 - 1, "beyond the end"),
    ],
)
def test_what_cannot_be_exchanged_is_refused(
    settings: dict[str, Any], tensor: str, begin: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        engine(**settings).write_weight(tensor, begin, np.zeros(8, np.uint8))
