"""Probes of the build: whether it works, and what it was built for."""

from __future__ import annotations

from ...native_variant import VARIABLE
from ...system.processor import processor_flags
from ..instruction_sets import built_sets, missing_sets, unused_sets
from .answers import BuildFacts, Device
from .counters import has_nvidia_gpu
from .memory import size_text
from .records import Outcome, broken, ok, unavailable, unfavourable
from .subject import Subject

_HERE = (
    "in the folder of slmprof's sources run `python -m pip install --force-reinstall --no-deps .`"
)
_UNSET = f"unset {VARIABLE}"
# What a build with one module calls it.
_OF_ONE_MODULE = ("native", "custom")
_FAST_BUILDS = ("Release", "RelWithDebInfo")
_FEATURES = {
    "rpc": "RPC",
    "blas": "BLAS",
    "cuda": "CUDA",
    "repack": "repack",
    "llamafile": "llamafile",
    "openmp": "OpenMP",
}


def module(subject: Subject) -> Outcome:
    """Whether the native module loads and answers."""
    build = subject.build
    if isinstance(build, BuildFacts):
        return ok(build.path)
    if build.text.startswith(VARIABLE):
        return broken(build.text, _UNSET)
    if build.is_import:
        return broken(f"it cannot be imported: {build.text}", f"build it: {_HERE}")
    if "SIGILL" in build.text:
        return broken(
            f"{build.text}: it was built for another processor",
            f"build it on this machine: {_HERE}",
        )
    return broken(
        build.text,
        f"see what `python -c 'from slmprof import _core; _core.devices()'` says; to build anew: "
        f"{_HERE}",
    )


def llama_cpp(subject: Subject) -> Outcome | None:
    """Which llama.cpp it is, and where it comes from."""
    if subject.facts is None:
        return None
    build = subject.facts.build
    return ok(
        f"llama.cpp {build.get('llama_cpp_version')} with ggml {build.get('ggml_version')}, from "
        f"{build.get('llama_cpp_source')}"
    )


def build_type(subject: Subject) -> Outcome | None:
    """Whether the compiler made it fast."""
    if subject.facts is None:
        return None
    build = subject.facts.build
    kind, sanitizer = build.get("build_type"), build.get("sanitizer")
    found = f"{kind}, by {build.get('compiler')}"
    remedy = f"measure with a build of type Release: {_HERE}"
    if sanitizer:
        return unfavourable(f"{found}, with the {sanitizer} sanitizer: times mean nothing", remedy)
    if kind not in _FAST_BUILDS:
        return unfavourable(f"{found}: the compiler may not have optimised it", remedy)
    return ok(found)


def instruction_sets(subject: Subject) -> Outcome | None:
    """Whether ggml's kernels were compiled for this processor."""
    facts = subject.facts
    if facts is None:
        return None
    features = facts.cpu_features
    variant = facts.build.get("variant")
    has_choice = variant is not None and variant not in _OF_ONE_MODULE
    which = f"the variant {variant}, " if has_choice else ""
    built = f"{which}built for {', '.join(built_sets(features)) or 'no extension'}"
    flags = processor_flags(subject.proc)
    if not flags:
        return unavailable(f"{built}; the system does not tell what the processor has")
    if missing := missing_sets(features, flags):
        return broken(
            f"built for {', '.join(missing)}, which this processor lacks",
            f"build it on this machine: {_HERE}; or for any processor: "
            "`python -m pip install . -C cmake.define.GGML_NATIVE=OFF`",
        )
    if unused := unused_sets(features, flags):
        return unfavourable(
            f"{built}, but without {', '.join(unused)}, which this processor has",
            _UNSET
            if has_choice and subject.variables.get(VARIABLE)
            else f"for ggml's fastest kernels build it on this machine: {_HERE}",
        )
    return ok(f"{built}: everything that ggml can use of this processor")


def features(subject: Subject) -> Outcome | None:
    """Which parts of ggml the build has, and what its llama.cpp has that older ones lack."""
    if subject.facts is None:
        return None
    has = [name for key, name in _FEATURES.items() if subject.is_built_with(key)]
    lacks = [name for name in _FEATURES.values() if name not in has]
    parts = [", ".join(has), f"without {', '.join(lacks)}" if lacks else ""]
    hooks = subject.facts.build.get("features")
    if isinstance(hooks, list):
        parts.append(f"of newer llama.cpp {', '.join(hooks) or 'nothing'}")
    return ok("; ".join(filter(None, parts)))


def devices(subject: Subject) -> Outcome | None:
    """On what a model can run."""
    if subject.facts is None:
        return None
    found = "; ".join(map(_device, subject.facts.devices))
    if subject.is_built_with("rpc"):
        found += "; servers by --device rpc:HOST:PORT"
    if not any(device.type in ("gpu", "igpu") for device in subject.facts.devices):
        if subject.is_built_with("cuda"):
            return unavailable(
                f"{found}; CUDA finds no GPU",
                "`slmprof roofline --device cuda` says why",
            )
        if has_nvidia_gpu(subject):
            return unavailable(
                f"{found}; the NVIDIA GPU of this machine needs a build with CUDA",
                "`python -m pip install . -C cmake.define.GGML_CUDA=ON`",
            )
    return ok(found)


def _device(device: Device) -> str:
    if device.type == "cpu":
        return device.name
    free = f", {size_text(device.memory_free_bytes)} free" if device.memory_free_bytes else ""
    return f"{device.name} ({device.description}{free})"
