"""Names of native code: the module shows none of its own but its entry, and takes no other's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from slmprof import _core

Host = Callable[..., Any]

# What a session and its planner are sure to call, of all parts of llama.cpp, and slmprof's hooks.
FUNCTIONS = (
    "llama_backend_init", "llama_model_default_params", "llama_model_load_from_file",
    "llama_init_from_model", "llama_decode", "llama_get_logits_ith", "llama_memory_clear",
    "llama_log_set", "gguf_init_from_file", "gguf_get_n_tensors", "ggml_init", "ggml_free",
    "ggml_new_tensor", "ggml_mul_mat", "ggml_nbytes", "ggml_type_size", "ggml_time_init",
    "ggml_log_internal", "ggml_backend_alloc_buffer", "ggml_backend_buft_alloc_buffer",
    "ggml_backend_dev_count", "ggml_backend_sched_graph_compute_async", "ggml_gallocr_alloc_graph",
    "ggml_threadpool_new", "ggml_threadpool_free", "ggml_graph_compute", "ggml_graph_plan",
    "ggml_barrier", "ggml_compute_forward_mul_mat", "ggml_backend_cpu_reg", "slmprof_run_begin",
    "slmprof_enter_segment",
)  # fmt: skip
DATA = ("slmprof_threads",)

BESIDE_OTHERS = """
import ctypes, os, sys

order, library, model = sys.argv[1:]
if order == "before":
    other = ctypes.CDLL(library, os.RTLD_GLOBAL | os.RTLD_NOW)
import slmprof._core
if order == "after":
    other = ctypes.CDLL(library, os.RTLD_GLOBAL | os.RTLD_NOW)
import hosted

found = {"decoded": hosted.decoded(model), "profiled": hosted.profiled(model)}
hosted.say(**found, n_calls=ctypes.c_int.in_dll(other, "n_calls").value)
"""

SHOWN_TO_ALL = """
import ctypes, os, sys

sys.setdlopenflags(os.RTLD_GLOBAL | os.RTLD_NOW)
import slmprof._core
everything = ctypes.CDLL(None)
import hosted

hosted.say(
    is_global=hasattr(everything, "PyInit__core"),
    seen=[name for name in sys.argv[2:] if hasattr(everything, name)],
    decoded=hosted.decoded(sys.argv[1]),
)
"""


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils' nm is not there")
def test_the_module_shows_its_entry_alone() -> None:
    done = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", str(_core.__file__)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["PyInit__core"]


@pytest.fixture(scope="module")
def other_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library with the names of llama.cpp and ggml, each of which counts its calls and aborts."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    folder = tmp_path_factory.mktemp("other")
    lines = ["void abort(void);", "int n_calls;"]
    lines += [f"void {name}(void) {{ n_calls++; abort(); }}" for name in FUNCTIONS]
    lines += [f"void *{name} = &n_calls;" for name in DATA]
    (folder / "other.c").write_text("\n".join(lines) + "\n")
    library = folder / "libllama.so"
    flags = ["-shared", "-fPIC", "-fno-builtin", "-o", str(library), str(folder / "other.c")]
    subprocess.run([compiler, *flags], check=True, capture_output=True)
    return str(library)


@pytest.mark.parametrize("order", ["before", "after"])
def test_another_llama_that_all_can_see(
    host: Host, model: str, clean: Any, other_library: str, order: str
) -> None:
    assert host(BESIDE_OTHERS, order, other_library, model) == {**clean, "n_calls": 0}


def test_a_module_that_is_shown_to_all_gives_them_nothing(
    host: Host, model: str, clean: Any
) -> None:
    told = host(SHOWN_TO_ALL, model, *FUNCTIONS, *DATA)
    assert told == {"is_global": True, "seen": [], "decoded": clean["decoded"]}
