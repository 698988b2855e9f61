"""numba in the same process, with threads of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from packages import needs

Host = Callable[..., Any]

pytestmark = needs("numba")

PROGRAM = """
import sys

order, layer, model = sys.argv[1:]
if order == "slmprof first":
    import slmprof._core
import numba
numba.config.THREADING_LAYER = layer
import numpy as np
if order == "numba first":
    import slmprof._core
import hosted, slmprof
from concurrent.futures import ThreadPoolExecutor, wait

@numba.njit(parallel=True)
def total(values):
    sum = 0
    for i in numba.prange(len(values)):
        sum += values[i] * i % 7
    return sum

numbers = np.arange(1_000_000)
computed, state = [total(numbers)], [numba.get_num_threads()]
with slmprof.Session(model, **hosted.SESSION) as session, ThreadPoolExecutor(1) as pool:
    steps = hosted.steps_of(session)
    found = {}
    for what in (hosted.decoded, hosted.profiled):
        job = pool.submit(what, model)
        while True:
            computed.append(total(numbers))
            if wait([job], 0.01).done:
                break
        found[what.__name__] = job.result()
    again = hosted.steps_of(session)
computed.append(total(numbers))
state.append(numba.get_num_threads())
hosted.say(**found, steps=[steps, again], computed=sorted(set(map(int, computed))), state=state,
           layer=numba.threading_layer(), expected=int((numbers * numbers % 7).sum()))
"""


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
@pytest.mark.parametrize("order", ["numba first", "slmprof first"])
def test_both_give_what_they_give_alone(
    host: Host, model: str, clean: Any, order: str, layer: str
) -> None:
    told = host(PROGRAM, order, layer, model)
    assert {name: told[name] for name in clean} == clean
    assert [one["logits"] for one in told["steps"]] == [clean["decoded"]["logits"]] * 2
    assert told["layer"] == layer
    assert told["computed"] == [told["expected"]]
    assert told["state"][0] == told["state"][1] > 0
