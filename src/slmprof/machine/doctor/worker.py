"""The process that looks at what may die or hang: `python -m slmprof.machine.doctor.worker`.

Its question is {"about": "build"} or {"about": "gpus"}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...children.protocol import Json, OnProgress, Progress
from ...children.serving import serve
from ...native_variant import chosen
from ..cuda_driver import CudaDriver
from ..energy.counter import EnergyCounter
from ..energy.find import Counters, find_counters, sysfs_folder
from .answers import BuildFacts, Clock, Device, Failure, Gpu, GpuFacts

BUILD, GPUS = "build", "gpus"


def look_at_build(on_progress: OnProgress) -> BuildFacts | Failure:
    """Loads the native module and asks it. What does not let itself be loaded is a Failure.

    Raises:
        UsageError: there is none of the variant that is asked for.
    """
    on_progress(Progress("importing the native module", 0, 1))
    chosen()
    try:
        from ... import _core
    except ImportError as error:
        return Failure(str(error), is_import=True)
    from ..ceilings import fingerprint

    build, features = dict(_core.build_info()), _core.cpu_features()
    clock = Clock(**_core.measure_clock())
    on_progress(Progress("listing ggml's devices", 0, 1))
    devices = tuple(Device(**device) for device in _core.devices())
    return BuildFacts(
        path=str(_core.__file__),
        build=build,
        cpu_features=features,
        clock=clock,
        devices=devices,
        fingerprint=fingerprint(),
    )


def look_at_gpus(
    on_progress: OnProgress,
    load_driver: Callable[[], CudaDriver] = CudaDriver,
    find: Callable[..., Counters] = find_counters,
) -> GpuFacts | Failure:
    """Asks NVIDIA's driver and management library.

    Args:
        load_driver, find: how the GPUs and their counters are found.
    """
    on_progress(Progress("asking NVIDIA's driver", 0, 1))
    try:
        names = [f"CUDA{i}" for i in range(load_driver().n_devices())]
    except OSError as error:
        return Failure(str(error.strerror or error))
    found = find(names, sysfs_folder())
    try:
        counters = {one.source.name: one for one in found.counters if one.source.name in names}
        refusals = {one.source: one.detail or one.reason for one in found.refusals}
        return GpuFacts(
            tuple(
                _gpu(name, counters[name])
                if name in counters
                else Gpu(name, refusal=refusals[name])
                for name in names
            )
        )
    finally:
        found.close()


def _gpu(name: str, counter: EnergyCounter) -> Gpu:
    state = counter.state()
    return Gpu(
        name,
        counter.source.parts[0],
        busy_share=state.busy_share,
        clock_reasons=state.clock_reasons,
    )


def answer(question: Json, _: str, on_progress: OnProgress) -> dict[str, Any]:
    """{"facts": …} or {"failure": …}."""
    look = look_at_build if question["about"] == BUILD else look_at_gpus
    found = look(on_progress)
    return {"failure" if isinstance(found, Failure) else "facts": found.to_json()}


if __name__ == "__main__":
    serve("examine this machine", answer)
