"""Kernels joined to ops again from a profile: `tests/native/test_kernel_join.py` holds the ways
against the recorder; here is what becomes of the profile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import example_profile
from gpu_builder import EXEC, N_KERNELS, PRODUCT, STRAY, gpu_profile

from slmprof.analysis.graphs.kernel_join import ORDER, join_again, with_joins
from slmprof.errors import ProfileFormatError, UsageError
from slmprof.profiles.data import ProfileData
from slmprof.profiles.merging import merge_processes
from slmprof.profiles.selection import select_depth, select_repeat
from slmprof.profiles.storage.file import load, save
from slmprof.profiles.validation import check_profile
from slmprof.profiles.vocabulary import GPU, JOIN_WAYS
from slmprof.views import Profile


@pytest.fixture
def gpu() -> Profile:
    made: Profile = gpu_profile()
    check_profile(made)
    return made


def forgotten(profile: Profile) -> Profile:
    """As a recorder that joined nothing would have left it."""
    n, traces = len(profile.launches), profile.traces
    none = np.full(n, -1)
    kinds = [profile.text(kind) for kind in profile.lanes.kind.tolist()]
    on_gpu = np.array([kind == GPU for kind in kinds])[profile.events.lane]
    return replace(
        profile,
        launches=profile.launches.replace(node=none, run=none, way=np.zeros(n, int)),
        events=profile.events.take(~on_gpu),
        stray_kernels=profile.stray_kernels.empty(),
        traces=traces.replace(
            joined_ns=traces.joined_ns * 0, n_by_clone=traces.n_by_clone * 0,
            n_stray=traces.n_stray + N_KERNELS,
        ),
    )  # fmt: skip


def assert_same(made: ProfileData, expected: ProfileData) -> None:
    for table in ("launches", "events", "stray_kernels", "traces"):
        theirs = getattr(expected, table).columns()
        for name, values in getattr(made, table).columns().items():
            assert values.tolist() == theirs[name].tolist(), (table, name)


def test_what_was_forgotten_is_joined_as_it_was(gpu: Profile) -> None:
    before = forgotten(gpu)
    check_profile(before)
    joins = join_again(before)
    assert joins.n_different == len(gpu.launches)
    assert join_again(gpu).n_different == 0
    assert_same(with_joins(before, joins), gpu)
    assert type(with_joins(before, joins)) is Profile


def test_events_of_other_lanes_stay_and_kernels_lie_within_their_run(gpu: Profile) -> None:
    run = int(gpu.launches.run[0])
    end = gpu.runs.end_ns.copy()
    first, second = gpu.launches.begin_ns[:2].tolist()
    end[run] = second + 5
    gaps = {name: np.zeros(len(end), int) for name in gpu.runs.schema() if name.startswith("gap")}
    cut = replace(gpu, runs=gpu.runs.replace(end_ns=end, **gaps))
    made = with_joins(cut, join_again(cut))
    check_profile(made)
    own = made.events.take(made.events.run == run)
    assert own.begin_ns.tolist() == [first, second, second + 5]
    assert own.end_ns.tolist()[1:] == [second + 5, second + 5]
    assert (made.events.lane != 2).sum() == (gpu.events.lane != 2).sum() > 0


def test_events_are_in_the_order_of_their_begin_whatever_that_of_the_records(gpu: Profile) -> None:
    order = np.arange(len(gpu.launches))[::-1]
    backwards = replace(gpu, launches=gpu.launches.take(order))
    made = with_joins(backwards, join_again(backwards))
    check_profile(made)
    assert_same(replace(made, launches=gpu.launches), gpu)


def test_a_lost_record_is_counted(gpu: Profile) -> None:
    rest = replace(gpu, launches=gpu.launches.take(np.arange(len(gpu.launches)) != 1))
    joins = join_again(rest)
    assert joins.n_different == 0
    assert joins.n_ordered.tolist() == [0] + [N_KERNELS] * 5
    assert joins.n_unordered_replays.tolist() == [2] + [1] * 5


def test_another_kernel_in_a_captured_ones_place_is_counted(gpu: Profile) -> None:
    name = gpu.launches.name.copy()
    product = gpu.strings.index(PRODUCT)
    name[np.flatnonzero(name == product)[1]] = gpu.strings.index(STRAY)
    joins = join_again(replace(gpu, launches=gpu.launches.replace(name=name)))
    assert joins.n_misnamed.tolist() == [0, 1, 0, 0, 0, 0]
    assert joins.n_different == 0


def test_by_order_where_the_ids_lead_nowhere(gpu: Profile) -> None:
    id_ = gpu.launches.cuda_node.copy()
    mine = gpu.launches.cuda_graph == EXEC
    id_[mine] += np.uint64(100)
    lost = replace(gpu, launches=gpu.launches.replace(cuda_node=id_))
    joins = join_again(lost)
    assert joins.node.tolist() == gpu.launches.node.tolist()
    assert set(joins.way[mine].tolist()) == {ORDER}
    assert joins.n_different == mine.sum()
    traces = with_joins(lost, joins).traces
    assert traces.n_by_order.tolist() == [N_KERNELS] * 6
    assert traces.n_by_clone.tolist() == [0] * 6
    assert traces.joined_ns.tolist() == gpu.traces.joined_ns.tolist()
    # Where one of them has another name, none is believed.
    name = lost.launches.name.copy()
    name[1] = gpu.strings.index(STRAY)
    unlike = replace(lost, launches=lost.launches.replace(name=name))
    made = with_joins(unlike, join_again(unlike))
    assert made.launches.node[:N_KERNELS].tolist() == [-1] * N_KERNELS
    assert made.launches.node[N_KERNELS + 1] >= 0
    first = made.stray_kernels.take(made.stray_kernels.step == made.traces.step[0])
    assert made.traces.n_stray[0] == first.calls.sum() == N_KERNELS + 1
    assert first.total_ns.sum() == gpu.traces.kernel_ns[0]
    by_name = dict(zip(first.name.tolist(), first.calls.tolist(), strict=True))
    assert by_name[gpu.strings.index(STRAY)] == 2
    assert made.traces.joined_ns[0] == 0


def test_a_kernel_without_its_call_is_no_ops(gpu: Profile) -> None:
    issue = gpu.launches.issue.copy()
    issue[0] = -1
    lost = replace(gpu, launches=gpu.launches.replace(issue=issue))
    check_profile(lost)
    joins = join_again(lost)
    assert (joins.run[0], joins.node[0], joins.way[0], joins.n_different) == (-1, -1, 0, 1)
    made = with_joins(lost, joins)
    check_profile(made)
    assert made.traces.n_stray.tolist() == [2, 1, 1, 1, 1, 1]


def test_launched_directly(gpu: Profile) -> None:
    issues = gpu.issues
    mine = issues.version == gpu.issues.version[0]
    direct = issues.replace(
        node=np.where(mine, 0, issues.node), n_fused=mine.astype(int),
        version=np.where(mine, -1, issues.version),
    )  # fmt: skip
    joins = join_again(replace(gpu, issues=direct))
    assert joins.node[:4].tolist() == [5, 5, 5, -1]
    assert joins.n_fused[:4].tolist() == [1, 1, 1, 0]
    assert [JOIN_WAYS[way] for way in joins.way[:4]] == ["launch"] * 3 + ["none"]
    assert joins.n_ordered.tolist() == [0] + [N_KERNELS] * 5


def test_parts_and_sums_of_profiles_are_joined_as_the_whole(gpu: Profile, tmp_path: Any) -> None:
    both = merge_processes([gpu, gpu])
    check_profile(both)
    assert join_again(both).n_different == 0
    assert both.issues.version.max() == 2 * len(gpu.graph_versions) - 1
    assert_same(with_joins(both, join_again(both)), both)
    for repeat in (0, 1):
        one = select_repeat(both, repeat)
        check_profile(one)
        assert join_again(one).n_different == 0
        assert len(one.captures) == len(one.traces) == len(gpu.traces) // 2
        assert len(one.captured_nodes) == len(one.cloned_nodes) == N_KERNELS * len(one.traces)
    assert join_again(select_depth(gpu, 0)).n_different == 0
    save(gpu, tmp_path / "gpu.slmprof")
    assert_same(load(tmp_path / "gpu.slmprof"), gpu)
    assert join_again(load(tmp_path / "gpu.slmprof")).n_different == 0


def test_without_records_there_is_nothing_to_join(gpu: Profile) -> None:
    for profile in (
        example_profile(), replace(gpu, launches=gpu.launches.empty()),
        replace(gpu, launches=gpu.launches.replace(issue=np.full(len(gpu.launches), -1)),
                issues=gpu.issues.empty()),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="no records of kernels to join again"):
            join_again(profile)


def test_records_that_lead_out_of_the_graph_are_refused(gpu: Profile) -> None:
    nodes = gpu.captured_nodes
    for changed in (
        {"node": np.full(len(nodes), 2)},
        {"n_fused": np.full(len(nodes), 2)},
        {"node": np.full(len(nodes), 2**31 - 1)},
    ):
        broken = replace(gpu, captured_nodes=nodes.replace(**changed))
        check_profile(broken)
        with pytest.raises(ProfileFormatError, match="an op that the run does not have"):
            join_again(broken)


def test_records_that_lead_nowhere_are_refused(gpu: Profile) -> None:
    def swapped(values: Any) -> Any:
        return np.concatenate([values[1:], values[:1]])

    wrong: list[tuple[str, str, Any]] = [
        ("captures", "trace", np.full(6, 6)),
        ("captured_nodes", "capture", gpu.captured_nodes.capture[::-1]),
        ("captured_nodes", "capture", gpu.captured_nodes.capture + 1),
        ("captured_nodes", "place", gpu.captured_nodes.place + 1),
        ("captured_nodes", "place", gpu.captured_nodes.place * 2),
        ("captured_nodes", "kind", np.full(18, 5)),
        ("captured_nodes", "node", np.full(18, -1)),
        ("cloned_nodes", "trace", np.full(18, -1)),
        ("graph_versions", "made_from", np.full(12, 6)),
        ("graph_versions", "updated_from", np.full(12, 5)),
        ("graph_versions", "made_from", swapped(gpu.graph_versions.made_from)),
        ("issues", "run", np.full(12, len(gpu.runs))),
        ("issues", "version", np.full(12, 12)),
        ("launches", "issue", np.full(24, 12)),
        ("launches", "issue", np.full(24, 0)),
        ("launches", "trace", np.full(24, -1)),
    ]
    for table, name, values in wrong:
        changed = getattr(gpu, table).replace(**{name: values})
        with pytest.raises(ProfileFormatError, match=table):
            check_profile(replace(gpu, **{table: changed}))


def test_a_circle_of_clones_ends(gpu: Profile) -> None:
    clones = gpu.cloned_nodes
    circle = replace(gpu, cloned_nodes=clones.replace(original_cuda_node=clones.cuda_node))
    joins = join_again(circle)
    # By the half of the id that a clone keeps.
    assert {JOIN_WAYS[way] for way in joins.way.tolist()} == {"local", "none"}
    assert joins.node.tolist() == gpu.launches.node.tolist()


def test_ids_mean_something_within_one_collection(gpu: Profile) -> None:
    """What the second collection's capture says of an id is nothing to the first one's kernels."""
    nodes = gpu.captured_nodes
    fused = nodes.n_fused.copy()
    fused[nodes.capture == 1] = 1
    node = nodes.node.copy()
    node[nodes.capture == 1] = 0
    joins = join_again(replace(gpu, captured_nodes=nodes.replace(n_fused=fused, node=node)))
    assert joins.n_fused[:8].tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
    assert joins.node[:9].tolist() == [5, 6, 6, -1, 5, 5, 5, -1, 5]
    assert joins.n_different == N_KERNELS
