"""Records of planned memory, what follows from them, and the search for what fits."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from plan_builder import CONFIG, MIB, example_plan, example_report

from slmprof.planning import notes as plan_notes
from slmprof.planning.fit import choose_types, largest_context
from slmprof.planning.lines import along_n_ctx
from slmprof.planning.records import (
    Fit,
    LayerSize,
    MemoryPlan,
    MemoryReport,
    Refusal,
    TensorPlace,
)
from slmprof.profiles.records.decoding import decode
from slmprof.profiles.records.meta import Buffer
from slmprof.profiles.records.resident import HEAP, PROCESS, RECORDER, Resident, ResidentLine


def test_totals() -> None:
    plan = example_plan()
    totals = plan.totals_bytes
    assert totals["weights"] == 12 * MIB and totals["other"] == 4096
    assert totals["total"] == plan.total_bytes == sum(b.size_bytes for b in plan.buffers)
    assert plan.compute_peak is not None and plan.compute_peak.phase == "prefill"


def test_records_survive_json() -> None:
    fit = Fit(CONFIG, "Q8_0", MIB, 8.5, 512, True, {"total": 5}, 256, 4)
    report = example_report(
        refusals=(Refusal(replace(CONFIG, n_ctx=5), "no"),),
        fits=(fit,),
        varying=("n_ctx",),
        budget_bytes=9,
    )
    again = decode(MemoryReport, json.loads(json.dumps(report.to_json())))
    assert again == report


def test_bits_and_blocks_of_tensors() -> None:
    weight = example_plan().tensors[0]
    assert weight.bits_per_weight == 4.5 and weight.block == "attention"
    assert weight.replace(shape=(0,)).bits_per_weight is None
    assert weight.replace(tensor="who.knows").block == "other"
    assert weight.replace(kind="recurrent_state").block == "recurrent"


def grown(n_ctx: int) -> MemoryPlan:
    plan = example_plan(n_ctx=n_ctx)
    cache = TensorPlace("cache_k_l0", "f16", (64, n_ctx), 128 * n_ctx, 0, "kv_cache", "CPU", "CPU")
    return plan.replace(
        buffers=(*plan.buffers[:2], Buffer("CPU", "CPU", "kv_cache", 128 * n_ctx)),
        layers=(LayerSize(0, 5, 128 * n_ctx, 7),),
        tensors=(plan.tensors[0], cache),
        compute_phases=tuple(p.replace(size_bytes=9 + 2 * n_ctx) for p in plan.compute_phases),
    )


def test_a_line_through_two_plans() -> None:
    found = along_n_ctx(grown(1 << 20), grown(1 << 21), 10**9)
    expected = grown(10**9)
    assert found.buffers == expected.buffers and found.layers == expected.layers
    assert found.tensors == expected.tensors
    assert [p.size_bytes for p in found.compute_phases] == [9 + 2 * 10**9] * 2
    assert found.n_ctx == 10**9
    assert "straight line" in found.notes[0]


def test_notes() -> None:
    assert plan_notes.context_notes(4096, 4096) == [] == plan_notes.context_notes(4096, 0)
    assert "4096" in plan_notes.context_notes(8192, 4096)[0]
    assert plan_notes.machine_notes(5, 6) == []
    note = plan_notes.machine_notes(20 << 30, 16 << 30)[0]
    assert "20.00 GiB" in note and "16.00 GiB" in note
    plan = example_plan()
    assert plan_notes.logits_bytes(plan) == 8 * MIB
    few = plan.replace(config=replace(plan.config, n_outputs_max=1), buffers=plan.buffers[:3])
    assert "--n-outputs-max 1" in plan_notes.logits_notes(plan, few)[0]
    assert plan_notes.logits_notes(plan, plan) == []
    assert plan_notes.scores_bytes(plan) == 0
    peak = plan.compute_phases[0]
    scores = peak.tensors[0].replace(block="attention")
    off = plan.replace(
        config=replace(plan.config, flash_attn="off"),
        compute_phases=(peak.replace(tensors=(scores,)),),
    )
    assert plan_notes.scores_bytes(off) == 8 * MIB
    assert "--flash-attn on" in plan_notes.scores_notes(off, few)[0]
    assert plan_notes.scores_notes(off, off) == []
    assert plan_notes.ubatch_choices(512, 2048) == [128, 512, 2048]
    assert plan_notes.ubatch_choices(512, 1024) == [128, 512]
    assert plan_notes.ubatch_choices(1, 1) == [1]


@pytest.mark.parametrize(
    ("budget", "limit", "n_ctx"),
    [
        (1000 + 256 * 4, 8192, 1024), (1000 + 256 * 4 - 1, 8192, 768), (10**9, 8192, 8192),
        (1000 + 256, 8192, 256), (1000 + 8191, 8192, 7936), (1000 + 2000, 2000, 2000),
        (1000 + 1999, 2000, 1792),
    ],
)  # fmt: skip
def test_the_largest_context(budget: int, limit: int, n_ctx: int) -> None:
    """One byte a token and 1000 bytes of weights; llama.cpp rounds a context up to 256."""

    def plan(n: int) -> MemoryPlan:
        return example_plan(n_ctx=n).replace(buffers=(Buffer("C", "C", "kv_cache", 1000 + n),))

    found = largest_context(plan, budget, limit)
    assert found.n_ctx == n_ctx and found.total_bytes <= budget


def test_nothing_fits() -> None:
    def plan(n: int) -> MemoryPlan:
        return example_plan(n_ctx=n).replace(buffers=(Buffer("C", "C", "weights", 1000 + n),))

    assert largest_context(plan, 500, 8192).n_ctx == 256
    assert largest_context(plan, 500, 100).n_ctx == 100


def test_the_lightest_and_the_least_compressed_type() -> None:
    def fit(name: str, size: int, total: int | None) -> Fit:
        return Fit(CONFIG, name, size, None, 256, False, {}, 4096, total)

    fits = [fit("F16", 90, 200), fit("Q8_0", 50, 99), fit("Q4_0", 30, 80), fit("Q2_K", 20, 85)]
    assert choose_types(fits, 100) == ("Q4_0", "Q8_0")
    assert choose_types(fits, 10) == (None, None)
    assert choose_types(fits[:1], 1000) == (None, None)
    assert choose_types([fit("F16", 9, None), fit("Q8_0", 5, None)], 100) == (None, None)


def test_heap_and_process_are_reserved_as_well() -> None:
    lines = (
        ResidentLine("weights", 5), ResidentLine(HEAP, 300), ResidentLine(PROCESS, 7000),
        ResidentLine(RECORDER, 90000),
    )  # fmt: skip
    plan = example_plan().replace(resident=Resident(50, lines))
    assert plan.totals_bytes == example_plan().totals_bytes
    assert plan.held_bytes("reserved") == plan.total_bytes + 7300
    assert example_plan().held_bytes("reserved") == plan.total_bytes


def test_lines_add_up_to_what_they_say() -> None:
    lines = (ResidentLine("weights", 5), ResidentLine(PROCESS, 70), ResidentLine(RECORDER, 900))
    resident = Resident(50, lines)
    told = json.loads(json.dumps(resident.to_json()))["lines"]
    sizes = [line["size_bytes"] for line in told if not line["is_profiling"]]
    assert sum(sizes) == resident.expected_bytes == 75
    assert sum(line["size_bytes"] for line in told) == resident.profiled_bytes == 975
    assert decode(Resident, resident.to_json()) == resident
