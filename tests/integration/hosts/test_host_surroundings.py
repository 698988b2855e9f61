"""What a process has one of stays as the program made it, and may be made otherwise than usual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Host = Callable[..., Any]

LOOKS = """
import sys
import numpy, pandas  # which change some of it themselves
import hosted

before = hosted.surroundings()
import slmprof._core
imported = hosted.surroundings()
decoded, profiled = hosted.decoded(sys.argv[1]), hosted.profiled(sys.argv[1])
n_plans = len(slmprof.memory(sys.argv[1]))
after = hosted.surroundings()
hosted.say(before=before, imported=imported, after=after, n_plans=n_plans,
           decoded=decoded, profiled=profiled)
"""

# What numpy warns of is an error, and what it is silent of as well.
STRICT = """
import sys, warnings
import numpy, pandas
import hosted, slmprof

numpy.seterr(all="raise")
warnings.simplefilter("error")
profile = slmprof.profile(sys.argv[1], **hosted.SETTINGS)
profiled = hosted.facts(profile)
tables = ("phases", "blocks", "parts", "layers", "layer_flags", "kernels", "waits", "diagnosis",
          "memory", "resident", "caches", "weights", "tensor_places", "energy", "scaling",
          "depth_costs", "depth_fits")
n_columns = [len(getattr(profile, name)().columns) for name in tables]
hosted.say(profiled=profiled, decoded=hosted.decoded(sys.argv[1]), n_columns=n_columns)
"""

# A daemon: no terminal, its standard streams closed, and perhaps files of its own in their place.
DAEMON = """
import json, os, sys
import hosted

model, *paths = sys.argv[1:]
told = os.fdopen(os.dup(1), "w")
sys.stdin = sys.stdout = sys.stderr = None
os.closerange(0, 3)
for path in paths:
    os.open(path, os.O_RDWR | os.O_CREAT)
found = {"profiled": hosted.profiled(model), "decoded": hosted.decoded(model)}
found["children"] = hosted.children()
json.dump(found, told)
"""


def test_nothing_of_the_process_is_changed(host: Host, model: str, clean: Any) -> None:
    told = host(LOOKS, model)
    assert told["imported"] == told["before"]
    assert told["after"] == told["before"]
    assert told["n_plans"] > 0
    assert {name: told[name] for name in clean} == clean


def test_a_program_in_which_every_doubt_is_an_error(host: Host, model: str, clean: Any) -> None:
    told = host(STRICT, model)
    assert {name: told[name] for name in clean} == clean
    assert all(told["n_columns"])


def test_a_program_without_standard_streams(
    host: Host, model: str, clean: Any, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in "012"]
    assert host(DAEMON, model) == {**clean, "children": []}
    assert host(DAEMON, model, *map(str, files)) == {**clean, "children": []}
    assert [one.read_bytes() for one in files] == [b""] * 3
