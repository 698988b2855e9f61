"""JSON as records: what is refused, what is dropped, and what the message names."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from ceilings_builder import example_ceilings
from memory_builder import example_memory
from meta_builder import example_meta

from slmprof.errors import ProfileFormatError
from slmprof.profiles.records.decoding import decode
from slmprof.profiles.records.meta import Buffer, Meta


def full_meta() -> dict[str, Any]:
    return {
        **example_meta(),
        "memory": example_memory(),
        "ceilings": example_ceilings(warnings=("a video played",)).to_json(),
        "bandwidth": {
            "n_threads": 2,
            "working_set_bytes": 2**28,
            "samples": [{"point": "warm-up", "read_gbps": 20.0, "copy_gbps": 15.0}],
        },
    }


def put(parts: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *keys, last = path.split(".")
    inner: Any = parts
    for key in keys:
        inner = inner[int(key)] if key.isdigit() else inner[key]
    inner[last] = value
    return parts


def test_there_and_back() -> None:
    parts = json.loads(json.dumps(full_meta()))
    meta = Meta.from_json(parts)
    assert Meta.from_json(json.loads(json.dumps(meta.to_json()))) == meta
    written = meta.to_json()
    assert set(written) == set(parts)
    for part in parts:
        if part != "ceilings":
            assert written[part].items() >= parts[part].items()
    assert written["ceilings"] == parts["ceilings"]
    assert "sweep" not in written["run"] and "n_expert" not in written["model"]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("environment.warnings", [1], "environment.warnings"),
        ("environment.n_cores", True, "environment.n_cores"),
        ("model.n_params", 1.5, "model.n_params"),
        ("model.n_params", 2**63, "model.n_params"),
        ("model.n_params", -(10**400), "model.n_params"),
        ("model.size_bytes", float("nan"), "model.size_bytes"),
        ("model.tensor_types", {"q4_K\x1b": "x"}, "model.tensor_types"),
        ("slmprof.llama_cpp", "1.0", "slmprof.llama_cpp"),
        ("slmprof.build", {"native": [1]}, "slmprof.build"),
        ("run.warmup", {"prefill": {"n_passes": "1"}}, "run.warmup.n_passes"),
        ("run.events", "so\nme", "run.events"),
        ("run.sweep", {"model": {}}, "run.sweep.settings"),
        ("memory.buffers.0.size_bytes", "1", "memory.buffers.size_bytes"),
        ("memory.observations.1.n_past", -1, "memory.observations.n_past"),
        ("memory.observations.1.rss_bytes", 2**48, "memory.observations.rss_bytes"),
        ("memory.observations.1.buffers.0.buffer", -2, "memory.observations.buffers.buffer"),
        ("memory.observations.1.buffers.0.kind", None, "memory.observations.buffers.kind"),
        ("bandwidth.samples.0.read_gbps", 0, "bandwidth.samples.read_gbps"),
        ("bandwidth.samples", [], "bandwidth.samples"),
        ("bandwidth.n_threads", 0, "bandwidth.n_threads"),
        ("memory", [], "memory"),
        ("model", None, "model"),
    ],
)
def test_a_wrong_value_names_part_and_key(path: str, value: Any, named: str) -> None:
    with pytest.raises(ProfileFormatError, match=f"^{named} ") as caught:
        Meta.from_json(put(full_meta(), path, value))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 120


@pytest.mark.parametrize("path", ["memory.observations.1.point", "memory.observations.1.n_past"])
def test_a_missing_key_is_named(path: str) -> None:
    parts = full_meta()
    del parts["memory"]["observations"][1][path.rpartition(".")[2]]
    with pytest.raises(ProfileFormatError, match=path.replace(".1.", ".") + " is missing"):
        Meta.from_json(parts)


def test_wrong_ceilings_in_a_profile_are_refused() -> None:
    with pytest.raises(ProfileFormatError, match=r"bandwidth\.gbps"):
        Meta.from_json(put(full_meta(), "ceilings.bandwidth.0.gbps", 0))
    with pytest.raises(ProfileFormatError, match="update slmprof"):
        Meta.from_json(put(full_meta(), "ceilings.format_version", 3))


def test_unknown_keys_are_dropped_and_absent_ones_are_null() -> None:
    parts = put(full_meta(), "model.color", {"deep": [1]})
    parts = put(parts, "memory.observations.1.buffers.0.later", 1)
    assert Meta.from_json({**parts, "later": 3}) == Meta.from_json(full_meta())
    bare = Meta.from_json({"environment": {"warnings": None, "cpu": None}})
    assert bare == Meta.from_json({})
    assert bare.environment.warnings == () and bare.model.tensor_types == {}
    assert bare.ceilings is None and bare.to_json()["ceilings"] == {}
    assert bare.bandwidth is None and "bandwidth" not in bare.to_json()


def test_halves_of_surrogate_pairs_become_printable() -> None:
    meta = Meta.from_json(put(full_meta(), "model.name", "a\ud800"))
    assert meta.model.name == "a?"


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ProfileFormatError, match="nested"):
        Meta.from_json({"config": {"a": deep}})


def test_the_place_is_named_in_front() -> None:
    with pytest.raises(ProfileFormatError, match=r"^buffers\.size_bytes has a wrong value"):
        decode(tuple[Buffer, ...], [{"size_bytes": 1.5}], "buffers")
    with pytest.raises(ProfileFormatError, match=r"^it has a wrong value"):
        decode(Buffer, 3)


# Types are looked up when a record is decoded for the first time, and others may run meanwhile.
TOGETHER = """
import time
from concurrent.futures import ThreadPoolExecutor
from slmprof.profiles.records.decoding import Record, decode

def whole():
    time.sleep(0.3)
    return int

class Inner(Record):
    n: "whole()"

class Outer(Record):
    inner: Inner
    n: int

value = {"inner": {"n": 1}, "n": 2}
with ThreadPoolExecutor(3) as pool:
    found = list(pool.map(lambda _: decode(Outer, value).inner.n, range(3)))
assert found == [1, 1, 1]
"""


def test_threads_may_decode_a_record_for_the_first_time_together() -> None:
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
