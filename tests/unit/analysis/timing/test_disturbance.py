"""Steps that something else disturbed, and figures that do not contradict each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import DECODE, PREFILL, example_profile
from disturbance_builder import At, disturbed_profile, every_step, some_steps
from reports import data, shown

from slmprof.analysis.timing import phases
from slmprof.analysis.timing.disturbance import undisturbed
from slmprof.analysis.timing.phases import off_core_share, op_steps, ops_total_ns
from slmprof.analysis.timing.spans import op_spans, op_stats, reduce_spans
from slmprof.profiles.merging import merge_processes
from slmprof.profiles.records.load import Load
from slmprof.profiles.tables import EventTable
from slmprof.profiles.vocabulary import PASS_OP, PASS_TIMING, PASS_WARMUP
from slmprof.views import Profile

pytestmark = pytest.mark.usefixtures("by_name")


def quiet(_: At) -> float:
    return 0.0


def counted(profile: Profile, phase: int = DECODE, pass_: int = PASS_OP) -> list[bool]:
    steps = profile.steps
    chosen = undisturbed(profile)[(steps.phase == phase) & (steps.pass_ == pass_)]
    found: list[bool] = chosen.tolist()
    return found


def decode(profile: Profile) -> dict[str, object]:
    return dict(profile.phases().set_index("phase").loc["decode"])


def test_blocks_add_up_to_the_headline_of_a_disturbed_run() -> None:
    profile, expected = disturbed_profile(some_steps), disturbed_profile(quiet)
    row = decode(profile)
    assert row["n_disturbed"] == 15 and row["n_profiled_samples"] == 250
    assert row["latency_ms.median"] == pytest.approx(16)
    assert row["profiled_latency_ms.mean"] == pytest.approx(16.1)
    for view in ("blocks", "ops", "kernels", "layers", "waits"):
        made, wanted = getattr(profile, view)(), getattr(expected, view)()
        assert made["time_ms"].tolist() == pytest.approx(wanted["time_ms"].tolist())
    shares = profile.blocks().set_index(["phase", "block"])["share"]
    assert shares["decode", "attention"] == pytest.approx(0.8)
    assert profile.blocks().groupby("phase")["time_ms"].sum()["decode"] == pytest.approx(
        row["segments_ms.ops"]
    )


def test_a_quiet_run_has_no_disturbed_steps() -> None:
    for profile in (example_profile(), disturbed_profile(quiet)):
        assert profile.phases()["n_disturbed"].tolist() == [0, 0]
        assert profile.phases()["shares_withheld"].tolist() == [False, False]


def test_growth_is_no_disturbance() -> None:
    # The last step takes 50 % more than the first one.
    profile = disturbed_profile(some_steps, growth_ms=0.16)
    assert decode(profile)["n_disturbed"] == 15
    assert all(counted(disturbed_profile(quiet, growth_ms=0.16)))


def test_what_takes_longer_in_every_repeat_is_no_disturbance() -> None:
    def rebuilt(at: At) -> float:
        return 10.0 if at.phase == DECODE and at.index == 20 else 0.0

    assert all(counted(disturbed_profile(rebuilt)))

    def rebuilt_once(at: At) -> float:
        return 10.0 if at.phase == DECODE and at.index == 20 and at.repeat == 3 else 0.0

    assert counted(disturbed_profile(rebuilt_once)).count(False) == 1


def test_a_slower_process_is_not_disturbed() -> None:
    slow = disturbed_profile(lambda _: 8.0)
    merged = Profile.of(merge_processes([disturbed_profile(quiet), slow]))
    assert all(counted(merged)) and all(counted(merged, PREFILL))
    row = decode(merged)
    assert row["between_processes.n"] == 2
    assert row["between_processes.min_ms"] == pytest.approx(16)
    assert row["between_processes.max_ms"] == pytest.approx(24)
    assert row["latency_ci95.high"] - row["latency_ci95.low"] == pytest.approx(8)


def test_the_overhead_is_that_of_undisturbed_steps() -> None:
    def timing(at: At) -> float:
        is_hit = at[:2] == (PASS_TIMING, DECODE) and (at.index + at.repeat) % 5 < 2
        return 60.0 if is_hit else 0.0

    profile = disturbed_profile(timing)
    row = decode(profile)
    assert counted(profile, pass_=PASS_TIMING).count(False) == 100
    assert row["overhead_ratio"] == pytest.approx(16.1 / 16)
    assert row["overhead_ci95.low"] == pytest.approx(16.1 / 16)
    # Headline statistics are over all steps: their median is robust, and their maximum is true.
    assert row["latency_ms.median"] == pytest.approx(16)
    assert row["latency_ms.max"] == pytest.approx(76)


def test_shares_of_another_run_than_the_headlines_are_withheld() -> None:
    profile = disturbed_profile(every_step)
    row = decode(profile)
    assert (row["n_disturbed"], row["shares_withheld"]) == (0, True)
    assert row["difference"] == pytest.approx(24.1 / 16 - 1)
    for view in ("blocks", "kernels", "layers", "ops", "parts"):
        rows = getattr(profile, view)()
        assert rows.loc[rows["phase"] == "decode", "share"].isna().all()
        assert rows.loc[rows["phase"] == "prefill", "share"].notna().all()
        assert rows["time_ms"].notna().all()
    findings = profile.diagnosis()
    assert "most" in findings.loc[findings["phase"] == "prefill", "topic"].tolist()
    assert not set(findings.loc[findings["phase"] == "decode", "topic"]) & {"most", "waiting"}


def test_statistics_leave_out_what_the_recorder_set_apart() -> None:
    events = disturbed_profile(some_steps)
    apart = ~undisturbed(events) & (events.steps.pass_ == PASS_OP)
    steps = events.steps.replace(set_apart=apart.astype(np.uint8))
    run = events.meta.run.replace(events="aggregate")
    kept = replace(
        events,
        meta=events.meta.replace(run=run),
        steps=steps,
        stats=reduce_spans(events, op_spans(events), undisturbed(events)),
        events=EventTable.empty(),
    )
    assert len(op_stats(kept)) > 0
    assert kept.ops().equals(events.ops())
    assert kept.phases().equals(events.phases())
    whole = replace(kept, steps=steps.replace(set_apart=np.zeros(len(steps), np.uint8)))
    assert whole.phases().set_index("phase").loc["decode", "shares_withheld"]


def with_cpu_time(profile: Profile, n_busy: float, load: Load | None = None) -> Profile:
    """With so many threads at work while a graph runs, and one between the runs."""
    steps = profile.steps
    runs_ns = np.zeros(len(steps), np.int64)
    np.add.at(runs_ns, profile.runs.step, profile.runs.end_ns - profile.runs.begin_ns)
    cpu = (steps.end_ns - steps.begin_ns + (n_busy - 1) * runs_ns).astype(np.int64)
    environment = profile.meta.environment
    if load is not None:
        environment = environment.replace(load=load)
    meta = profile.meta.replace(environment=environment)
    return replace(profile, meta=meta, steps=steps.replace(cpu_ns=cpu))


def test_a_core_that_is_busy_throughout_withholds_shares() -> None:
    for n_busy, is_withheld in ((2.0, False), (1.95, False), (1.4, True)):
        row = decode(with_cpu_time(disturbed_profile(quiet), n_busy))
        lost = (2 - n_busy) * 10 / (6.1 + 2 * 10)
        assert row["off_core_share"] == pytest.approx(lost, abs=1e-6)
        assert row["shares_withheld"] == is_withheld
    profile = with_cpu_time(disturbed_profile(quiet), 1.4)
    warnings = data(profile)["environment"]["warnings"]
    assert warnings[0].startswith(
        "something else had the threads' cores for 26 % of prefill and 23 % of decode"
    )
    assert profile.blocks()["share"].isna().all()


def test_all_passes_tell_where_the_steps_of_a_phase_are_too_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = disturbed_profile(quiet)
    steps = profile.steps
    wall = steps.end_ns - steps.begin_ns
    busy = Load(core_seconds=4.0, others_share=0.3, stolen_share=0.1)
    measured = steps.pass_ != PASS_WARMUP
    for n_busy in (2.0, 1.4):
        ops_share = ops_total_ns(profile, DECODE) / wall[op_steps(profile, DECODE)].sum()
        cpu = (wall * (1 + (n_busy - 1) * ops_share)).astype(np.int64)
        environment = profile.meta.environment.replace(load=busy)
        short = replace(
            profile,
            meta=profile.meta.replace(environment=environment),
            steps=steps.replace(cpu_ns=cpu),
        )
        monkeypatch.setattr(phases, "_LEAST_WALL_NS", int(wall[measured].sum()))
        expected = 1 - (1 + (n_busy - 1) * ops_share) / (1 + ops_share)
        assert off_core_share(short, DECODE) == pytest.approx(expected, abs=1e-6)
        monkeypatch.setattr(phases, "_LEAST_WALL_NS", int(wall[measured].sum()) + 1)
        assert off_core_share(short, DECODE) == pytest.approx(0.4)


def test_the_load_of_the_run_tells_where_steps_are_too_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(phases, "_LEAST_WALL_NS", 10**12)
    busy = Load(core_seconds=4.0, others_share=0.3, stolen_share=0.1)
    for load, expected in ((None, None), (Load(core_seconds=4.0), 0.0), (busy, 0.4)):
        short = with_cpu_time(example_profile(), 2.0, load)
        found = off_core_share(short, DECODE)
        assert found == (None if expected is None else pytest.approx(expected))
    idle = with_cpu_time(example_profile(), 2.0, busy)
    cores = idle.meta.environment.replace(n_cores=4)
    idle = replace(idle, meta=idle.meta.replace(environment=cores))
    assert off_core_share(idle, DECODE) == 0.0  # 1.6 of 4 cores were taken, and 2 were needed


def test_threads_that_sleep_at_barriers_tell_nothing_by_their_cpu_time() -> None:
    profile = with_cpu_time(disturbed_profile(quiet), 1.4)
    program = profile.meta.slmprof.replace(build={"openmp": True})
    profile = replace(profile, meta=profile.meta.replace(slmprof=program))
    assert off_core_share(profile, DECODE) is None


def test_older_profiles_know_no_cpu_time() -> None:
    assert off_core_share(example_profile(), DECODE) is None


def test_a_phase_of_disturbed_steps_alone_has_no_ops() -> None:
    profile = disturbed_profile(quiet)
    steps = profile.steps
    apart = (steps.phase == PREFILL) & (steps.pass_ == PASS_OP)
    run = profile.meta.run.replace(events="aggregate")
    profile = replace(
        profile,
        meta=profile.meta.replace(run=run),
        steps=steps.replace(set_apart=apart.astype(np.uint8)),
        stats=reduce_spans(profile, op_spans(profile), ~apart & (steps.pass_ == PASS_OP)),
        events=EventTable.empty(),
    )
    assert set(profile.ops()["phase"]) == {"decode"}
    assert profile.phases()["n_disturbed"].tolist() == [5, 0]
    made = data(profile)
    assert "all profiled steps of prefill were disturbed" in made["environment"]["warnings"][0]
    assert shown(profile).index("all profiled steps of prefill") < shown(profile).index("Latency")
