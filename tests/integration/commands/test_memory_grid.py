"""Grids of `slmprof memory` with points at which llama.cpp gives up: each fails alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run
from gguf_files import write_bert, write_mamba, write_t5

ModelMaker = Callable[..., Path]
GIB = 1 << 30
# Of each setting what is usual, and what llama.cpp could stumble over.
ODD = {
    "--n-ctx": "1,256",
    "--n-batch": "7,2048",
    "--n-ubatch": "1,4096",
    "--flash-attn": "on,off",
    "--type-k": "f32,q8_0",
    "--type-v": "f16,q5_1",
    "--n-seq-max": "1,3",
    "--n-outputs-max": "0,1",
}


def narrow_heads(small_model: ModelMaker) -> Path:
    """Heads of 16, which no block of a quantized cache divides."""
    return small_model(n_head=16, n_head_kv=16, head_dim=16)


def test_a_cache_whose_blocks_do_not_divide_heads(small_model: ModelMaker) -> None:
    """llama.cpp refuses it with flash attention, and aborts without."""
    grid = ("--type-k", "f16,q8_0,f32", "--flash-attn", "on,off", "--n-ctx", 256)
    path = narrow_heads(small_model)
    answer = run("memory", path, *grid, "--format", "json")
    assert answer.returncode == 1, answer.stderr
    document = json.loads(answer.stdout)
    planned = [
        (one["config"]["type_k"], one["config"]["flash_attn"]) for one in document["settings"]
    ]
    assert planned == [("f16", "on"), ("f32", "on"), ("f16", "off"), ("f32", "off")]
    refused = {one["config"]["flash_attn"]: one for one in document["refusals"]}
    assert set(refused) == {"on", "off"} and not any(one["died"] for one in refused.values())
    assert "blocks of 32, which do not divide heads of 16" in refused["off"]["message"]
    errors = [line for line in answer.stderr.splitlines() if "error" in line]
    assert len(errors) == 2 and "Traceback" not in answer.stderr
    answer = run("memory", path, *grid, "--by", "total", "--format", "csv")
    assert answer.returncode == 1
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert len(rows) == 6
    failed = [row for row in rows if row["error"]]
    assert [(row["type_k"], row["weights_bytes"]) for row in failed] == [("q8_0", "")] * 2
    alone = run("memory", path, "--type-k", "q8_0", "--flash-attn", "off")
    assert alone.returncode == 2 and len(alone.stderr.splitlines()) == 1, alone.stderr


@pytest.mark.parametrize("kind", ["llama", "narrow", "gemma2", "mamba", "bert", "t5"])
def test_no_setting_kills_the_planner(kind: str, small_model: ModelMaker, tmp_path: Path) -> None:
    makers: dict[str, Callable[[], Path]] = {
        "narrow": lambda: narrow_heads(small_model),
        "mamba": lambda: write_mamba(tmp_path / "mamba.gguf", 2, 128, 16),
        "bert": lambda: write_bert(tmp_path / "bert.gguf"),
        "t5": lambda: write_t5(tmp_path / "t5.gguf"),
    }
    path = makers[kind]() if kind in makers else small_model(kind)
    options = [text for option in ODD.items() for text in option]
    answer = run("memory", path, *options, "--by", "total", "--format", "json")
    assert answer.returncode in (0, 1), answer.stderr
    document = json.loads(answer.stdout)
    n_points = 1
    for values in ODD.values():
        n_points *= len(values.split(","))
    assert len(document["settings"]) + len(document["refusals"]) == n_points
    died = [(one["config"], one["message"]) for one in document["refusals"] if one["died"]]
    assert died == []


@pytest.mark.parametrize("form", ["table", "json"])
def test_each_error_names_its_point(form: str, small_model: ModelMaker) -> None:
    grid = ("--type-k", "f16,i8", "--type-v", "q4_0,f64", "--format", form)
    answer = run("memory", small_model(), *grid)
    assert answer.returncode == 1
    errors = [line.partition(" no cache type ")[0] for line in answer.stderr.splitlines()]
    assert errors == [
        "slmprof: error: type_k f16, type_v f64:",
        "slmprof: error: type_k i8, type_v q4_0:",
        "slmprof: error: type_k i8, type_v f64:",
    ]


def test_where_no_point_can_be_planned_the_error_names_the_first(small_model: ModelMaker) -> None:
    answer = run("memory", small_model(), "--n-seq-max", "257,100000")
    assert answer.returncode == 2
    assert answer.stderr.startswith("slmprof: error: n_seq_max 257: ")
    alone = run("memory", small_model(), "--n-seq-max", 100000)
    assert alone.stderr.startswith("slmprof: error: n_batch 2048 is less than")


def test_a_point_that_is_not_searched_for_what_fits_is_named(small_model: ModelMaker) -> None:
    answer = run("memory", small_model(), "--fit", "1GiB", "--n-seq-max", "1,257,100000")
    assert answer.returncode == 1
    assert "note: n_seq_max 257: " in answer.stdout
    assert "error: n_seq_max 100000: " in answer.stderr


def test_a_ubatch_of_a_million(small_model: ModelMaker) -> None:
    n = 1_000_000
    options = ("--n-ctx", n, "--n-batch", n, "--n-ubatch", n, "--format", "json")
    answer = run("memory", small_model(), *options)
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["settings"][0]["config"]["n_ubatch"] == n
    assert document["planner"]["rss_peak_bytes"] < GIB


def test_a_batch_that_nothing_limits(tmp_path: Path) -> None:
    """Of a model that is not causal, whose batches the context does not cut."""
    path = write_bert(tmp_path / "bert.gguf")
    answer = run("memory", path, "--n-batch", f"512,{2**31 - 1}", "--format", "json")
    assert answer.returncode == 1, answer.stderr
    document = json.loads(answer.stdout)
    assert len(document["settings"]) == 1
    (refusal,) = document["refusals"]
    assert "use a smaller --n-batch" in refusal["message"] and not refusal["died"]
    assert document["planner"]["rss_peak_bytes"] < GIB
