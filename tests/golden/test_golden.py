"""A saved profile of every format version still opens and gives the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slmprof.profiles.meta import FORMAT_VERSION
from slmprof.views import Profile, load

HERE = Path(__file__).resolve().parent
VERSIONS = range(1, FORMAT_VERSION + 1)


def numbers(profile: Profile) -> dict[str, Any]:
    """What the tables say that does not depend on the rules of attribution."""
    from slmprof.reporters.documents.records import records

    columns = ["phase", "op", "kernel", "impl", "tensor", "dtypes", "shape", "fused", "backend"]
    columns += ["calls", "time_ms", "compute_ms", "wait_ms", "share", "flops", "bytes"]
    return {
        "phases": records(profile.phases()),
        "kernels": records(profile.kernels()),
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
