"""torch in the same process, whichever comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from packages import needs

Host = Callable[..., Any]

pytestmark = needs("torch")

# Numbers are whole and small, so that any order of adding them gives the same.
PROGRAM = """
import hashlib, sys

order, model = sys.argv[1:]
if order == "slmprof first":
    import slmprof._core
import torch
if order == "torch first":
    import slmprof._core
import hosted
from concurrent.futures import ThreadPoolExecutor, wait

def computed():
    x = (torch.arange(300 * 200) % 7 - 3.0).reshape(300, 200)
    weight = (torch.arange(200 * 100) % 5 - 2.0).reshape(200, 100).requires_grad_()
    y = torch.relu(x @ weight)
    image = torch.nn.functional.conv2d(y.detach().reshape(1, 1, 300, 100), torch.ones(4, 1, 3, 3))
    y.sum().backward()
    values = [y.detach(), weight.grad, image, y.double().mean(1), y.sort(0).values]
    return [hashlib.sha256(one.detach().numpy().tobytes()).hexdigest() for one in values]

class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.tensor(i) ** 2

def loaded():
    # Its workers are forked.
    loader = torch.utils.data.DataLoader(
        Squares(), 2, num_workers=1, generator=torch.Generator().manual_seed(7)
    )
    return sum(int(batch.sum()) for batch in loader)

def has_one_of():
    return [torch.get_num_threads(), torch.get_rng_state().sum().item(),
            torch.get_default_dtype() == torch.float32, torch.is_grad_enabled()]

torch.manual_seed(7)
found = {"computed": [computed()], "loaded": [loaded()], "state": [has_one_of()]}
if order != "alone":
    import slmprof
    with slmprof.Session(model, **hosted.SESSION) as session:
        found["loaded"].append(loaded())
        steps = hosted.steps_of(session)
    with ThreadPoolExecutor(1) as pool:
        for what in (hosted.decoded, hosted.profiled):
            job = pool.submit(what, model)
            while True:
                found["computed"].append(computed())
                if wait([job], 0.01).done:
                    break
            found[what.__name__] = job.result()
    found["steps"] = steps
    found["computed"].append(computed())
    found["state"].append(has_one_of())
hosted.say(**found)
"""


@pytest.fixture(scope="module")
def alone(host_once: Host) -> Any:
    """What torch gives in a process without slmprof."""
    return host_once(PROGRAM, "alone", "")


@pytest.mark.parametrize("order", ["torch first", "slmprof first"])
def test_both_give_what_they_give_alone(
    host: Host, model: str, clean: Any, alone: Any, order: str
) -> None:
    told = host(PROGRAM, order, model)
    assert {name: told[name] for name in clean} == clean
    assert told["steps"]["logits"] == clean["decoded"]["logits"]
    assert len(told["computed"]) >= 4
    assert all(one == alone["computed"][0] for one in told["computed"])
    assert told["loaded"] == alone["loaded"] * 2 == [140, 140]
    assert told["state"] == alone["state"] * 2
