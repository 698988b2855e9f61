"""The diagnosis: what limits, what is read, held and waited for, and what would help."""

from __future__ import annotations

import io
import json as json_module
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import Builder
from ceilings_builder import example_ceilings
from op_rows import op_rows, weight_rows
from work_builder import TYPES

from slmprof.analysis.timing.phases import PhaseSummary
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.analysis.verdicts.diagnosis import MAX_FINDINGS, diagnose
from slmprof.analysis.verdicts.findings import Finding, MemoryLimit
from slmprof.analysis.verdicts.tensor_types import named_type
from slmprof.profiles.ceilings import Bandwidth, Ceilings
from slmprof.profiles.meta import Meta, Model
from slmprof.reporters.documents.diagnosis import finding_record, finding_text
from slmprof.reporters.documents.quantities import ASCII, UNICODE
from slmprof.reporters.renderers import json, markdown, terminal
from slmprof.views import Profile

MIB = 2**20
CEILINGS = example_ceilings(
    bandwidth=(
        Bandwidth("L2", "read", MIB, 90.0),
        Bandwidth("memory", "copy", MIB, 15.0),
        Bandwidth("memory", "read", MIB, 20.0),
    )
)
MODEL = Model(size_bytes=100 * MIB, file_type="Q4_K - Medium")
NO_WEIGHTS = weight_rows()


def found(
    ops: pd.DataFrame,
    *,
    phases: tuple[PhaseSummary, ...] = (),
    model: Model = MODEL,
    ceilings: Ceilings | None = CEILINGS,
    weights: pd.DataFrame = NO_WEIGHTS,
    n_threads: int = 1,
    n_cores: int | None = 4,
) -> dict[str, Finding]:
    threads = {"prefill": n_threads, "decode": n_threads}
    made = diagnose(ops, phases, model, ceilings, weights, TYPES, threads, n_cores)
    return {finding.topic: finding for finding in made}


def words(finding: Finding) -> str:
    return finding_text(finding, UNICODE)


def memory_bound(**values: Any) -> dict[str, Any]:
    """An op that reads 12 MB in a millisecond: 12 GB/s."""
    return {"bound": "memory", "ceiling_share": 0.6, "bytes": 12e6, **values}


def test_limited_by_memory() -> None:
    rows = op_rows(memory_bound(time_ms=3.0, bytes=36e6), {"bound": "sync", "ceiling_share": 0.1})
    limit = found(rows)["limit"]
    assert limit.phase == "decode"
    assert limit.figures.shares == {"memory": 0.75, "sync": 0.25}
    assert limit.figures.gbps == pytest.approx(12.0)
    assert words(limit) == (
        "The nearest ceiling of decode is memory bandwidth: 75 % of its op time, at 12.0 GB/s, "
        "60 % of the 20.0 GB/s that this machine reads with 2 threads."
    )
    near = found(op_rows(memory_bound(bytes=16e6)))["limit"]
    assert words(near).startswith(
        "Decode is limited by memory bandwidth: 100 % of its op time, at 16.0 GB/s, 80 % of the "
    )


def test_limited_by_arithmetic_or_by_nothing_alone() -> None:
    compute = {"phase": "prefill", "bound": "compute", "ceiling_share": 0.75}
    limit = found(op_rows(compute, {**compute, "ceiling_share": None}))["limit"]
    assert words(limit) == (
        "Prefill is limited by arithmetic: 100 % of its op time, at 75 % of that ceiling "
        "(modelled)."
    )
    rows = op_rows(memory_bound(time_ms=4.0), {"bound": "sync", "time_ms": 3.0}, {"time_ms": 3.0})
    assert words(found(rows)["limit"]) == (
        "No single thing limits decode; of its op time: memory bandwidth 40 %, waiting and "
        "starting of threads 30 %."
    )


def test_far_from_the_ceiling_is_not_limited_by_it() -> None:
    far = found(op_rows({"bound": "compute", "ceiling_share": 0.2}))["limit"]
    assert words(far) == (
        "The nearest ceiling of decode is arithmetic: 100 % of its op time, at 20 % of that "
        "ceiling (modelled)."
    )
    waiting = found(op_rows({"bound": "sync", "ceiling_share": 0.01}))["limit"]
    assert words(waiting) == (
        "Decode is limited by waiting and starting of threads: 100 % of its op time."
    )


def test_without_ceilings_it_says_who_would_tell() -> None:
    made = found(op_rows({"block": "ffn"}, {"block": "attention", "time_ms": 3.0}), ceilings=None)
    assert "limit" not in made and "gain" not in made
    assert words(made["most"]) == "Decode spends 75 % of its op time in mul_mat_vec_q of attention."
    assert "this profile does not hold" in words(made["ceilings"])
    other = found(op_rows({}), ceilings=example_ceilings(n_threads=4), n_threads=2)["ceilings"]
    assert "those of 4 threads, and this ran with 2" in words(other)


def test_threads_that_take_turns_are_not_sent_to_measure_ceilings() -> None:
    for ceilings in (None, CEILINGS):
        crowded = found(op_rows({}), ceilings=ceilings, n_threads=8, n_cores=4)["ceilings"]
        assert words(crowded) == (
            "What limits it cannot be told: 8 threads on 4 cores take turns, so there are no "
            "ceilings to compare with."
        )
    unknown = found(op_rows({}), ceilings=None, n_threads=8, n_cores=None)["ceilings"]
    assert "this profile does not hold" in words(unknown)


def test_ceilings_without_memory_tell_no_bandwidth() -> None:
    limit = found(op_rows(memory_bound()), ceilings=example_ceilings(bandwidth=()))["limit"]
    assert not isinstance(limit.figures, MemoryLimit)
    assert words(limit).endswith("100 % of its op time, at 60 % of that ceiling (modelled).")


def test_what_a_step_reads() -> None:
    weights = weight_rows(
        ("token_embd", None, "embedding", "q8_0", [MIB, 9]),
        ("output", None, "lm_head", "q8_0", [MIB, 91]),
        token_embd="rows",
    )
    read = found(op_rows({"weight_bytes": 91.0 * MIB}), weights=weights)["read"]
    assert words(read) == (
        "A decode step reads 91.00 MiB of weights, 91 % of the file; most of the rest is tables of "
        "which it reads single rows, as embeddings are."
    )
    experts = weight_rows(("ffn_up_exps", 0, "ffn", "q8_0", [MIB, 99]), ffn_up_exps="experts")
    read = found(op_rows({"weight_bytes": 20.0 * MIB}), weights=experts)["read"]
    assert words(read).endswith("20 % of the file; most of the rest is experts that it is not "
                                "routed to.")  # fmt: skip
    read = found(op_rows({"weight_bytes": 50.0 * MIB}, {"weight_bytes": None}))["read"]
    assert "reads at least 50.00 MiB" in words(read)
    whole = found(op_rows({"weight_bytes": 100.0 * MIB}))["read"]
    assert words(whole) == "A decode step reads 100.00 MiB of weights, 100 % of the file."
    assert "read" not in found(op_rows({"weight_bytes": None}))
    assert "read" not in found(op_rows({"weight_bytes": 1.0}), model=MODEL.replace(size_bytes=None))


def test_what_a_type_holds() -> None:
    model = MODEL.replace(tensor_types={"f32": 1, "q4_K": 12, "q5_0": 66, "q8_0": 21})
    weights = weight_rows(
        ("attn_q", 0, "attention", "q5_0", [896, 66]),
        ("norm", 0, "attention", "f32", [896]),
        ("ffn_down", 0, "ffn", "q4_K", [4864, 12]),
    )
    types = found(op_rows({}), model=model, weights=weights)["types"]
    assert types.figures.named == "q4_K" and types.figures.named_share == 0.12
    assert types.figures.unfit_rows == (896,)
    assert words(types).startswith(
        "Q4_K - Medium: 12 % of the file's bytes are q4_K, 66 % q5_0, 21 % q8_0 and 1 % f32."
    )
    assert "rows of 896 elements, which blocks of q4_K do not divide" in words(types)
    unnamed = model.replace(file_type="IQ2_M - 2.7 bpw")
    text = words(found(op_rows({}), model=unnamed, weights=weights)["types"])
    assert text == (
        "IQ2_M - 2.7 bpw: of the file's bytes, 66 % q5_0, 21 % q8_0, 12 % q4_K and 1 % f32."
    )
    hollow = model.replace(tensor_types={"q4_K": 0})
    assert "types" not in found(op_rows({}), model=hollow)


@pytest.mark.parametrize(
    ("file_type", "named"),
    [
        ("Q4_K - Medium", "q4_K"),
        ("Q4_K_M", "q4_K"),
        ("Q8_0", "q8_0"),
        ("IQ4_NL - 4.5 bpw", "iq4_nl"),
        ("IQ3_XXS - 3.0625 bpw", "iq3_xxs"),
        ("(guessed) all F32", "f32"),
        ("BF16", "bf16"),
        ("IQ2_M - 2.7 bpw", None),
        ("Q99", None),
        ("", None),
    ],
)
def test_named_types(file_type: str, named: str | None) -> None:
    assert named_type(file_type, TYPES) == named


def test_waiting_names_its_block() -> None:
    rows = op_rows(
        {"block": "attention", "time_ms": 6.0, "compute_ms": 4, "slowest_ms": 5, "wait_ms": 1.5},
        {"block": "ffn", "time_ms": 4.0, "compute_ms": 3.5, "slowest_ms": 3.5, "wait_ms": 0.5},
    )
    waiting = found(rows, n_threads=2)["waiting"]
    assert words(waiting) == (
        "Threads wait 20 % of decode (2.000 ms of 10.00), 75 % of that in attention: unequal "
        "shares cost 1.000 ms, start, barriers and waking up 1.500."
    )
    assert "waiting" not in found(rows, n_threads=1)
    unknown = found(rows.assign(slowest_ms=np.nan), n_threads=2)["waiting"]
    assert words(unknown).endswith("75 % of that in attention.")
    assert unknown.figures.barrier_ms is None


def test_the_host_is_named_where_it_counts(profile: Profile) -> None:
    # Six milliseconds of each step are the host's.
    made = found(op_rows({}), phases=profile.phase_summaries)
    host = made["host"]
    assert host.figures.share == pytest.approx(6 / 16.1)
    assert words(host) == (
        "Outside the graph, a step of decode takes 6.000 ms of 16.10 (37 %), the largest part in "
        "graph_build (2.000)."
    )


def test_best_gains() -> None:
    rows = op_rows(
        memory_bound(time_ms=8.0, ceiling_share=0.5),
        memory_bound(block="attention", kernel="soft_max", op="SOFT_MAX", ceiling_share=0.2),
        {"kernel": "quantize_q8", "time_ms": 1.0, "ceiling_share": 2.0},
    )
    gain = found(rows, n_threads=1)["gain"]
    assert gain.figures.gain_ms == pytest.approx(4.0)
    assert words(gain) == (
        "What would help decode most: products of ffn at their ceiling, at most 4.000 ms of 10.00 "
        "(40 %, modelled)."
    )
    waits = op_rows({"time_ms": 10.0, "compute_ms": 4.0, "slowest_ms": 5.0, "ceiling_share": 0.9})
    gain = found(waits, n_threads=2)["gain"]
    assert gain.figures.is_modelled is False
    assert "equal shares for the threads, and barriers at no cost, at most 6.000" in words(gain)
    near = op_rows({"ceiling_share": 0.97})
    assert "gain" not in found(near)


def test_what_is_within_reach_stands_beside_better_code() -> None:
    rows = op_rows(
        memory_bound(dtypes="f16,f32->f32", weight_bytes=10e6, ceiling_share=0.3, time_ms=8.0)
    )
    weights = weight_rows(("ffn_up", 0, "ffn", "f16", [256, 64]))
    model = MODEL.replace(file_type="F16")
    made = diagnose(rows, (), model, CEILINGS, weights, TYPES, {"decode": 1})
    gains = [finding for finding in made if finding.topic == "gain"]
    assert [finding.figures.what for finding in gains] == ["ceiling", "quantize"]
    assert words(gains[0]).startswith("What would help decode most: products of ffn")
    assert words(gains[1]).startswith(
        "Within reach for decode: weights of ffn in q8_0 instead of f16, at most 3.75"
    )


def test_gain_of_smaller_weights() -> None:
    head = memory_bound(
        block="lm_head", dtypes="f16,f32->f32", weight_bytes=10e6, ceiling_share=1.0, time_ms=8.0
    )
    weights = weight_rows(
        ("output", None, "lm_head", "f16", [256, 64]),
        ("ffn_up", 0, "ffn", "q4_K", [256, 64]),
        ("norm", 0, "ffn", "f32", [100]),
    )
    gain = found(op_rows(head, {}), weights=weights)["gain"]
    assert gain.figures.gain_ms == pytest.approx(8.0 * 0.75)
    assert "weights of lm_head in q4_K instead of f16, at most 6.000 ms of 9.000" in words(gain)
    # Rows of 96 elements cannot be q4_K.
    odd = weight_rows(
        ("output", None, "lm_head", "f16", [96, 64]), ("ffn_up", 0, "ffn", "q4_K", [256, 64])
    )
    assert "gain" not in found(op_rows(head, {}), weights=odd)


def test_it_stays_short(profile: Profile) -> None:
    both = [
        memory_bound(phase=phase, weight_bytes=1e6, wait_ms=0.5) for phase in ("prefill", "decode")
    ]
    made = diagnose(
        op_rows(*both),
        profile.phase_summaries,
        MODEL.replace(tensor_types={"q4_K": 1}),
        CEILINGS,
        NO_WEIGHTS,
        TYPES,
        {"prefill": 2, "decode": 2},
    )
    assert len(made) == MAX_FINDINGS
    topics = [finding.topic for finding in made]
    assert topics[:4] == ["limit", "limit", "read", "types"] and topics[-2:] == ["gain", "gain"]


def test_hostile_figures() -> None:
    assert diagnose(op_rows(), (), Model(), None, NO_WEIGHTS, {}, {}) == ()
    still = {"time_ms": 0.0, "compute_ms": 0.0, "wait_ms": 0.0, "slowest_ms": None}
    assert [*found(op_rows({**still, "bound": "memory"}), ceilings=None)] == []
    huge = op_rows(memory_bound(time_ms=1e300, bytes=1e300, weight_bytes=1e300, wait_ms=1e300))
    for finding in found(huge, n_threads=2).values():
        assert words(finding)
    strange = Model(file_type="Q4_K\x1b[2J", tensor_types={"q4_K": 1, "q\u0416\n": 3})
    types = found(op_rows({}), model=strange)["types"]
    shown = finding_text(types, ASCII)
    assert shown.isprintable() and shown.isascii()
    unknown = op_rows({"bound": "gravity", "impl": None}).assign(block="x")
    assert words(found(unknown)["limit"]) == ("Decode is limited by gravity: 100 % of its op time.")


def test_in_every_report(profile: Profile) -> None:
    breakdown = break_down(profile)
    made = json_module.loads(json.render(breakdown))
    assert {"phase", "topic", "text", "figures"} == set(made["diagnosis"][0])
    assert made["diagnosis"] == json_module.loads(
        json_module.dumps([finding_record(f) for f in breakdown.diagnosis])
    )
    assert {"waits", "wait_totals", "layer_flags"} <= set(made)
    stream = io.StringIO()
    terminal.render(breakdown, stream, 80)
    assert "\nDiagnosis\n- " in stream.getvalue()
    assert "## Diagnosis\n\n- " in markdown.render(breakdown)
    of_layers = json_module.loads(json.render(break_down(profile, by="layer")))
    assert "layer_flags" in of_layers and "diagnosis" not in of_layers
    decode = break_down(profile, phase="decode").diagnosis
    assert {finding.phase for finding in decode} == {None, "decode"}


@pytest.mark.usefixtures("by_name")
def test_a_profile_without_steps_has_its_types_only() -> None:
    profile = Builder().build()
    assert [finding.topic for finding in break_down(profile).diagnosis] == ["types"]
    meta = profile.meta.to_json()
    meta["model"] = {}
    bare = replace(profile, meta=Meta.from_json(meta))
    assert break_down(bare).diagnosis == ()
