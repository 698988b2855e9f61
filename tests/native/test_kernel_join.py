"""Kernels joined again from what a profile keeps, held against the recorder's join of the same
scripts."""

from __future__ import annotations

import json
import os
import subprocess
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from kernel_scripts import SCRIPTS, Script, random_script

from slmprof.analysis.graphs.kernel_join import join_again, with_joins
from slmprof.profiles.kernel_tables import (
    CapturedNodeTable,
    CaptureTable,
    ClonedNodeTable,
    GraphVersionTable,
    IssueTable,
    LaunchTable,
    StrayKernelTable,
    TraceTable,
)
from slmprof.profiles.renumbering import renumbered
from slmprof.profiles.tables import EventTable, GraphTable, LaneTable, RunTable, SplitTable, Table
from slmprof.profiles.vocabulary import JOIN_WAYS

PROGRAM = os.environ.get("SLMPROF_CUDA_TESTS")
pytestmark = pytest.mark.skipif(
    not PROGRAM,
    reason="SLMPROF_CUDA_TESTS does not name the program cuda-tests (see CONTRIBUTING.md)",
)

TABLES: tuple[type[Table], ...] = (
    TraceTable, StrayKernelTable, CaptureTable, CapturedNodeTable, ClonedNodeTable,
    GraphVersionTable, IssueTable, LaunchTable,
)  # fmt: skip
FIRST_NODE = 100  # of the one split that all runs execute


def recorded(script: Script) -> Any:
    """The profile of the script, as far as the join reads it."""
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, "join"], input=str(script), capture_output=True, text=True, check=True
    )
    parts: dict[str, list[Table]] = {table.NAME: [] for table in TABLES}
    n_runs = 0
    texts = np.append(np.arange(100, dtype=np.int32), np.int32(-1))
    for collection in json.loads(done.stdout):
        first = {name: sum(map(len, tables)) for name, tables in parts.items()}
        for table in TABLES:
            columns = {
                name: np.array(collection[table.NAME][name], column.dtype)
                for name, column in table.schema().items()
            }
            rows = table.from_columns(columns)
            # A collection's tables count from its trace, but for the step, which is the recorder's.
            parts[table.NAME].append(renumbered(rows, texts, {**first, "runs": n_runs}))
        n_runs += collection["n_runs"]
    tables: dict[str, Any] = {table.NAME: table.concatenate(parts[table.NAME]) for table in TABLES}
    launches = tables["launches"]
    in_graph = np.where(launches.node >= 0, launches.node + FIRST_NODE, -1)
    tables["launches"] = launches.replace(node=in_graph)
    return _profile({**tables, **_surroundings(n_runs)})


def _profile(tables: dict[str, Any]) -> Any:
    return SimpleNamespace(
        **tables,
        text=lambda number: "gpu" if number == 0 else "",
        with_tables=lambda changed: _profile({**tables, **changed}),
    )


def _surroundings(n_runs: int) -> dict[str, Any]:
    def rows(table: type[Table], n: int, **columns: int) -> Table:
        return table.from_columns(
            {name: np.full(n, columns.get(name, 0)) for name in table.schema()}
        )

    return {
        "runs": rows(RunTable, n_runs, end_ns=2**40, n_threads=1),
        "graphs": rows(GraphTable, 1, n_nodes=FIRST_NODE + 20),
        "splits": rows(SplitTable, 1, first_node=FIRST_NODE, n_nodes=20),
        "lanes": rows(LaneTable, 1),
        "events": EventTable.empty(),
    }


def compare(script: Script, *, counts: bool = True) -> Any:
    """Joins again; the counts of replays are also those of runs that were abandoned."""
    profile = recorded(script)
    joins = join_again(profile)
    for name in ("run", "node", "n_fused", "way"):
        ours, theirs = getattr(joins, name), getattr(profile.launches, name)
        assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist(), name
    assert joins.n_different == 0
    made = with_joins(profile, joins)
    for table in ("launches", "stray_kernels", "traces"):
        for name, values in getattr(made, table).columns().items():
            if counts or table != "traces" or name not in vars(joins):
                assert values.tolist() == getattr(profile, table).columns()[name].tolist(), name
    assert len(made.events) == (joins.node >= 0).sum()
    return profile


@pytest.mark.parametrize("name", SCRIPTS)
def test_both_joiners_agree(name: str) -> None:
    compare(SCRIPTS[name], counts=name != "abandoned")


@pytest.mark.parametrize("seed", range(150))
def test_both_joiners_agree_on_random_scripts(seed: int) -> None:
    script = random_script(seed)
    compare(script, counts=not any(line.endswith("1") for line in script.lines if "run" in line))


def test_the_scripts_hold_what_they_are_named_after() -> None:
    ways = {name: compare(SCRIPTS[name], counts=False).launches.way.tolist() for name in SCRIPTS}
    names = {name: [JOIN_WAYS[way] for way in found] for name, found in ways.items()}
    assert names["direct"] == ["launch"] * 4
    assert names["sources"] == ["source"] * 4
    assert names["own ids"] == ["node"]
    assert names["replays"] == ["clone"] * 8
    assert names["unseen clones"] == names["halves of ids"] == ["local"] * 4
    assert names["order"] == ["order"] * 4
    for name in ("order on two streams", "order without a record", "untimed", "never captured"):
        assert set(names[name]) <= {"none", "launch"}, name
    assert names["misnamed"][4:] == ["none"] * 3 + ["clone"]
    assert names["updated to another shape"][4:] == ["local"] * 4
    nodes = {
        name: (recorded(SCRIPTS[name]).launches.node - FIRST_NODE).tolist() for name in SCRIPTS
    }
    assert nodes["updated"] == [0, 1, 1, 3, 5, 6, 6, 8, 5, 6, 6, 8]
    assert nodes["ids that are used again"] == [0, 1, 1, 3, 5, 6, 6, 8, 5, 6, 6, 8]
    assert nodes["child graph"] == [0, 1, 0, 1]
    assert nodes["lost call"][4] < 0 and names["lost call"][4] == "none"
    assert recorded(SCRIPTS["swapped"]).traces.n_misplaced.tolist() == [4]
    assert recorded(SCRIPTS["misnamed"]).traces.n_misnamed.tolist() == [2]


def test_random_scripts_come_by_all_ways() -> None:
    found = [compare(random_script(seed), counts=False).launches.way for seed in range(40)]
    assert np.unique(np.concatenate(found)).tolist() == list(range(len(JOIN_WAYS)))
