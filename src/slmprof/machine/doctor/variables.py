"""Probes of the environment's variables."""

from __future__ import annotations

from .records import Outcome, ok, unfavourable
from .subject import Subject

_THREADS = (
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
)  # fmt: skip
# These tie or steer the threads of OpenMP, which are ggml's own in a build with it.
_OF_OPENMP = (
    "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "KMP_BLOCKTIME", "OMP_PLACES", "OMP_PROC_BIND",
    "OMP_WAIT_POLICY",
)  # fmt: skip
# llama.cpp's own reading of these happens in its programs only, or changes nothing of a run.
_HARMLESS = ("GGML_NO_BACKTRACE", "GGML_BACKTRACE_LLDB", "LLAMA_CACHE")
_HARMLESS_PREFIXES = ("LLAMA_ARG_",)
_OF_CUDA = ("CUDA_LAUNCH_BLOCKING", "CUDA_INJECTION64_PATH")
_SHOWN_LENGTH = 60


def threads(subject: Subject) -> Outcome:
    """What sets numbers of threads behind slmprof's back."""
    given = {name: subject.variables[name] for name in _THREADS if subject.variables.get(name)}
    n_cpus = len(subject.cpus)
    too_many = [
        _shown(name, value)
        for name, value in given.items()
        # OpenMP takes a list, one number for each level; a sign or blanks are allowed.
        if any(part.strip().isdecimal() and int(part) > n_cpus for part in value.split(","))
    ]
    if too_many:
        return unfavourable(
            f"{', '.join(too_many)}: more threads than the {n_cpus} CPUs that may be used",
            f"unset {_names(given)}",
        )
    steering = [name for name in _OF_OPENMP if subject.variables.get(name)]
    if steering and subject.is_built_with("openmp"):
        return unfavourable(
            f"{', '.join(_shown(name, subject.variables[name]) for name in steering)}: they place "
            "ggml's threads, or say how these wait",
            f"unset {' '.join(steering)}",
        )
    return ok(", ".join(_shown(*item) for item in given.items()) or "none is set")


def preload(subject: Subject) -> Outcome:
    """Libraries that are put into every process."""
    value = subject.variables.get("LD_PRELOAD", "").strip()
    if value:
        return unfavourable(
            f"{_shown('LD_PRELOAD', value)}: other code may take the place of the system's",
            "unset LD_PRELOAD",
        )
    return ok("LD_PRELOAD is not set")


def llama_cpp(subject: Subject) -> Outcome:
    """What changes how llama.cpp and CUDA run."""
    found = {
        name: value
        for name, value in sorted(subject.variables.items())
        if (name.startswith(("GGML_", "LLAMA_")) or name in _OF_CUDA)
        and name not in _HARMLESS
        and not name.startswith(_HARMLESS_PREFIXES)
    }
    if found:
        shown = ", ".join(_shown(*item) for item in found.items())
        return unfavourable(
            f"{shown}: llama.cpp may run otherwise than by default", f"unset {_names(found)}"
        )
    return ok("none of GGML_* and LLAMA_* that changes a run is set")


def _names(variables: dict[str, str]) -> str:
    return " ".join(variables)


def _shown(name: str, value: str) -> str:
    cut = value if len(value) <= _SHOWN_LENGTH else f"{value[: _SHOWN_LENGTH - 1]}…"
    return f"{name}={cut}"
