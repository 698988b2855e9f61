"""The profiles of several processes as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import Builder, example_profile, with_conversion
from memory_builder import with_memory

from slmprof.analysis.comparison.samples import summarize_subject
from slmprof.analysis.timing.spans import op_stats
from slmprof.profiles.merging import merge_processes, n_processes
from slmprof.profiles.records.bandwidth import BandwidthSample, RunBandwidth
from slmprof.profiles.selection import select_process
from slmprof.profiles.tables import EventTable, LaneTable, MaskTable
from slmprof.profiles.vocabulary import PASS_TIMING, PASS_WARMUP
from slmprof.views import Profile

pytestmark = pytest.mark.usefixtures("by_name")


def merged(*profiles: Profile) -> Profile:
    return Profile.of(merge_processes(profiles))


def with_masks(profile: Profile) -> Profile:
    n = len(profile.runs)
    columns = {
        "run": np.arange(n),
        "tensor": np.full(n, 8),
        "n_pairs": np.arange(n),
        "n_keys": np.arange(n),
    }
    return replace(profile, masks=MaskTable.from_columns(columns))


def aggregated(profile: Profile) -> Profile:
    run = profile.meta.run.replace(events="aggregate")
    stats, events = op_stats(profile), EventTable.empty()
    return replace(profile, meta=profile.meta.replace(run=run), stats=stats, events=events)


def with_another_graph() -> Profile:
    """As the example, but for the texts' order and the context of its first graph."""
    builder = Builder()
    builder.text("a text of its own")
    builder.graph(16, n_kv=64)
    builder.graph(1, n_kv=32)
    builder.graph(1, n_kv=48)
    builder.warmup()
    for repeat in range(2):
        builder.repeat(repeat)
    builder.device()
    return builder.build()


def test_one_process_is_as_it_was() -> None:
    profile = example_profile()
    assert merge_processes([profile]) is profile
    assert profile.steps.process.tolist() == [0] * len(profile.steps)
    with pytest.raises(ValueError, match="no profile"):
        merge_processes([])


def test_processes_and_repeats_are_counted_on() -> None:
    profile = merged(*[example_profile()] * 3)
    steps = profile.steps
    assert n_processes(profile) == 3
    assert np.unique(steps.process).tolist() == [0, 1, 2]
    timed = steps.pass_ == PASS_TIMING
    assert np.unique(steps.repeat[timed]).tolist() == [0, 1, 2, 3, 4, 5]
    assert (steps.repeat[timed] // 2 == steps.process[timed]).all()
    assert (steps.repeat[steps.pass_ == PASS_WARMUP] == 0).all()
    run = profile.meta.run
    assert (run.n_repeats, run.n_repeats_done, run.complete) == (6, 6, True)
    assert run.warmup["prefill"].n_passes == 3
    assert profile.meta.config.processes == 3


@pytest.mark.parametrize("made_of", [with_masks, with_conversion, aggregated])
def test_every_view_of_equal_processes_is_that_of_one(
    made_of: Callable[[Profile], Profile],
) -> None:
    one = made_of(example_profile())
    several = merged(one, one, one)
    assert len(several.graphs) == len(one.graphs) and len(several.lanes) == len(one.lanes)
    assert several.stats.columns().keys() == one.stats.columns().keys()
    assert len(several.stats) == len(one.stats)
    for view in ("ops", "blocks", "layers", "kernels", "parts", "waits", "memory", "resident"):
        pd.testing.assert_frame_equal(getattr(several, view)(), getattr(one, view)())


def test_an_op_of_different_graphs_is_one_row() -> None:
    profile = merged(example_profile(), with_another_graph())
    assert len(profile.graphs) == 4
    ops, one = profile.ops(), example_profile().ops()
    names = ["phase", "op", "tensor", "calls", "time_ms"]
    pd.testing.assert_frame_equal(ops[names], one[names])


def test_other_lanes_and_types_are_added() -> None:
    first, second = example_profile(), example_profile()
    more = LaneTable.concatenate([second.lanes, second.lanes.take(slice(0, 1))])
    second = replace(second, lanes=more)
    profile = merged(first, second)
    assert len(profile.lanes) == 5
    assert np.unique(profile.runs.lane).tolist() == [0, 2]
    assert len(profile.types) == len(first.types)


def test_places_and_observations_are_the_first_ones() -> None:
    one = with_memory()
    profile = merged(one, one)
    assert len(profile.places) == len(one.places)
    assert profile.meta.memory == one.meta.memory


def test_memory_is_that_of_the_process_with_the_largest_peak() -> None:
    one = with_memory()
    memory = one.meta.memory
    larger = memory.replace(rss_peak_bytes=(memory.rss_peak_bytes or 0) + 2**20)
    fewer = one.places.take(slice(0, 1))
    other = replace(one, meta=one.meta.replace(memory=larger), places=fewer)
    for profile in (merged(one, other, one), merged(other, one)):
        assert profile.meta.memory == larger
        names = [profile.text(name) for name in profile.places.name.tolist()]
        assert names == [other.text(name) for name in fewer.name.tolist()]
    assert summarize_subject("a", [one, other], 0).meta.memory == larger


def test_warnings_are_united_and_an_error_stays() -> None:
    first = example_profile()
    meta = first.meta.with_warnings(["the fan stood still"])
    second = replace(first, meta=meta.replace_run(complete=False, error="killed"))
    profile = merged(first, second, second)
    assert profile.meta.environment.warnings == (
        "another process uses the CPU",
        "the fan stood still",
    )
    assert (profile.meta.run.complete, profile.meta.run.error) == (False, "killed")


def test_bandwidth_is_that_of_all_processes() -> None:
    def beside(*gbps: float) -> Profile:
        samples = tuple(BandwidthSample("repeat", one, one) for one in gbps)
        profile = example_profile()
        return replace(profile, meta=profile.meta.replace(bandwidth=RunBandwidth(2, 7, samples)))

    found = merged(beside(50.0, 51.0), beside(52.0)).meta.bandwidth
    assert found is not None and [one.read_gbps for one in found.samples] == [50.0, 51.0, 52.0]
    assert merged(example_profile(), beside(52.0)).meta.bandwidth is not None
    assert merged(example_profile(), example_profile()).meta.bandwidth is None


def test_a_process_can_be_taken_out_again() -> None:
    profile = select_process(merged(example_profile(), example_profile()), 1)
    pd.testing.assert_frame_equal(profile.ops(), example_profile().ops())


def test_a_merged_profile_is_saved_and_read(tmp_path: Path) -> None:
    from slmprof.views import load

    profile = merged(example_profile(), with_another_graph())
    profile.save(tmp_path / "two.slmprof")
    pd.testing.assert_frame_equal(load(tmp_path / "two.slmprof").ops(), profile.ops())
