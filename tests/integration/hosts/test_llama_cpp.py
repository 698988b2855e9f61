"""llama-cpp-python in the same process: another llama.cpp, which runs the same model meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from packages import needs

Host = Callable[..., Any]

pytestmark = needs("llama_cpp", "llama-cpp-python")

PROGRAM = """
import ctypes, hashlib, os, sys, threading

order, model = sys.argv[1:]
if order == "shown to all":
    # What its package loads for itself alone; ggml's libraries, which it needs, come with it.
    import importlib.util, pathlib
    folder = pathlib.Path(importlib.util.find_spec("llama_cpp").submodule_search_locations[0])
    for library in ("libggml-base.so", "libggml-cpu.so", "libggml.so", "libllama.so"):
        ctypes.CDLL(str(folder / "lib" / library), os.RTLD_GLOBAL | os.RTLD_NOW)
if order == "slmprof first":
    import slmprof._core
import llama_cpp
import hosted, slmprof

quiet = llama_cpp.llama_log_callback(lambda *_: None)
llama_cpp.llama_log_set(quiet, None)
llama_cpp.llama_backend_init()
theirs = llama_cpp.llama_model_load_from_file(
    os.fsencode(model), llama_cpp.llama_model_default_params()
)
params = llama_cpp.llama_context_default_params()
params.n_ctx, params.n_threads, params.n_threads_batch = 64, 2, 2
context = llama_cpp.llama_init_from_model(theirs, params)
n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(theirs))

def inference():
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    tokens = (ctypes.c_int32 * 8)(*range(1, 9))
    status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, 8))
    for token in range(9, 12):
        one = (ctypes.c_int32 * 1)(token)
        status = status or llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(one, 1))
    logits = llama_cpp.llama_get_logits_ith(context, -1)
    return [status, hashlib.sha256(ctypes.string_at(logits, 4 * n_vocab)).hexdigest()]

expected = inference()
results, is_over = [], threading.Event()

def infer():
    while not is_over.wait(0.005):
        results.append(inference())

thread = threading.Thread(target=infer)
thread.start()
found = {}
with slmprof.Session(model, **hosted.SESSION) as session:
    steps = [hosted.steps_of(session) for _ in range(20)]
    found = {"decoded": hosted.decoded(model), "profiled": hosted.profiled(model)}
    n_steps = len(session.profile().steps.index)
is_over.set()
thread.join()
after = inference()
llama_cpp.llama_free(context)
llama_cpp.llama_model_free(theirs)
hosted.say(**found, logits=sorted({one["logits"] for one in steps}), n_steps=n_steps,
           status=expected[0], n_results=len(results),
           are_same=all(one == expected for one in [*results, after]))
"""


@pytest.mark.parametrize("order", ["slmprof first", "llama_cpp first", "shown to all"])
def test_both_give_what_they_give_alone(host: Host, model: str, clean: Any, order: str) -> None:
    told = host(PROGRAM, order, model)
    assert {name: told[name] for name in clean} == clean
    assert told["logits"] == [clean["decoded"]["logits"]]
    assert told["n_steps"] == 20 * 4  # of this session alone
    assert told["status"] == 0 and told["n_results"] > 2
    assert told["are_same"] is True
