"""What the native part measures of a CUDA device, and what it says without one."""

from __future__ import annotations

import pytest
from command_line import run

from slmprof import _core
from slmprof.machine.device_ceilings import fingerprint, measure_device_ceilings
from slmprof.profiles.records.device_ceilings import DeviceCeilings

HAS_CUDA = bool(_core.build_info().get("cuda"))


def _has_device() -> bool:
    return HAS_CUDA and any(device["name"] == "CUDA0" for device in _core.devices())


needs_gpu = pytest.mark.skipif(
    not _has_device(), reason="needs a build with -DGGML_CUDA=ON and a CUDA device"
)


@pytest.mark.skipif(HAS_CUDA, reason="of builds without CUDA")
def test_a_build_without_cuda_says_so() -> None:
    with pytest.raises(RuntimeError, match="this build has no CUDA"):
        _core.describe_device(0)
    with pytest.raises(RuntimeError, match="this build has no CUDA"):
        _core.measure_device_ceilings(0, seconds=0.1)
    shown = run("roofline", "--device", "cuda:0")
    assert shown.returncode == 2
    (line,) = shown.stderr.splitlines()
    assert "cuda:0 has no ceilings here: this build has no CUDA" in line


@pytest.fixture(scope="module")
def twice() -> tuple[DeviceCeilings, DeviceCeilings]:
    """The first device's ceilings, measured two times."""
    return measure_device_ceilings("cuda:0"), measure_device_ceilings("cuda:0")


@pytest.mark.gpu
@needs_gpu
def test_memory_gives_about_what_its_bus_says(twice: tuple[DeviceCeilings, DeviceCeilings]) -> None:
    ceilings = twice[0]
    read, nominal = ceilings.gbps("memory"), ceilings.nominal_gbps
    assert read is not None and nominal is not None
    assert 0.5 <= read / nominal <= 1.05
    copied = ceilings.gbps("memory", "copy")
    assert copied is not None and 0.4 <= copied / nominal <= 1.05
    cached = ceilings.gbps("L2")
    if cached is not None:
        assert cached >= 0.95 * read
    for transfer in ceilings.transfers:
        assert 0 < transfer.gbps < read


@pytest.mark.gpu
@needs_gpu
def test_tensor_cores_are_faster_than_the_others(
    twice: tuple[DeviceCeilings, DeviceCeilings],
) -> None:
    peak = twice[0].peak_gflops
    capability = twice[0].fingerprint.compute_capability
    f32, f16, tensor = peak("fma.f32"), peak("fma.f16x2"), peak("mma.f16.f32")
    assert f32 is not None and f32 > 0
    assert f16 is not None and f16 > 0
    if capability >= 75:
        assert tensor is not None and tensor > f16
        integers, dot = peak("mma.s8.s32"), peak("dp4a.s8")
        assert integers is not None and dot is not None and integers > dot > 0
    if capability >= 80:
        for name in ("mma.bf16.f32", "mma.tf32.f32"):
            rate = peak(name)
            assert rate is not None and rate > 0
    assert 0 < twice[0].op_ns < 50_000


@pytest.mark.gpu
@needs_gpu
def test_a_second_measurement_gives_the_same(
    twice: tuple[DeviceCeilings, DeviceCeilings],
) -> None:
    first, second = twice
    assert first.fingerprint == second.fingerprint == fingerprint("cuda:0")
    assert [row.name for row in first.peaks] == [row.name for row in second.peaks]
    pairs = [
        *((a.gflops, b.gflops) for a, b in zip(first.peaks, second.peaks, strict=True)),
        *((a.gbps, b.gbps) for a, b in zip(first.bandwidth, second.bandwidth, strict=True)),
        *((a.gbps, b.gbps) for a, b in zip(first.transfers, second.transfers, strict=True)),
    ]
    for one, other in pairs:
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert abs(one - other) <= 0.1 * max(one, other)


@pytest.mark.gpu
@needs_gpu
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="there is no CUDA device 4000"):
        _core.describe_device(4000)
    shown = run("roofline", "--device", "cuda:4000")
    assert shown.returncode == 2 and len(shown.stderr.splitlines()) == 1
