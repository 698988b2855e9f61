"""Programs that have slmprof and others in one process, each in an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hosted import SESSION

ModelMaker = Callable[..., Path]
Host = Callable[..., Any]

_ENGINES = Path(__file__).parents[2] / "engines"
_SECONDS = 180  # for a deadlock; none takes more than some
CLEAN = """
import sys
import hosted

hosted.say(profiled=hosted.profiled(sys.argv[1]), decoded=hosted.decoded(sys.argv[1]))
"""


@pytest.fixture(scope="session")
def model(small_model: ModelMaker, two_cores: int) -> str:
    """The path of the model that the programs run, with a core for each of their threads."""
    assert two_cores >= SESSION["threads"]
    return str(small_model())


def run_program(program: str, *arguments: str, folder: Path, **variables: str) -> Any:
    """What a program told; it ends well, and leaves no files."""
    folder.mkdir(exist_ok=True)
    paths = [str(_ENGINES), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False,
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder), **variables
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Runs a program with arguments, and variables of its environment by name."""
    # A short name: torch puts sockets into it, whose paths have 108 characters at most.
    folder = tmp_path_factory.mktemp("t")

    def run(program: str, *arguments: str, **variables: str) -> Any:
        return run_program(program, *arguments, folder=folder, **variables)

    return run


@pytest.fixture(scope="session")
def host_once(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """As `host`, for what several tests look at."""

    def run(program: str, *arguments: str, **variables: str) -> Any:
        folder = tmp_path_factory.mktemp("t")
        return run_program(program, *arguments, folder=folder, **variables)

    return run


@pytest.fixture(scope="session")
def clean(model: str, host_once: Host) -> Any:
    """What a program tells that does nothing else: `profiled` and `decoded` of `hosted`."""
    found = host_once(CLEAN, model)
    assert found["profiled"]["run"] == [True, 2, 0] and len(found["profiled"]["ops"]) > 20
    assert len(found["decoded"]["tokens"]) == 4 and found["decoded"]["n_past"] == 11
    return found
