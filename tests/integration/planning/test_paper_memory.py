"""The survey's figure 11: the presets' sizes, and where each difference comes from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from model_sizes import count_parameters

from slmprof.models.presets import PRESETS

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark_module() -> Iterator[ModuleType]:
    """benchmarks/paper/memory.py, which finds its neighbours beside itself."""
    before = list(sys.path)
    sys.path[:0] = [str(_BENCHMARKS / "paper"), str(_BENCHMARKS)]
    try:
        yield importlib.import_module("memory")
    finally:
        sys.path[:] = before


@pytest.fixture(scope="module")
def at_2048(benchmark_module: ModuleType) -> dict[str, Any]:
    planned: dict[str, Any] = benchmark_module.plan_figure_11a()
    return planned


def test_the_presets_have_the_surveys_names_in_lower_case(benchmark_module: ModuleType) -> None:
    names = [name.lower() for name in benchmark_module.SURVEY["figure_11a"]]
    assert len(names) == 22
    assert set(names) <= set(PRESETS)


def test_llama_cpp_counts_the_published_parameters(at_2048: dict[str, Any]) -> None:
    counted = {name: model.n_params for name, model in at_2048.items()}
    assert counted == {n: count_parameters(PRESETS[n.lower()].dimensions) for n in counted}


def test_every_bar_of_the_figure_is_reached(
    benchmark_module: ModuleType, at_2048: dict[str, Any]
) -> None:
    bars = benchmark_module.check(at_2048, benchmark_module.plan_figure_11b())
    assert len(bars) == 11
    assert [bar for bar in bars if not bar.is_reached] == []


def test_the_files_of_today_are_close_to_the_surveys(at_2048: dict[str, Any]) -> None:
    assert len(at_2048) > 5
    for model in at_2048.values():
        assert model.today_weights_bytes == pytest.approx(model.weights_bytes, rel=0.013)


def test_the_replayed_allocator_is_ggmls_own(at_2048: dict[str, Any]) -> None:
    assert {name: model.layouts.planned for name, model in at_2048.items()} == {
        name: model.compute_bytes for name, model in at_2048.items()
    }


def test_what_no_row_reads_is_the_place_for_embeddings_as_input(at_2048: dict[str, Any]) -> None:
    assert {name: model.unread_bytes for name, model in at_2048.items()} == {
        name: model.row_bytes for name, model in at_2048.items()
    }


def test_the_surveys_batch_is_512(benchmark_module: ModuleType, at_2048: dict[str, Any]) -> None:
    # Where logits fill the buffer, twice or half as many rows would not fit the survey's figures.
    for name in ("Bloom-560M", "Qwen2-0.5B", "Gemma-2B"):
        survey = benchmark_module.SURVEY["figure_11a"][name]["compute_buffer"] * 2**20
        logits = 512 * at_2048[name].logits_row_bytes
        assert logits < survey < 1.01 * logits


def test_every_bar_of_the_surveys_own_layout_is_reached(benchmark_module: ModuleType) -> None:
    plans = benchmark_module.plan_figure_11a_on_gpu()
    assert len(plans) == 22
    found = benchmark_module.tables_on_gpu(plans, benchmark_module.SURVEY["figure_11a"])
    bars = benchmark_module.check_on_gpu(found)
    assert len(bars) == 6
    assert [bar for bar in bars if not bar.is_reached] == []


def test_the_replayed_layout_of_a_gpu_is_the_planned_one_where_logits_are_the_peak(
    benchmark_module: ModuleType, at_2048: dict[str, Any]
) -> None:
    # Two ways to one figure: inputs moved in the replay of the CPU's graph, and a plan.
    for name in (
        "SmolLM-135M",
        "Pythia-1.4B",
        "Qwen1.5-0.5B",
        "Qwen2-0.5B",
        "Bloom-560M",
        "Gemma-2B",
    ):
        planned = benchmark_module.plan_on_gpu(name, 2048).compute_bytes
        assert planned == at_2048[name].layouts.on_gpu
