"""What all tests share, and how they are spread over processes (pytest-xdist)."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from turns import CORES, Turns

# Minutes of work, which is not to be done twice.
FILES_WITH_CORPUS = {
    "test_corpus.py",
    "test_memory_observed.py",
    "test_planner_corpus.py",
    "test_storage_lives.py",
    "test_weight_bytes.py",
}

_turns = pytest.StashKey[Turns]()
_folder = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> Iterator[None]:
    """Undoes what a shell does to a background job: it and its children ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache folder stays as it is, and no test reads what an older slmprof put there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLMPROF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_configure(config: pytest.Config) -> None:
    # Children find slmprof from other folders, too.
    if places := os.environ.get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, places.split(os.pathsep)))
    given: dict[str, Any] | None = getattr(config, "workerinput", None)
    if given is not None:
        number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
        config.stash[_turns] = Turns(Path(given["turns"]), number)
    elif getattr(config.option, "numprocesses", None):
        config.stash[_folder] = tempfile.TemporaryDirectory(prefix="turns-")
    else:
        config.stash[_turns] = Turns(None)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _folder in config.stash:
        config.stash[_folder].cleanup()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["turns"] = node.config.stash[_folder].name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", len(CORES)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files, in the order of collection: what a file's tests share is made once.

    Those that use the corpus count as one file.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "corpus" if file.rpartition("/")[2] in FILES_WITH_CORPUS else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


def needs_two_cores(item: pytest.Function) -> bool:
    return "two_cores" in item.fixturenames


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if "corpus" in item.fixturenames and item.path.name not in FILES_WITH_CORPUS:
            raise pytest.UsageError(f"{item.path.name} belongs to FILES_WITH_CORPUS")
    # Behind all others, which they would wait for one by one: files of nothing else, that is.
    items.sort(key=needs_two_cores)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Function) -> Iterator[None]:
    with item.config.stash[_turns].take(alone=needs_two_cores(item)):
        return (yield)
