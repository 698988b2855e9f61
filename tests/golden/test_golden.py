"""A saved profile of every format version still opens and gives the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slmprof.profiles.records.meta import FORMAT_VERSION
from slmprof.views import Profile, load

HERE = Path(__file__).resolve().parent
VERSIONS = range(1, FORMAT_VERSION + 1)


def numbers(profile: Profile) -> dict[str, Any]:
    """What the tables say that does not depend on the rules of attribution."""
    from slmprof.analysis.tables.grouping import kernel_table
    from slmprof.reporters.documents.records import records

    columns = ["phase", "op", "kernel", "impl", "tensor", "dtypes", "shape", "fused", "backend"]
    columns += ["calls", "time_ms", "compute_ms", "wait_ms", "share", "flops", "bytes"]
    return {
        "phases": records(profile.phases()),
        "kernels": records(kernel_table(profile.op_rows)),
        "ops": records(profile.ops()[columns]),
        "memory": records(profile.memory()),
    }


def memory_numbers(profile: Profile) -> dict[str, Any]:
    """What version 3 added."""
    from slmprof.analysis.memory.places import place_table
    from slmprof.analysis.memory.use import memory_report
    from slmprof.reporters.documents.records import records

    report = memory_report(profile)
    return {
        "reconciliation": records(report.reconciliation.rows),
        "observations": [seen.to_json() for seen in report.observations],
        "caches": records(report.caches),
        "places": records(place_table(profile)),
    }


def report(profile: Profile) -> dict[str, Any]:
    """The whole report as JSON, but for its sentences and the versions of what wrote it."""
    from slmprof.analysis.verdicts.breakdown import break_down
    from slmprof.reporters.documents.runs.run import run_document

    data: dict[str, Any] = run_document(break_down(profile), is_full=False).data()
    for part in ("schema_version", "slmprof"):
        del data[part]
    for finding in data["diagnosis"]:
        del finding["text"]
    return data


def write_report(data: dict[str, Any], version: int) -> None:
    """Stores a report, a part of it in each line."""
    lines = [f"{json.dumps(key)}: {json.dumps(part)}" for key, part in data.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (HERE / f"report-v{version}.json").write_text(text, encoding="utf-8")


def write_golden(profile: Profile, version: int) -> None:
    """Stores a profile of a new format version, and the numbers that it must give for ever."""
    profile.save(HERE / f"profile-v{version}.slmprof")
    text = json.dumps({**numbers(profile), **memory_numbers(profile)}, indent=1)
    (HERE / f"profile-v{version}.json").write_text(text + "\n", encoding="utf-8")
    write_report(report(profile), version)


def known(found: Any, wanted: Any) -> Any:
    """What is found without the keys that were added since."""
    if isinstance(wanted, dict):
        return {key: known(found[key], value) for key, value in wanted.items()}
    if isinstance(wanted, list):
        return [known(*pair) for pair in zip(found, wanted, strict=True)]
    return found


def close(value: Any) -> Any:
    """The value with room for the rounding of another platform."""
    if isinstance(value, dict):
        return {key: close(item) for key, item in value.items()}
    if isinstance(value, list):
        return [close(item) for item in value]
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_profile(version: int) -> None:
    expected = json.loads((HERE / f"profile-v{version}.json").read_text(encoding="utf-8"))
    profile = load(HERE / f"profile-v{version}.slmprof")
    found = {**numbers(profile), **memory_numbers(profile)}
    assert found.keys() >= expected.keys()
    for part, rows in expected.items():
        assert len(found[part]) == len(rows)
        for row, wanted in zip(found[part], rows, strict=True):
            # Later versions may say more, never something else.
            known = {key: value for key, value in wanted.items() if value is not None}
            assert {key: row[key] for key in known} == close(known)


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_report(version: int) -> None:
    """Bounds, shares of ceilings, findings and layer flags are what they were, too."""
    expected = json.loads((HERE / f"report-v{version}.json").read_text(encoding="utf-8"))
    found = report(load(HERE / f"profile-v{version}.slmprof"))
    assert known(found, expected) == close(expected)
