"""A machine to be examined, made of files: quiet, steady, and built for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ceilings_builder import FINGERPRINT

from slmprof.machine.doctor.answers import BuildFacts, Clock, Device
from slmprof.machine.doctor.subject import Subject
from slmprof.profiles.records.load import Load

GIB = 2**30
_CPU = "devices/system/cpu"
_CLOCK = "devices/system/clocksource/clocksource0"
_PROC = {
    "cpuinfo": "processor: 0\nmodel name: Example CPU\nflags: fpu pni ssse3 avx avx2 fma\n",
    "meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n"
    "SwapTotal: 1048576 kB\nSwapFree: 1048576 kB\n",
    "self/status": "VmSwap: 0 kB\n",
    "self/cgroup": "0::/\n",
    "sys/kernel/perf_event_paranoid": "2\n",
}
_SYSFS = {
    f"{_CPU}/online": "0-3\n",
    f"{_CPU}/cpu0/topology/thread_siblings_list": "0\n",
    f"{_CPU}/cpu1/topology/thread_siblings_list": "1\n",
    f"{_CPU}/cpu0/cpufreq/scaling_governor": "performance\n",
    f"{_CPU}/cpu0/cpufreq/scaling_cur_freq": "3000000\n",
    f"{_CPU}/intel_pstate/no_turbo": "1\n",
    f"{_CLOCK}/current_clocksource": "tsc\n",
    f"{_CLOCK}/available_clocksource": "tsc hpet acpi_pm\n",
    "kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    "class/powercap/intel-rapl:0/name": "package-0\n",
    "class/powercap/intel-rapl:0/energy_uj": "12\n",
    "class/powercap/intel-rapl:0/max_energy_range_uj": "1000\n",
}


def put(root: Path, files: dict[str, str | None]) -> None:
    """Writes files below a folder; None takes one away."""
    for name, text in files.items():
        path = root / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def example_facts(**changes: Any) -> BuildFacts:
    """A Release build with RPC for just the processor of `quiet_machine`; `build` is added to."""
    build = {
        "llama_cpp_version": "1.2", "llama_cpp_source": "there", "ggml_version": "0.9",
        "build_type": "Release", "compiler": "GNU 12", "variant": "native", "native": True,
        "openmp": False, "llamafile": True, "repack": True, "blas": False, "rpc": True,
        "cuda": False,
        **changes.pop("build", {}),
    }  # fmt: skip
    values: dict[str, Any] = {
        "path": "/there/_core.so",
        "build": build,
        "cpu_features": "CPU : SSE3 = 1 | SSSE3 = 1 | AVX = 1 | AVX2 = 1 | FMA = 1 | REPACK = 1 | ",
        "clock": Clock("tsc", 0.4, 8.0),
        "devices": (Device("CPU", "Example CPU", "cpu"),),
        "fingerprint": FINGERPRINT,
        **changes,
    }
    return BuildFacts(**values)


def quiet_machine(folder: Path, **changes: Any) -> Subject:
    """A machine of four CPUs, of which this process may use two; 8 of 16 GiB are free.

    Args:
        folder: where its `proc` and `sys` are made.
        changes: other values of the subject's fields.
    """
    put(folder / "proc", dict(_PROC))
    put(folder / "sys", dict(_SYSFS))
    values: dict[str, Any] = {
        "build": example_facts(),
        "proc": folder / "proc",
        "sysfs": folder / "sys",
        "control_groups": folder / "groups",
        "variables": {},
        "cpus": frozenset({0, 1}),
        "load": Load(core_seconds=1.0, others_share=0.01, stolen_share=0.0),
        **changes,
    }
    return Subject(**values)
