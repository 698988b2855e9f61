"""Planned memory as tables, JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from plan_builder import CONFIG, MIB, example_plan, example_report
from reports import shown as written

from slmprof.planning.records import Fit, LayerSize, MemoryReport, Refusal
from slmprof.profiles.records.resident import Resident, ResidentLine
from slmprof.reporters.documents.plans.plan import plan_document

HOSTILE = "blk.0.\x1b[31m\n\u202eevil|*_`.weight"


def shown(
    report: MemoryReport,
    form: str = "table",
    encoding: str = "utf-8",
    is_full: bool = True,
    **how: Any,
) -> str:
    return written(plan_document(report, is_full=is_full, **how), form, encoding=encoding)


def grid() -> MemoryReport:
    plans = [
        example_plan(n_ctx=n_ctx, flash_attn=flash, type_k=type_k)
        for n_ctx in (2048, 131072)
        for flash in ("on", "off")
        for type_k in ("f16", "q8_0")
    ]
    refusal = Refusal(replace(CONFIG, n_ctx="max", flash_attn="off", type_k="q4_0"), "not allowed")
    return example_report(*plans, varying=("n_ctx", "flash_attn", "type_k"), refusals=(refusal,))


def fits(n_ctx: int = 512) -> MemoryReport:
    totals = {**example_plan().totals_bytes}
    found = tuple(
        Fit(
            replace(CONFIG, n_ctx=n_ctx),
            name,
            10 * MIB,
            4.5,
            n_ctx,
            name == "Q4_0",
            totals,
            4096,
            5,
        )
        for name in ("Q8_0", "Q4_0")
    )
    return example_report(
        settings=(), fits=found, budget_bytes=30 * MIB, varying=("file_type",),
        lightest="Q4_0", least_compressed="Q8_0",
    )  # fmt: skip


@pytest.mark.parametrize("report", [example_report(), grid(), fits(), fits(0)])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_tables_fit_a_terminal(report: MemoryReport, encoding: str) -> None:
    text = shown(report, encoding=encoding)
    assert max(map(len, text.splitlines())) <= 80
    assert encoding != "ascii" or text.isascii()


def test_one_setting_tells_all() -> None:
    text = shown(example_report())
    for part in (
        "Memory\n", "Buffers", "Layers", "Compute buffer", "lower bound", "Live at the peak of",
        "result_output", "input", "Compute buffer by n_ubatch", "repacked copies",
        "note: something to know", "4.50 bits per weight", "trained for 4096 tokens",
    ):  # fmt: skip
        assert part in text, part
    layers = text.partition("Layers")[2]
    assert "0-2" in layers and "outside" in layers
    assert "9.00 MiB" in layers  # three layers of 2 MiB weights and 1 MiB cache


def test_views() -> None:
    report = example_report()
    assert "Layers" not in shown(report, by="total")
    assert "Live at the peak of decode" not in shown(report, by="peak", phase="prefill")
    assert "inp_tokens" not in shown(report, by="peak", phase="prefill", top=1)
    assert "blk.0.attn_q.weight" in shown(report, by="tensor")
    largest = shown(report, by="tensor", top=1)
    assert "Tensors (1 of 2)" in largest and "cache_k_l0" in largest
    assert "blk.0.attn_q.weight" not in largest
    assert "Buffers: n_ctx 2048, flash_attn on, type_k f16" in shown(grid(), by="buffer")


def test_many_layers_of_two_kinds_take_two_rows() -> None:
    plan = example_plan()
    layers = tuple(LayerSize(i, MIB * (1 + i % 2), MIB, 0) for i in range(40))
    report = example_report(plan.replace(layers=(*layers, LayerSize(None, 5 * MIB, 0, 0))))
    text = shown(report, by="layer").partition("Layers")[2]
    assert len(text.partition("Bytes of")[0].strip().splitlines()) == 2 + 3
    assert "20" in text


def test_layers_with_a_sliding_window_say_so() -> None:
    assert "window" not in shown(example_report(), by="layer")
    layers = (LayerSize(0, MIB, MIB, 0, n_swa=1024), LayerSize(1, MIB, MIB, 0))
    report = example_report(example_plan().replace(layers=layers))
    rows = [line.split() for line in shown(report, by="layer").splitlines()]
    assert [row[:3] for row in rows if row[:1] in (["0"], ["1"])] == [
        ["0", "1", "1024"],
        ["1", "1", "-"],
    ]


def test_captions_are_one_paragraph() -> None:
    text = shown(example_report(), "markdown")
    assert "Lower bound: the most" in text and "holds them a second time." in text


def test_many_settings_have_a_row_each() -> None:
    text = shown(grid())
    table = text.partition("Memory by setting")[2].partition("Refused")[0]
    assert table.count("131072") == 4 and "q8_0" in table
    assert "n_ctx max, flash_attn off, type_k q4_0: not allowed" in " ".join(text.split())
    # What is the same in all rows makes room for the settings.
    names = ("n_ctx", "flash_attn", "type_k", "type_v", "n_batch", "n_ubatch", "mmap")
    text = shown(example_report(*grid().settings, varying=names))
    assert max(map(len, text.splitlines())) <= 80
    assert "In all rows: weights 12.00 MiB." in text and "n_ubatch" in text
    # More settings than a terminal is wide stand below the table.
    names = (*names, "n_seq_max", "n_outputs_max", "swa_full", "repack")
    text = shown(example_report(*grid().settings, varying=names))
    assert max(map(len, text.splitlines())) <= 80
    assert "#" in text and "8: " in text


def test_many_settings_share_a_line_in_the_order_of_one() -> None:
    plans = [
        plan.replace(config=replace(plan.config, n_outputs_max=7, n_seq_max=3))
        for plan in (example_plan(n_ctx=256), example_plan(n_ctx=512))
    ]
    header = " ".join(shown(example_report(*plans, varying=("n_ctx",))).split("\n\n")[0].split())
    assert "n_ctx" not in header and "n_outputs_max 7" in header
    assert header.index("n_batch") < header.index("flash_attn") < header.index("n_seq_max 3")
    (one,) = plans[:1]
    assert "n_ctx 256" in shown(example_report(one)) and "n_outputs_max 7" in shown(
        example_report(one)
    )


def test_fits() -> None:
    text = " ".join(shown(fits()).split())
    assert "What fits into 30.00 MiB" in text
    assert "the lightest file type that fits is Q4_0, the least compressed Q8_0" in text
    assert "512*" in text
    assert "not even the smallest context" not in text
    assert "Nothing fits" in shown(fits(0))
    assert "not even the smallest context fits; the total is" in " ".join(shown(fits(0)).split())


def test_json() -> None:
    found = json.loads(shown(example_report(), "json"))
    assert set(found) >= {"schema_version", "model", "settings"}
    setting = found["settings"][0]
    assert set(setting) >= {
        "config", "buffers", "totals_bytes", "layers", "tensors", "compute_peak", "compute_phases",
        "ubatch", "notes",
    }  # fmt: skip
    assert set(setting["totals_bytes"]) == {
        "weights", "kv_cache", "recurrent_state", "compute", "output", "other", "total",
    }  # fmt: skip
    assert setting["layers"][-1]["layer"] is None
    assert set(setting["layers"][0]) >= {"layer", "weights_bytes", "kv_bytes"}
    peak = setting["compute_peak"]
    assert peak["phase"] == "prefill" and peak["size_bytes"] == 9 * MIB
    assert set(peak["tensors"][0]) >= {"tensor", "op", "shape", "size_bytes"}
    assert setting["tensors"][0]["bits_per_weight"] == 4.5
    assert setting["tensors"][0]["block"] == "attention"
    one = plan_document(example_report(), by="layer").data()["settings"][0]
    assert set(one) == {"config", "layers", "notes"}
    assert json.loads(shown(fits(), "json"))["fit"]["lightest"] == "Q4_0"


@pytest.mark.parametrize("by", [None, "total", "buffer", "layer", "tensor", "peak"])
def test_csv(by: str | None) -> None:
    rows = list(csv.DictReader(io.StringIO(shown(grid(), "csv", by=by))))
    assert rows and all(None not in row and row["model"] == "example" for row in rows)
    refused = rows.pop()
    assert (refused["n_ctx"], refused["type_k"], refused["error"]) == ("max", "q4_0", "not allowed")
    assert {row["n_ctx"] for row in rows} == {"2048", "131072"}
    assert {row["error"] for row in rows} == {""}
    if by == "tensor":
        assert rows[0]["shape"] == "256x256"


def test_csv_has_errors_where_there_are_some() -> None:
    assert "error" not in shown(example_report(), "csv").splitlines()[0].split(",")


def test_a_setting_that_was_fatal_is_told_as_such() -> None:
    report = grid()
    died = report.replace(refusals=(report.refusals[0].replace(message="it died", died=True),))
    assert "Refused by llama.cpp, or fatal to it" in shown(died)
    assert "fatal" not in shown(report)
    (refusal,) = json.loads(shown(died, "json"))["refusals"]
    assert (refusal["message"], refusal["died"]) == ("it died", True)


def test_csv_of_what_fits() -> None:
    rows = list(csv.DictReader(io.StringIO(shown(fits(), "csv"))))
    assert [row["file_type"] for row in rows] == ["Q8_0", "Q4_0"]
    assert rows[0]["n_ctx"] == "512" and rows[1]["is_limited_by_training"] == "true"


def test_hostile_names() -> None:
    report = example_report(example_plan(HOSTILE))
    report = report.replace(model=report.model.replace(name=HOSTILE))
    for by in (None, "tensor"):
        for form in ("table", "markdown"):
            text = shown(report, form, by=by)
            assert "\x1b" not in text and "\u202e" not in text
    assert "\\|\\*\\_" in shown(report, "markdown", by="tensor")
    assert json.loads(shown(report, "json"))["model"]["name"] == HOSTILE


def test_the_recorder_stands_below_the_total_and_in_that_of_a_profiled_run() -> None:
    sizes = {"weights": 12 * MIB, "heap": MIB, "process": 50 * MIB, "recorder": 4 * MIB}
    lines = tuple(ResidentLine(kind, size) for kind, size in sizes.items())
    plan = example_plan().replace(resident=Resident(50, lines))
    rows = shown(example_report(plan), is_full=False).splitlines()
    found = {row[:35].strip(): row[35:].split() for row in rows}
    reserved = (plan.total_bytes + 51 * MIB) / MIB
    assert found["llama.cpp's heap"] == ["1.00", "MiB", "1.00", "MiB"]
    assert found["total"] == [f"{reserved:.2f}", "MiB", "63.00", "MiB", "0.00", "KiB"]
    assert found["slmprof's recorder, when profiled"] == ["4.00", "MiB", "4.00", "MiB"]
    assert found["total when profiled"][:3] == [f"{reserved + 4:.2f}", "MiB", "67.00"]
