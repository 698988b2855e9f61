"""Every argument of every public function refuses what it cannot be, before anything is started."""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import example_profile
from wrong_values import check_told, wrong_values

import slmprof
from slmprof import quant
from slmprof.errors import SlmprofError, UsageError
from slmprof.planning.process import plan_memory
from slmprof.settings.arguments import declared, takes
from slmprof.settings.capture import CaptureConfig
from slmprof.settings.kinds import Whole, shown
from slmprof.settings.table import table

# Functions, what they are called with where nothing is wrong, and which of their arguments are no
# declared ones: several sources, each checked by itself.
TEXT, OUTPUT, MODELS = "text.txt", "out.gguf", ("m.gguf", "a.gguf", "b.gguf")
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "profile": (slmprof.profile, (), {"model": "m.gguf"}),
    "memory": (slmprof.memory, (), {"model": "m.gguf"}),
    "plan_memory": (plan_memory, (), {"model": "m.gguf"}),
    "compare": (slmprof.compare, ("a.gguf", "b.gguf"), {}),
    "load": (slmprof.load, (), {"path": "p.slmprof"}),
    "synthesize": (slmprof.synthesize, (), {"source": "tiny", "path": OUTPUT}),
    "dry_run": (quant.dry_run, (), {"model": "m.gguf"}),
    "apply": (quant.apply, (), {"model": "m.gguf", "output": OUTPUT}),
    "imatrix": (quant.imatrix, (), {"model": "m.gguf", "output": OUTPUT, "text": TEXT}),
    "quality": (quant.quality, (), {"model": "m.gguf", "text": TEXT}),
    "dossier": (quant.dossier, (), {"model": "m.gguf", "text": TEXT, "output": "dossier"}),
    "advise": (quant.advise, (), {"model": "m.gguf", "text": TEXT}),
    "recipe": (quant.recipe, (), {}),
    "doctor": (slmprof.doctor, (), {}),
}
# `source` may be dimensions, too, and is parsed by what parses all.
PARSED = {("synthesize", "source"), ("compare", "sources")}
# Errors of what is no single value name the thing instead.
NAMED = {"model": "MODEL", "fail_if": "no condition"}
METHODS = ("at_depth", "depth_costs", "depth_fits", "save")


class StartedError(SlmprofError):
    """What was given is taken: a process would be started now."""


@pytest.fixture(autouse=True)
def _nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def start(*_: object, **__: object) -> None:
        raise StartedError("started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr("slmprof.models.synthesis.plan_source", start)
    monkeypatch.setattr("slmprof.machine.doctor.examination.ask", start)
    monkeypatch.chdir(tmp_path)
    (tmp_path / TEXT).write_text("a text")
    for name in MODELS:
        (tmp_path / name).write_bytes(b"GGUF")
    yield
    # Nothing wrong was taken for the name of a file.
    assert {path.name for path in tmp_path.iterdir()} <= {TEXT, *MODELS}


def arguments(function: Callable[..., Any]) -> list[str]:
    """What is given by name: neither further settings, which are checked by the table of them."""
    return [
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind != p.VAR_KEYWORD and p.name != "self"
    ]


def test_every_public_function_is_here() -> None:
    public = [getattr(slmprof, name) for name in slmprof.__all__]
    public += [getattr(quant, name) for name in quant.__all__ if name not in ("Advice", "Dossier")]
    functions = {one.__name__ for one in public if inspect.isfunction(one)}
    assert functions <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_declared(name: str) -> None:
    function = FUNCTIONS[name][0]
    missing = {one for one in arguments(function) if one not in declared(function)}
    assert {(name, one) for one in missing} <= PARSED


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, one) for name, (of, *_) in FUNCTIONS.items() for one in declared(of)],
)
def test_an_argument_that_cannot_be_meant(name: str, argument: str) -> None:
    function, sources, given = FUNCTIONS[name]
    may_be_none = inspect.signature(function).parameters[argument].default is None
    n_refused = 0
    for value in wrong_values():
        try:
            function(*sources, **{**given, argument: value})
        except StartedError:
            assert value is not None or may_be_none
        except SlmprofError as error:
            quoted = [shown(value)[:20], value[:20]] if isinstance(value, str) else []
            check_told(error, argument, NAMED.get(argument, argument), *quoted)
            n_refused += 1
    assert n_refused > 20


@pytest.mark.parametrize("name", ["synthesize", "compare"])
def test_a_source_that_cannot_be_meant(name: str) -> None:
    for value in wrong_values():
        if isinstance(value, str):
            continue
        with pytest.raises(UsageError) as caught:
            if name == "compare":
                slmprof.compare("a.gguf", value)
            else:
                from slmprof.settings.model_source import ModelSource

                ModelSource.described(value)
        check_told(caught.value, "source", "model")


@pytest.mark.filterwarnings("ignore:.* oversubscribe")
@pytest.mark.parametrize("name", table(CaptureConfig))
def test_a_setting_of_a_comparison_that_cannot_be_meant(name: str) -> None:
    for value in wrong_values():
        if value is None and table(CaptureConfig)[name].default is None:
            continue
        settings: dict[str, Any] = {name: value}
        with pytest.raises(SlmprofError) as caught:
            slmprof.compare("a.gguf", "b.gguf", **settings)
        if not isinstance(caught.value, StartedError):
            check_told(caught.value, name, "tokens", "single run")


def test_a_profile_is_made_of_one() -> None:
    assert slmprof.Profile.of(example_profile()).meta == example_profile().meta
    for value in wrong_values():
        with pytest.raises(UsageError, match="data") as caught:
            slmprof.Profile.of(value)
        check_told(caught.value, "data")


def test_tables_are_exchanged_by_their_names() -> None:
    profile = example_profile()
    exchanged = profile.with_tables({"steps": profile.steps, "meta": profile.meta})
    assert exchanged.steps is profile.steps
    named = [{"steps": value} for value in wrong_values()]
    for value in (*wrong_values(), *named, {"steps": profile.runs}, {1: profile.runs}):
        if isinstance(value, dict) and not value:
            continue  # nothing is exchanged
        with pytest.raises(UsageError) as caught:
            profile.with_tables(value)
        check_told(caught.value, "named")


@pytest.mark.parametrize("method", METHODS)
def test_an_argument_of_a_profile_that_cannot_be_meant(method: str, tmp_path: Path) -> None:
    profile = example_profile()
    of = getattr(profile, method)
    (argument,) = arguments(of)
    assert argument in declared(getattr(slmprof.Profile, method))
    for value in wrong_values():
        if method == "save" and isinstance(value, str) and value.strip("\0"):
            continue  # a name like any other
        if method == "at_depth" and type(value) in (int, bool) and value == 0:
            continue
        with pytest.raises(SlmprofError) as caught:
            of(value)
        check_told(caught.value, argument, "depth", shown(value)[:20])
    assert list(tmp_path.glob("*.slmprof")) == []


def test_paths_may_be_of_pathlib_and_not_in_bytes() -> None:
    with pytest.raises(StartedError):
        slmprof.profile(Path("m.gguf"))
    in_bytes: Any = b"m.gguf"
    with pytest.raises(UsageError, match=r"model: b'm\.gguf' is no MODEL; give a path as text"):
        slmprof.profile(in_bytes)


def test_one_condition_needs_no_list() -> None:
    with pytest.raises(UsageError, match="'wings' is no condition"):
        slmprof.compare("a.gguf", "b.gguf", fail_if="wings")


def test_what_a_decorated_function_gets() -> None:
    @takes(n=Whole(1, 9), more=Whole(0))
    def add(n: int, more: int | None = None, *, sign: str = "+") -> str:
        """Adds."""
        return f"{n}{sign}{more}"

    assert add(2) == "2+None" and add(2, 3) == "2+3" and add(more=None, n=2, sign="-") == "2-None"
    assert add.__doc__ == "Adds." and next(iter(inspect.signature(add).parameters)) == "n"
    assert list(declared(add)) == ["n", "more"]
    call: Callable[..., str] = add
    with pytest.raises(UsageError, match="n: None is not a whole number"):
        call(None)
    with pytest.raises(UsageError, match="more: 'x' is not a whole number"):
        call(1, "x")
    with pytest.raises(TypeError, match="missing a required argument: 'n'"):
        call()
