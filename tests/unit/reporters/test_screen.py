"""The default report: what matters, on one screen of 50 lines and 80 columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from builders import example_profile
from ceilings_builder import example_ceilings
from depth_builder import profile_at
from disturbance_builder import disturbed_profile, every_step, some_steps
from plan_builder import example_report
from reports import data, shown

from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.analysis.verdicts.caveats import N_CONTRADICTIONS, contradictions
from slmprof.profiles.merging import merge_processes
from slmprof.profiles.records.meta import FORMAT_VERSION, Meta
from slmprof.reporters.documents.plans.plan import plan_document
from slmprof.views import Profile, load

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def fits(text: str) -> bool:
    lines = text.splitlines()
    return len(lines) <= 50 and max(map(len, lines)) <= 80


def doubtful(n: int) -> Profile:
    profile = example_profile()
    meta = profile.meta.to_json()
    meta["environment"]["warnings"] = [
        f"doubt {i} " + "about a lot of things " * 5 for i in range(n)
    ]
    return replace(profile, meta=Meta.from_json(meta))


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_saved_profile_takes_one_screen(version: int, encoding: str) -> None:
    profile = load(GOLDEN / f"profile-v{version}.slmprof")
    text = shown(profile, encoding=encoding)
    assert fits(text)
    made = data(profile)
    for phase in made["phases"]:
        (row,) = (line.split() for line in text.splitlines() if line.startswith(phase["phase"]))
        assert float(row[1]) == pytest.approx(phase["latency_ms"]["median"], rel=1e-3)
    for block in made["blocks"]:
        assert any(line.startswith(block["block"]) for line in text.splitlines())
    assert "--full" in text and "--by" in text.splitlines()[-1]


def test_the_screen_says_what_ran_and_what_it_took(profile: Profile) -> None:
    text = shown(profile)
    for fact in ("repack gemv_q4_K_8x8_q8_K", "vec_dot_q6_K_q8_K", "+0.4 %", "-3.3 to +4.4 %"):
        assert fact in text
    # The kernels of a phase add up to its op time.
    for phase in data(profile)["phases"]:
        rows = text.partition(f"Kernels of {phase['phase']}")[2].partition("\n\n")[0]
        times = [float(row[26:].split()[1]) for row in rows.splitlines()[2:]]
        assert sum(times) == pytest.approx(phase["segments_ms"]["ops"], rel=1e-3)


def test_many_doubts_do_not_fill_the_screen() -> None:
    text = shown(doubtful(9))
    assert fits(text)
    assert "doubt 0" in text and "doubt 8" not in text and "--full shows them" in text
    assert "doubt 8" in shown(doubtful(9), is_full=True)


def test_several_depths_take_one_screen() -> None:
    text = shown(profile_at((0, 512, 2048)))
    assert fits(text)
    rows = [line.split() for line in text.splitlines()]
    assert [row[0] for row in rows if row[:1] in (["0"], ["512"], ["2048"])] == ["0", "512", "2048"]


def test_everything_begins_with_the_screen(profile: Profile) -> None:
    titles = [
        "Latency",
        "Diagnosis",
        "Blocks",
        "Kernels of prefill",
        "Kernels of decode",
        "Memory, MiB",
        "Where a step's time goes",
    ]
    text = shown(profile, is_full=True)
    places = [text.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)
    assert max(map(len, text.splitlines())) <= 80


def test_planned_memory_leads_with_totals_and_fit() -> None:
    report = example_report()
    text = shown(plan_document(report))
    assert fits(text) and "Buffers" not in text and "--full" in text
    assert text.index("Memory") < text.index("fits into this machine's memory")
    small = shown(plan_document(report.replace(memory_bytes=1024)))
    assert "does not fit into this machine's memory" in small
    assert "Buffers" in shown(plan_document(report, is_full=True))


@pytest.mark.usefixtures("by_name")
def test_what_contradicts_itself_is_said_before_any_figure() -> None:
    profile = disturbed_profile(every_step)
    for is_full in (False, True):
        text = shown(profile, is_full=is_full)
        first = text.index("warning: profiled steps do not take what unprofiled ones do")
        assert first < text.index("Latency")
        assert text.count("profiled steps do not take") == 1
        assert "(decode 24.1 for 16 ms)" in " ".join(text.split())
        assert "No shares of decode: they would be those of a disturbed run." in text
    assert fits(shown(profile))
    rows = [line for line in shown(profile).splitlines() if line.startswith("attention")]
    assert rows[0].split()[-2:] == ["16.00", "-"]
    made = data(profile)
    assert made["environment"]["warnings"][0].startswith("profiled steps do not take")
    assert {row["share"] for row in made["blocks"] if row["phase"] == "decode"} == {None}


def test_a_phase_without_shares_has_neither_roofs_nor_bounds() -> None:
    profile = disturbed_profile(every_step)
    bounded = replace(profile, meta=profile.meta.replace(ceilings=example_ceilings()))
    made = data(bounded)
    for rows in (made["ops"], made["kernels"]):
        decode = [row for row in rows if row["phase"] == "decode"]
        assert (
            {row["bound"] for row in decode} == {row["ceiling_share"] for row in decode} == {None}
        )
        assert any(row["bound"] for row in rows if row["phase"] == "prefill")
    assert all(one["phase"] != "decode" for one in made["diagnosis"] if "bound" in one)
    assert "mixed" not in shown(bounded).partition("Kernels of decode")[2]
    for chosen in ({}, {"phase": "decode"}):
        text = shown(bounded, bound="unexplained", **chosen)
        assert "No bounds of decode: they would be those of a disturbed run." in text


def test_ceilings_that_a_run_exceeds_are_doubted_once() -> None:
    profile = disturbed_profile(some_steps)
    ceilings = example_ceilings()

    def doubts(factor: float) -> list[str]:
        low = tuple(r.replace(gflops=r.gflops * factor) for r in ceilings.arithmetic)
        meta = profile.meta.replace(ceilings=ceilings.replace(arithmetic=low))
        made = data(replace(profile, meta=meta))
        shares = [row["kernel_share"] for row in made["ops"] if row["kernel_share"] is not None]
        assert all(share <= 1.2 for share in shares)
        return [text for text in made["environment"]["warnings"] if "ceilings" in text]

    assert doubts(1.0) == []
    assert doubts(1e-5) == [
        "ceilings are lower than what this run reached: measured while the machine was busy; "
        "`slmprof roofline --refresh`"
    ]


@pytest.mark.usefixtures("by_name")
def test_disturbed_steps_are_counted_where_the_latency_stands() -> None:
    text = shown(disturbed_profile(some_steps))
    said = " ".join(text.split())
    assert "Disturbed, and left out below: 15 of 250 decode steps of the op passes." in said
    assert "those of one process; the next may differ (--processes)" in text
    assert fits(text) and "warning: profiled" not in text
    several = Profile.of(merge_processes([disturbed_profile(some_steps)] * 3))
    assert "Medians of the 3 processes: prefill 26.00 to 26.00 ms" in shown(several)
    (prefill, decode) = data(several)["phases"]
    assert decode["between_processes"] == {"n": 3, "min_ms": 16.0, "max_ms": 16.0, "cv": 0.0}
    assert (prefill["n_disturbed"], decode["n_disturbed"]) == (0, 45)
    assert decode["latency_ci95"] == [16.0, 16.0]


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_every_reason_why_shares_are_withheld_is_on_the_screen(version: int) -> None:
    profile = load(GOLDEN / f"profile-v{version}.slmprof")
    prefill, decode = profile.phase_summaries
    lacking = replace(prefill, off_core_share=0.4), replace(decode, off_core_share=0.5)
    differing = replace(lacking[1], difference=0.8)
    texts = (
        *contradictions([lacking[0], differing]),
        "all profiled steps of prefill were disturbed, so that there are no times of ops; run "
        "again when nothing else uses this machine",
    )
    assert len(texts) == N_CONTRADICTIONS
    doubts = tuple(f"doubt {i} " + "about a lot of things " * 5 for i in range(9))
    text = shown(replace(break_down(profile), contradictions=texts, caveats=(*texts, *doubts)))
    assert fits(text)
    said = " ".join(text.split())
    assert all(one in said.partition("Latency")[0] for one in texts)


def test_a_run_that_contradicts_itself_in_every_way_still_takes_one_screen() -> None:
    breakdown = break_down(doubtful(20))
    names = ("first", "second", "third", "fourth", "fifth", "sixth")
    texts = tuple(f"{n} " + "of the steps are not those of the latency; " * 4 for n in names)
    text = shown(replace(breakdown, contradictions=texts, caveats=(*breakdown.caveats, *texts)))
    assert fits(text)
    assert "warning: first" in text.partition("Latency")[0]
    # What is left out is counted, with all other doubts.
    n_said = sum(line.startswith("warning: ") for line in text.splitlines()) - 1
    n_left = len(breakdown.caveats) + len(texts) - n_said
    assert f"warning: and {n_left} more; --full shows them" in text
