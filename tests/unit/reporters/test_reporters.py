"""Reports: the JSON contract, CSV, Markdown, and the terminal at 80 columns."""

from __future__ import annotations

import csv as csv_module
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import MS, Builder
from ceilings_builder import example_ceilings
from meta_builder import example_meta
from op_rows import op_rows
from reports import data, shown

from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.analysis.verdicts.caveats import caveats
from slmprof.analysis.work import bounds
from slmprof.errors import UsageError
from slmprof.profiles.records.bandwidth import BandwidthSample, RunBandwidth
from slmprof.profiles.records.meta import Meta
from slmprof.profiles.vocabulary import BOUNDS, PASS_TIMING, VIEWS
from slmprof.reporters.documents.quantities import (
    bytes_text,
    calls_text,
    count_text,
    milliseconds,
    percent,
    rate,
    wrapped,
)
from slmprof.reporters.documents.runs.run import run_document
from slmprof.reporters.renderers.cells import ASCII, UNICODE, printable, shortened
from slmprof.views import Profile

LONG = "a_tensor_whose_name_is_far_longer_than_any_column_can_hold-27"


def with_model(profile: Profile, **values: object) -> Profile:
    meta = profile.meta.to_json()
    meta["model"].update(values)
    return replace(profile, meta=Meta.from_json(meta))


def on_terminal(profile: Profile, **how: Any) -> str:
    """Everything, or a view."""
    return shown(profile, is_full=True, **how)


def test_json_has_the_keys_of_the_contract(profile: Profile) -> None:
    made = data(profile)
    assert made["schema_version"] == 2
    contract = {
        "slmprof": {"version", "llama_cpp", "build"},
        "environment": {"cpu", "n_cores", "memory_bytes", "os", "governor", "warnings"},
        "model": {
            *("name", "architecture", "n_params", "n_layer", "n_embd", "n_vocab"),
            *("file_type", "size_bytes", "tensor_types"),
        },
        "config": {"n_prompt", "n_gen", "threads"},
        "memory": {"buffers", "totals_bytes", "rss_peak_bytes"},
    }
    for part, keys in contract.items():
        assert keys <= set(made[part])
    rows = {
        "phases": {
            *("phase", "n_tokens", "n_samples", "latency_ms", "tokens_per_s"),
            *("profiled_latency_ms", "overhead_ratio", "overhead_ci95"),
            *("attributed_share", "segments_ms"),
            *("n_disturbed", "between_processes", "latency_ci95"),
        },
        "blocks": {"phase", "block", "time_ms", "share"},
        "layers": {"phase", "layer", "block", "time_ms", "share"},
        "kernels": {"phase", "kernel", "calls", "time_ms", "share"},
        "ops": {
            *("phase", "op", "kernel", "impl", "tensor", "layer", "block", "part", "dtypes"),
            *("shape", "fused", "backend", "calls", "time_ms", "compute_ms", "wait_ms"),
            *("share", "flops", "bytes", "gflops", "gbps", "bound"),
        },
    }
    for part, keys in rows.items():
        assert made[part]
        assert all(keys <= set(row) for row in made[part])
    for phase in made["phases"]:
        summary = {"median", "mad", "mean", "p90", "p99", "min", "max"}
        assert set(phase["latency_ms"]) == set(phase["profiled_latency_ms"]) == summary
        parts = {"host_prepare", "ops", "gaps", "copies", "host_finish", "unattributed"}
        assert set(phase["segments_ms"]) == parts
        assert len(phase["overhead_ci95"]) == 2


def test_json_values(profile: Profile) -> None:
    made = data(profile)
    norm = next(row for row in made["ops"] if row["tensor"] == "attn_norm-0")
    assert norm["fused"] == ["RMS_NORM", "MUL"]
    assert norm["shape"] == [64, 16]
    assert norm["flops"] == 4160 and norm["bound"] is norm["ceiling_share"] is None
    embedding = next(row for row in made["ops"] if row["tensor"] == "embd")
    assert embedding["layer"] is None and norm["layer"] == 0
    assert made["model"]["random_weights"] is True
    assert "another process uses the CPU" in made["environment"]["warnings"]
    mib = 2**20
    assert made["memory"]["totals_bytes"] == {
        "weights": 5 * mib,
        "kv_cache": mib,
        "recurrent_state": 0,
        "compute": mib // 2,
        "output": 1024,
        "other": 0,
    }
    assert made["memory"]["repacked_bytes"] == 2 * mib
    assert len(made["memory"]["buffers"]) == 5


def test_json_selection(profile: Profile) -> None:
    made = data(profile, phase="decode", top=2)
    assert [row["phase"] for row in made["phases"]] == ["decode"]
    assert [row["tensor"] for row in made["ops"]] == ["Qcur-0", "kq-0"]
    assert {row["phase"] for row in made["blocks"]} == {"decode"}
    by_part = data(profile, by="part")
    assert "parts" in by_part and "ops" not in by_part and "blocks" not in by_part


@pytest.mark.usefixtures("by_name")
def test_an_empty_profile_can_be_reported() -> None:
    profile = Builder().build()
    assert data(profile)["ops"] == []
    assert shown(profile, "csv").startswith("phase,op,")
    assert "example" in shown(profile, "markdown", is_full=True)
    assert "example" in on_terminal(profile)


def test_csv(profile: Profile) -> None:
    rows = list(csv_module.DictReader(io.StringIO(shown(profile, "csv"))))
    assert len(rows) == 10
    norm = next(row for row in rows if row["tensor"] == "attn_norm-0")
    assert (norm["shape"], norm["fused"], norm["flops"]) == ("64x16", "RMS_NORM+MUL", "4160.0")
    assert (norm["model"], norm["random_weights"]) == ("example", "true")
    assert "another process" in norm["warnings"]
    blocks = shown(profile, "csv", by="block", phase="prefill")
    assert blocks.splitlines()[1].startswith("prefill,attention,16.0,0.8,")


def test_markdown(profile: Profile) -> None:
    text = shown(profile, "markdown", is_full=True)
    assert text.startswith("# example · llama")
    assert "RANDOM WEIGHTS" in text
    assert "| attention | 16.00 | 80.0 % |" in text
    for line in text.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    injected = with_model(profile, name="a|b <script> `c`")
    assert r"a\|b \<script\> \`c\`" in shown(injected, "markdown", is_full=True)


def test_terminal_shows_what_was_asked_for(profile: Profile) -> None:
    text = on_terminal(profile)
    for expected in (
        *("example · llama · 1.23 M parameters", "RANDOM WEIGHTS", "Example CPU", "n_prompt 16"),
        *("26.00", "615.4", "+0.4 %", "attention", "mul_mat_vec_q", "attn_norm-0"),
        *("host_prepare", "unattributed", "CPU_REPACK", "repacked copies", "6.50"),
        *("warning: another process uses the CPU", "note: random weights"),
    ):
        assert expected in text


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("by", [None, *VIEWS])
def test_terminal_keeps_to_80_columns(profile: Profile, by: str | None, encoding: str) -> None:
    named = replace(
        with_model(profile, name="модель", file_type="Q4_K_M"),
        strings=tuple(
            {"Qcur-0": LONG, "repack gemv_q4_K_8x8_q8_K": LONG}.get(t, t) for t in profile.strings
        ),
    )
    text = on_terminal(named, encoding=encoding, by=by)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    if encoding != "utf-8":
        assert text.isascii()
    # No cell was folded to a second line: every line of a table has its number.
    headline = next(line for line in text.splitlines() if line.startswith("prefill"))
    assert "+0.4 %" in headline


@pytest.mark.parametrize(
    ("variant", "shown"), [("haswell", True), ("custom", True), ("native", False), (None, False)]
)
def test_other_code_than_for_this_machine_is_told(
    profile: Profile, variant: str | None, shown: bool
) -> None:
    meta = profile.meta.to_json()
    meta["slmprof"]["build"]["variant"] = variant
    text = on_terminal(replace(profile, meta=Meta.from_json(meta)))
    assert (f"· variant {variant}" in " ".join(text.split())) is shown


def test_wide_terminals_show_every_column(profile: Profile) -> None:
    assert "gemv_q4_K_8x8_q8_K" in on_terminal(profile, width=200)
    assert "GFLOP/s" in on_terminal(profile, width=200)
    assert "GFLOP/s" not in on_terminal(profile, width=80)


def test_text_of_a_profile_cannot_steer_the_terminal(profile: Profile) -> None:
    hostile = with_model(profile, name="\x1b[2J\x07[red]x[/red]\n")
    text = on_terminal(hostile)
    assert "?[2J?[red]x[/red]?" in text
    assert "\x1b" not in text and "\x07" not in text


def test_top_says_how_many_there_are(profile: Profile) -> None:
    assert "Ops of prefill (2 of 5)" in on_terminal(profile, by="op", top=2)
    assert "Ops of prefill\n" in on_terminal(profile, by="op")


def test_ops_show_their_bound_where_it_is_known(profile: Profile) -> None:
    def head(width: int) -> list[str]:
        text = on_terminal(profile, by="op", width=width)
        return next(line for line in text.splitlines() if line.startswith("tensor")).split()

    assert "GB/s" in head(80) and "bound" not in head(80) and "bound" not in head(200)
    row = {"bound": "compute", "ceiling_share": 0.456, "gbps": 12.0, "gflops": 3.0}
    names = {"tensor": LONG, "kernel": "k" * 30, "block": "attention", "part": "quantize_q8"}
    profile.__dict__["op_rows"] = op_rows({**row, **names, "share": 1.0, "time_ms": 999.0})
    assert head(80)[-2:] == ["share", "bound"]
    assert head(200)[-4:] == ["GB/s", "GFLOP/s", "ceiling", "bound"]
    wide = on_terminal(profile, by="op", width=200)
    assert any(line.endswith("45.6 %  compute") for line in wide.splitlines())
    narrow = on_terminal(profile, by="op")
    assert any(line.endswith("compute") for line in narrow.splitlines())
    assert "| 45.6 % | compute |" in shown(profile, "markdown", by="op")


def test_each_phase_has_its_own_top(profile: Profile) -> None:
    # In prefill the norm takes as long as the scores otherwise do: it is in the top of that phase.
    events, runs = profile.events, profile.runs
    graph = runs.graph[events.run]
    swapped = np.where((graph == 0) & (events.node == 1), 5, events.node)
    swapped = np.where((graph == 0) & (events.node == 5), 1, swapped)
    n_fused = np.where(swapped == 1, 1, 0).astype(np.uint16)
    changed = replace(
        profile, events=events.replace(node=swapped.astype(np.int32), n_fused=n_fused)
    )
    breakdown = break_down(changed, by="kernel", top=2)
    assert len(breakdown.tables["kernel"]) == 4
    text = on_terminal(changed, by="kernel", top=2)
    for phase, time in (("prefill", "4.000"), ("decode", "2.000")):
        lines = text.partition(f"Kernels of {phase} (2 of 5)")[2].splitlines()[3:5]
        (second,) = (line.split() for line in lines if not line.startswith("repack"))
        assert time in second
    assert "get_rows" not in text


def test_kernels_name_the_code_that_ran(profile: Profile) -> None:
    for text in (on_terminal(profile, by="kernel"), on_terminal(profile)):
        lines = text.partition("Kernels of decode")[2].splitlines()
        rest = {line.split("  ")[0]: line.split() for line in lines if line}
        first, second = rest["repack gemv_q4_K_8x8_q8_K"], rest["vec_dot_q6_K_q8_K"]
        assert first[-4:-1] == ["5.000", "50.0", "%"] and second[-4:-1] == ["1.500", "15.0", "%"]


def test_kernels_say_what_they_reach_and_what_bounds_them(profile: Profile) -> None:
    ceilings = example_ceilings()
    bounded = replace(profile, meta=profile.meta.replace(ceilings=ceilings))
    for chosen in ({"by": "kernel"}, {}):
        text = on_terminal(bounded, **chosen)
        assert max(map(len, text.splitlines())) <= 80
        lines = text.partition("Kernels of decode")[2].splitlines()
        heading = next(line for line in lines if line.endswith("bound")).split()
        assert heading[-6:] == ["calls", "ms", "share", "GB/s", "roof", "bound"]
        (row,) = (line.split() for line in lines if line.startswith("vec_dot_f16"))
        assert row[-1] == "unexplained" and row[-2] == "%"
    made = data(bounded)["kernels"]
    assert {"impl", "gbps", "ceiling_share", "bound"} <= set(made[0])
    keys = [(row["phase"], row["kernel"], row["impl"]) for row in made]
    assert len(set(keys)) == len(keys)
    for phase in data(bounded)["phases"]:
        times = [row["time_ms"] for row in made if row["phase"] == phase["phase"]]
        assert sum(times) == pytest.approx(phase["segments_ms"]["ops"])


def test_a_memory_bound_is_a_range_where_the_bandwidth_moved(profile: Profile) -> None:
    bounded = replace(profile, meta=profile.meta.replace(ceilings=example_ceilings()))
    breakdown = break_down(bounded, by="kernel", phase="decode")
    rows = breakdown.tables["kernel"].assign(bound="memory", ceiling_share=0.8)

    def cells(*read_gbps: float) -> list[Any]:
        samples = tuple(BandwidthSample("repeat", gbps, gbps) for gbps in read_gbps)
        meta = bounded.meta.replace(bandwidth=RunBandwidth(2, 2**28, samples))
        tables = {**breakdown.tables, "kernel": rows}
        made = run_document(replace(breakdown, meta=meta, tables=tables)).parts()
        (section,) = (p for p in made if getattr(p, "title", None) == "Kernels of decode")
        table = section.parts[0]
        place = [column.title for column in table.columns].index("roof")
        return [row[place] for row in table.rows]

    assert set(cells(40.0, 50.0, 32.0)) == {"64-100 %"}
    assert set(cells(40.0, 41.0)) == {0.8}


def test_ops_can_be_chosen_by_their_bound(profile: Profile) -> None:
    bounded = replace(profile, meta=profile.meta.replace(ceilings=example_ceilings()))
    breakdown = break_down(bounded, bound="unexplained", phase="decode")
    assert breakdown.by == "op" and set(breakdown.tables["op"]["bound"]) == {"unexplained"}
    n_all = len(break_down(bounded, phase="decode").tables["op"])
    n_shown = len(breakdown.tables["op"])
    assert 0 < n_shown < n_all
    text = on_terminal(bounded, bound="unexplained", by="op")
    assert f"Ops of decode ({n_shown} of {n_all})" in text
    assert len(data(bounded, bound="unexplained", top=1)["ops"]) == 2
    assert data(bounded, bound="memory")["ops"] == []
    assert "No op of decode is so bound." in on_terminal(bounded, bound="memory")
    weights = break_down(bounded, bound="unexplained", by="tensor").tables["tensor"]
    assert set(weights["decode_bound"]) == {"unexplained"} and len(weights) > 0
    assert "No weight is so bound." in on_terminal(bounded, bound="memory", by="tensor")
    for wrong, message in (
        ({"bound": "gravity"}, "no bound 'gravity'"),
        ({"bound": "memory", "by": "kernel"}, "--by op"),
    ):
        with pytest.raises(UsageError, match=message):
            break_down(bounded, **wrong)
    with pytest.raises(UsageError, match="no bounds"):
        break_down(profile, bound="memory")


def test_the_words_for_bounds_are_those_of_the_rule() -> None:
    words = (bounds.MEMORY, bounds.CACHE, bounds.COMPUTE, bounds.KERNEL, bounds.SYNC)
    assert (*words, bounds.UNEXPLAINED) == BOUNDS


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines(profile: Profile) -> None:
    for by in (None, *VIEWS):
        assert all(line == line.rstrip() for line in on_terminal(profile, by=by).splitlines())


def test_unusable_choices(profile: Profile) -> None:
    with pytest.raises(UsageError, match="no view by 'colour'"):
        break_down(profile, by="colour")
    with pytest.raises(UsageError, match="no phase 'dream'"):
        break_down(profile, phase="dream")
    with pytest.raises(UsageError, match="at least 1"):
        break_down(profile, top=0)
    with pytest.raises(UsageError, match="has no decode phase"):
        break_down(Builder().build(), phase="decode")


def test_caveats(profile: Profile) -> None:
    found = caveats(profile)
    assert found[0] == "another process uses the CPU"
    assert "prefill has only 2 samples; raise --repeats" in found
    assert any("slowed decode down by 7 %" in text for text in found)
    assert not any(w in text for text in found for w in ("incomplete", "noisy", "attributed"))
    steps = profile.steps
    # Decode steps of 14 and 30 ms in turns: a deviation of 8 ms from 22.
    late = (steps.pass_ == PASS_TIMING) & (steps.phase == 1) & (steps.index == 1)
    noisy = replace(profile, steps=steps.replace(end_ns=steps.end_ns + np.where(late, 14 * MS, 0)))
    assert [text for text in caveats(noisy) if "noisy" in text and "36 %" in text]
    meta = example_meta()
    meta["run"].update(
        complete=False,
        n_repeats_done=1,
        error="killed",
        n_dropped=3,
        warmup={"decode": {"n_passes": 9, "reason": "limit"}},
    )
    found = caveats(replace(profile, meta=Meta.from_json(meta)))
    assert "the run is incomplete, 1 of 2 repeats were measured: killed" in found
    assert any(text.startswith("3 events") for text in found)
    assert any("decode" in text and "warm-up" in text for text in found)


def test_quantities() -> None:
    assert [milliseconds(v) for v in (None, 1234.56, 12.345, 1.2, 0.0004)] == [
        *("-", "1234.6", "12.35", "1.200", "0.000"),
    ]
    assert [percent(v) for v in (None, 0.5)] == ["-", "50.0 %"]
    assert [bytes_text(v) for v in (None, 512, 2**20, 20 * 2**30)] == [
        *("-", "0.50 KiB", "1.00 MiB", "20.00 GiB"),
    ]
    assert [count_text(v) for v in (None, 12, 494_032_768, 1.5e9)] == [
        *("-", "12", "494.03 M", "1.50 B"),
    ]
    assert [rate(v) for v in (None, 0.042, 1.26, 12345.6)] == ["-", "0.04", "1.3", "12346"]
    assert [calls_text(v) for v in (None, 2.0, 0.5)] == ["-", "2", "0.50"]
    assert shortened("abcdefghij", 5, UNICODE) == "ab…ij"
    assert shortened("abc", 5, ASCII) == "abc"
    assert printable("a\tß±", ASCII) == "a??+-"
    assert wrapped("it takes 12 % of 3 ms", 11) == ["it takes", "12 % of", "3 ms"]
