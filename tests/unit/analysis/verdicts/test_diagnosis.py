"""The diagnosis: what limits, what is read, held and waited for, and what would help."""

from __future__ import annotations

import json as json_module
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import Builder
from ceilings_builder import example_ceilings
from op_rows import op_rows, weight_rows
from reports import data, shown
from work_builder import TYPES

from slmprof.analysis.timing.phases import PhaseSummary
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.analysis.verdicts.diagnosis import MAX_FINDINGS, diagnose
from slmprof.analysis.verdicts.fallbacks import named_type
from slmprof.analysis.verdicts.findings import Finding, MemoryLimit
from slmprof.profiles.records.bandwidth import BandwidthSample, RunBandwidth
from slmprof.profiles.records.ceilings import Bandwidth, Ceilings
from slmprof.profiles.records.meta import Meta, Model
from slmprof.reporters.documents.runs.findings import finding_record, finding_text, main_findings
from slmprof.reporters.renderers.cells import ASCII, printable
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
    bandwidth: RunBandwidth | None = None,
) -> dict[str, Finding]:
    threads = {"prefill": n_threads, "decode": n_threads}
    made = diagnose(ops, phases, model, ceilings, weights, TYPES, threads, n_cores, bandwidth)
    return {finding.topic: finding for finding in made}


def words(finding: Finding) -> str:
    return finding_text(finding)


def tells(finding: Finding, *facts: str) -> bool:
    """Whether a finding's sentence holds all of the facts."""
    text = words(finding)
    return text.endswith(".") and all(fact in text for fact in facts)


def memory_bound(**values: Any) -> dict[str, Any]:
    """An op that reads 12 MB in a millisecond: 12 GB/s."""
    return {"bound": "memory", "ceiling_share": 0.6, "bytes": 12e6, **values}


def test_limited_by_memory() -> None:
    rows = op_rows(memory_bound(time_ms=3.0, bytes=36e6), {"bound": "sync", "ceiling_share": 0.1})
    limit = found(rows)["limit"]
    assert limit.phase == "decode"
    assert limit.figures.shares == {"memory": 0.75, "sync": 0.25}
    assert limit.figures.gbps == pytest.approx(12.0)
    assert limit.figures.ceiling_share == pytest.approx(0.6)
    # Of several ops so bound, by their time: 3 ms at 60 % and 1 ms at 20 %.
    both = op_rows(memory_bound(time_ms=3.0), memory_bound(time_ms=1.0, ceiling_share=0.2))
    assert found(both)["limit"].figures.ceiling_share == pytest.approx(0.5)
    assert tells(limit, "Decode is memory-bound: 75 %", "at 60 % of 20.0 GB/s", "12.0; 2 threads")


def test_memory_is_what_it_was_during_the_run() -> None:
    def beside(*rates: float, n_threads: int = 2) -> Finding:
        samples = tuple(BandwidthSample("repeat", rate, rate) for rate in rates)
        bandwidth = RunBandwidth(n_threads, MIB, samples)
        return found(op_rows(memory_bound()), bandwidth=bandwidth)["limit"]

    assert tells(beside(14.0, 15.0, 15.5), "at 80 % of 15.0 GB/s")
    moved = beside(16.0, 15.0, 24.0)
    assert moved.figures.peak_range_gbps == (15.0, 24.0)
    assert tells(moved, "at 50 % to 80 %", "from 15.0 to 24.0 GB/s", "12.0")
    assert tells(beside(15.0, n_threads=1), "20.0 GB/s")


def test_limited_by_arithmetic_or_by_nothing_alone() -> None:
    compute = {"phase": "prefill", "bound": "compute", "ceiling_share": 0.75}
    limit = found(op_rows(compute, {**compute, "ceiling_share": None}))["limit"]
    assert tells(limit, "Prefill", "compute-bound", "100 %", "75 %", "modelled")
    rows = op_rows(memory_bound(time_ms=4.0), {"bound": "sync", "time_ms": 3.0}, {"time_ms": 3.0})
    alone = found(rows)["limit"]
    assert tells(alone, "decode", "40 % memory-bound", "30 % synchronisation-bound")


def test_a_kernel_at_its_best_says_what_the_hardware_could_do() -> None:
    shares = {"ceiling_share": 0.9, "kernel_share": 0.9, "compute_share": 0.3}
    kernel = found(op_rows({"phase": "prefill", "bound": "kernel", **shares}))["limit"]
    assert tells(kernel, "Prefill is kernel-bound: 100 %", "at 90 % of the kernel's best")
    assert tells(kernel, "30 % of the hardware's (modelled)")
    # What better code could gain is up to the hardware.
    rows = op_rows({"bound": "kernel", **shares, "memory_share": 0.4})
    gain = found(rows)["gain"]
    assert gain.figures.gain_ms == pytest.approx(0.6)


def test_what_is_near_no_roof_is_unexplained() -> None:
    shares = {"memory_share": 0.4, "compute_share": 0.55, "kernel_share": None}
    far = found(op_rows({"bound": "unexplained", "ceiling_share": 0.55, **shares}))["limit"]
    assert tells(far, "decode is unexplained (100 %", "40 % of memory, 55 % of compute")
    assert "kernel" not in words(far)
    waiting = found(op_rows({"bound": "sync", "ceiling_share": 0.01}))["limit"]
    assert tells(waiting, "Decode", "synchronisation-bound", "100 %")
    assert "peak" not in words(waiting)


def test_without_ceilings_it_says_who_would_tell() -> None:
    made = found(op_rows({"block": "ffn"}, {"block": "attention", "time_ms": 3.0}), ceilings=None)
    assert "limit" not in made and "gain" not in made
    assert tells(made["most"], "Decode", "75 %", "mul_mat_vec_q", "attention")
    assert tells(made["ceilings"], "--ceilings auto")
    other = found(op_rows({}), ceilings=example_ceilings(n_threads=4), n_threads=2)["ceilings"]
    assert tells(other, "4 threads", "had 2")


def test_oversubscribed_threads_are_not_sent_to_measure_ceilings() -> None:
    for ceilings in (None, CEILINGS):
        crowded = found(op_rows({}), ceilings=ceilings, n_threads=8, n_cores=4)["ceilings"]
        assert tells(crowded, "8 threads", "oversubscribe", "4 cores")
        assert "--ceilings" not in words(crowded)
    unknown = found(op_rows({}), ceilings=None, n_threads=8, n_cores=None)["ceilings"]
    assert tells(unknown, "--ceilings auto")


def test_ceilings_without_memory_tell_no_bandwidth() -> None:
    limit = found(op_rows(memory_bound()), ceilings=example_ceilings(bandwidth=()))["limit"]
    assert not isinstance(limit.figures, MemoryLimit)
    assert tells(limit, "memory-bound", "100 %", "60 %", "modelled")


def test_what_a_step_reads() -> None:
    weights = weight_rows(
        ("token_embd", None, "embedding", "q8_0", [MIB, 9]),
        ("output", None, "lm_head", "q8_0", [MIB, 91]),
        token_embd="rows",
    )
    read = found(op_rows({"weight_bytes": 91.0 * MIB}), weights=weights)["read"]
    assert tells(read, "decode", "91.00 MiB", "91 %", "embeddings")
    experts = weight_rows(("ffn_up_exps", 0, "ffn", "q8_0", [MIB, 99]), ffn_up_exps="experts")
    read = found(op_rows({"weight_bytes": 20.0 * MIB}), weights=experts)["read"]
    assert tells(read, "20.00 MiB", "20 %", "experts")
    read = found(op_rows({"weight_bytes": 50.0 * MIB}, {"weight_bytes": None}))["read"]
    assert tells(read, "at least 50.00 MiB")
    whole = found(op_rows({"weight_bytes": 100.0 * MIB}))["read"]
    assert tells(whole, "100.00 MiB", "100 %") and "rest" not in words(whole)
    assert "read" not in found(op_rows({"weight_bytes": None}))
    assert "read" not in found(op_rows({"weight_bytes": 1.0}), model=MODEL.replace(size_bytes=None))


def test_what_a_type_holds() -> None:
    model = MODEL.replace(tensor_types={"f32": 1, "q4_K": 12, "q5_0": 66, "q8_0": 21})
    weights = weight_rows(
        ("attn_q", 0, "attention", "q5_0", [896, 66]),
        ("norm", 0, "attention", "f32", [896]),
        # Its rows would have fitted: that they are stored otherwise was wanted.
        ("attn_v", 0, "attention", "q8_0", [512, 4]),
        ("ffn_down", 0, "ffn", "q4_K", [4864, 12]),
    )
    types = found(op_rows({}), model=model, weights=weights)["types"]
    assert types.figures.named == "q4_K" and types.figures.named_share == 0.12
    assert types.figures.unfit_rows == (896,)
    assert tells(types, "Q4_K - Medium", "12 % q4_K", "66 % q5_0", "21 % q8_0", "1 % f32")
    assert tells(types, "rows of 896 elements", "q4_K's block")
    unnamed = model.replace(file_type="IQ2_M - 2.7 bpw")
    other = found(op_rows({}), model=unnamed, weights=weights)["types"]
    assert tells(other, "IQ2_M - 2.7 bpw", "66 % q5_0", "21 % q8_0", "12 % q4_K", "1 % f32")
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
    assert tells(waiting, "20 % of decode", "2.000 of 10.00 ms", "75 %", "attention")
    assert tells(waiting, "load imbalance costs 1.000 ms", "barriers", "1.500 ms")
    assert "waiting" not in found(rows, n_threads=1)
    unknown = found(rows.assign(slowest_ms=np.nan), n_threads=2)["waiting"]
    assert tells(unknown, "75 %", "attention") and "imbalance" not in words(unknown)
    assert unknown.figures.barrier_ms is None


def test_the_host_is_named_where_it_counts(profile: Profile) -> None:
    # Six milliseconds of each step are the host's.
    made = found(op_rows({}), phases=profile.phase_summaries)
    host = made["host"]
    assert host.figures.share == pytest.approx(6 / 16.1)
    assert tells(host, "decode", "6.000 of 16.10 ms", "37 %", "graph_build", "2.000 ms")


def test_best_gains() -> None:
    rows = op_rows(
        memory_bound(time_ms=8.0, ceiling_share=0.5),
        memory_bound(block="attention", kernel="soft_max", op="SOFT_MAX", ceiling_share=0.2),
        {"kernel": "quantize_q8", "time_ms": 1.0, "ceiling_share": 2.0},
    )
    gain = found(rows, n_threads=1)["gain"]
    assert gain.figures.gain_ms == pytest.approx(4.0)
    assert tells(gain, "decode", "FFN matmuls at the roofline", "4.000 of 10.00 ms", "40 %, mod")
    waits = op_rows({"time_ms": 10.0, "compute_ms": 4.0, "slowest_ms": 5.0, "ceiling_share": 0.9})
    gain = found(waits, n_threads=2)["gain"]
    assert gain.figures.is_modelled is False
    assert tells(gain, "no load imbalance", "free barriers", "6.000 of 10.00 ms", "60 %")
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
    assert tells(gains[0], "Largest", "decode", "FFN matmuls")
    assert tells(gains[1], "Next", "decode", "FFN weights in q8_0 instead of f16", "3.75")


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
    assert tells(gain, "lm_head weights in q4_K instead of f16", "6.000 of 9.000 ms")
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
    main = [finding.topic for finding in main_findings(made, 4)]
    assert main == ["limit", "limit", "gain", "gain"]
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
    text = printable(finding_text(types), ASCII)
    assert text.isprintable() and text.isascii()
    unknown = op_rows({"bound": "gravity", "impl": None}).assign(block="x")
    assert tells(found(unknown)["limit"], "Decode", "gravity", "100 %")


def test_in_every_report(profile: Profile) -> None:
    breakdown = break_down(profile)
    made = data(breakdown)
    assert {"phase", "topic", "text", "figures"} == set(made["diagnosis"][0])
    assert made["diagnosis"] == json_module.loads(
        json_module.dumps([finding_record(f) for f in breakdown.diagnosis])
    )
    assert {"waits", "wait_totals", "layer_flags"} <= set(made)
    assert "\nDiagnosis\n- " in shown(breakdown, is_full=True)
    assert "## Diagnosis\n\n- " in shown(breakdown, "markdown", is_full=True)
    of_layers = data(profile, by="layer")
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


def test_a_bandwidth_that_moved_is_a_doubt_and_in_the_json(profile: Profile) -> None:
    samples = tuple(BandwidthSample("repeat", rate, 10.0) for rate in (50.0, 60.0, 55.0))
    bandwidth = RunBandwidth(2, MIB, samples)
    moved = replace(profile, meta=profile.meta.replace(bandwidth=bandwidth))
    (doubt,) = (text for text in break_down(moved).caveats if "bandwidth" in text)
    assert "50.0 to 60.0 GB/s" in doubt
    made = data(moved)["bandwidth"]
    assert (made["read_gbps"], made["read_range_gbps"]) == (55.0, [50.0, 60.0])
    assert made["is_steady"] is False and len(made["samples"]) == 3
    assert "bandwidth" not in data(profile)
    steady = RunBandwidth(2, MIB, samples[1:])
    steadier = replace(profile, meta=profile.meta.replace(bandwidth=steady))
    assert not any("bandwidth" in text for text in break_down(steadier).caveats)


def test_one_sample_of_four_may_be_far_off() -> None:
    samples = tuple(BandwidthSample("repeat", r, r / 2) for r in (44.0, 82.0, 46.0, 45.0))
    assert not RunBandwidth(2, MIB, samples[:3]).is_steady
    one_off = RunBandwidth(2, MIB, samples)
    assert one_off.is_steady
    assert one_off.gbps() == 45.5
    assert (one_off.range_gbps(), one_off.range_gbps("copy")) == ((44.0, 46.0), (22.0, 23.0))
    slow = BandwidthSample("repeat", 20.0, 10.0)
    assert not RunBandwidth(2, MIB, (*samples, slow)).is_steady
