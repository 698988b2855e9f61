"""A device's ceilings as data and as a file, and where they are kept."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from device_ceilings_builder import MIB, example_device_ceilings, example_fingerprint

import slmprof
from slmprof.errors import EngineError, ProfileFormatError, UsageError
from slmprof.machine import device_ceilings as capture
from slmprof.machine.device_ceilings_worker import doubts
from slmprof.profiles.records.device_ceilings import (
    DeviceCeilings,
    read_device_ceilings,
    write_device_ceilings,
)
from slmprof.profiles.records.meta import Meta
from slmprof.settings.devices import cuda_index

# The file.


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    ceilings = example_device_ceilings(lacks=("mma",), warnings=("it was busy",))
    write_device_ceilings(ceilings, path)
    assert read_device_ceilings(path) == ceilings
    document = json.loads(path.read_text())
    assert (document["format"], document["format_version"]) == ("slmprof-device-ceilings", 1)
    assert document["peaks"][3] == {"name": "mma.f16.f32", "unit": "tensor", "gflops": None}


def _changed(**changes: Any) -> str:
    return json.dumps({**example_device_ceilings().to_json(), **changes})


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        _changed(format="slmprof-ceilings"),
        _changed(format_version=2),
        _changed(fingerprint=None),
        _changed(fingerprint={"name": "x"}),
        _changed(peaks=[{"name": "x"}]),
        _changed(peaks=[{"name": "x", "unit": "core", "gflops": 0}]),
        _changed(bandwidth=[7]),
        _changed(op_ns=-1),
        _changed(device=None),
    ],
)
def test_a_file_that_is_none_is_a_clear_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text(content)
    with pytest.raises(ProfileFormatError, match="cannot read ceilings"):
        read_device_ceilings(path)


def test_a_profile_holds_them_where_there_are_any() -> None:
    meta = Meta(device_ceilings=(example_device_ceilings(),))
    assert Meta.from_json(meta.to_json()) == meta
    assert "device_ceilings" not in Meta().to_json()
    assert Meta.from_json({}).device_ceilings == ()
    for value in ({}, [7], [{}], "x"):
        if value:
            with pytest.raises(ProfileFormatError):
                Meta.from_json({"device_ceilings": value})


def test_levels_are_the_last_cache_and_memory() -> None:
    ceilings = example_device_ceilings()
    assert ceilings.level_holding(3 * MIB) == "L2" and ceilings.level_holding(5 * MIB) == "memory"
    assert ceilings.gbps("memory") == 500.0 and ceilings.gbps("L1") is None
    assert ceilings.capacity_bytes("L2") == 4 * MIB and ceilings.capacity_bytes("L1") == 0
    hidden = ceilings.replace(fingerprint=ceilings.fingerprint.replace(l2_bytes=0))
    assert hidden.caches == () and hidden.level_holding(1) == "memory"


# Names, and what is kept.


@pytest.mark.parametrize(
    ("name", "index"),
    [("cuda", 0), ("cuda:2", 2), ("CUDA1", 1), ("cuda1", None), ("RPC0", None), ("cpu", None)],
)
def test_which_names_mean_a_cuda_device(name: str, index: int | None) -> None:
    assert cuda_index(name) == index


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine with the example's card and an empty cache folder; the measurements made."""
    made: list[str] = []

    def measure(device: str, *_: object, **__: object) -> DeviceCeilings:
        made.append(device)
        return example_device_ceilings()

    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(capture, "fingerprint", lambda device: example_fingerprint())  # noqa: ARG005
    monkeypatch.setattr(capture, "measure_device_ceilings", measure)
    return made


def test_they_are_measured_once_for_each_kind_of_card(card: list[str]) -> None:
    assert capture.device_ceilings("cuda:0") == example_device_ceilings()
    # A second card of the kind is like the first.
    assert capture.device_ceilings("CUDA1").device == "CUDA1"
    assert card == ["cuda:0"]
    assert capture.device_ceilings("cuda:0", refresh=True) == example_device_ceilings()
    assert card == ["cuda:0", "cuda:0"]


def test_another_driver_or_build_is_measured_anew(
    card: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capture.device_ceilings("cuda:0")
    for changed in ({"driver": "999.1"}, {"compiled_for": "860"}, {"name": "Other Card"}):
        other = example_fingerprint().replace(**changed)
        assert capture.find_device_ceilings("cuda:0", other) is None
    path = capture.cache_path(example_fingerprint())
    other = example_fingerprint().replace(driver="999.1")
    monkeypatch.setattr(capture, "fingerprint", lambda device: other)  # noqa: ARG005
    with pytest.raises(UsageError, match="another card, driver or build: they differ in driver"):
        capture.load_device_ceilings(path, "cuda:0")
    assert card == ["cuda:0"]


def test_a_run_asks_for_those_of_its_cuda_devices(
    card: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, why = capture.device_ceilings_of_run("auto", ["RPC0", "CUDA0"])
    assert [one.device for one in found] == ["CUDA0"] and why == []
    assert [one.device for one in capture.known_device_ceilings(["RPC0", "CUDA0"])] == ["CUDA0"]
    assert capture.device_ceilings_of_run("off", ["CUDA0"]) == ((), [])
    assert card == ["CUDA0"]

    def refuse(device: str) -> Any:
        raise EngineError(f"no {device}")

    monkeypatch.setattr(capture, "fingerprint", refuse)
    found, why = capture.device_ceilings_of_run("auto", ["CUDA0"])
    assert found == () and why == ["the ceilings of CUDA0 could not be measured: no CUDA0"]
    assert capture.known_device_ceilings(["CUDA0"]) == ()


def test_what_has_no_ceilings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    native = SimpleNamespace(build_info=lambda: {"cuda": False})
    monkeypatch.setattr(slmprof, "_core", native, raising=False)
    with pytest.raises(UsageError, match="cuda:0 has no ceilings here: this build has no CUDA"):
        capture.fingerprint("cuda:0")
    with pytest.raises(UsageError, match="no ceilings of rpc:host:50052"):
        capture.fingerprint("rpc:host:50052")
    with pytest.raises(UsageError, match="are several devices: name one"):
        capture.fingerprint("cuda:0,cuda:1")


def test_the_release_of_the_driver(tmp_path: Path) -> None:
    path = tmp_path / "version"
    path.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
        "GCC version:  gcc version 12.2.0\n"
    )
    assert capture.driver_release(str(path)) == "580.65.06"
    assert capture.driver_release(str(tmp_path / "none")) is None


def test_memory_far_below_its_nominal_bandwidth_is_told() -> None:
    assert doubts(example_device_ceilings()) == ()
    (doubt,) = doubts(example_device_ceilings(nominal_gbps=2000.0))
    assert "gave 500 of nominally 2000 GB/s" in doubt
    assert doubts(example_device_ceilings(nominal_gbps=None)) == ()
