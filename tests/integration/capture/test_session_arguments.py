"""What a session is given by mistake reaches no native code: one line says what it may be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wrong_values import check_told, wrong_values

import slmprof
from slmprof.errors import SlmprofError, UsageError
from slmprof.settings.arguments import declared

ModelMaker = Callable[..., Path]

# What else each needs, by name.
METHODS: dict[str, dict[str, Any]] = {
    "random_tokens": {"n_tokens": 1},
    "read_prompt": {"path": "missing.txt"},
    "rewind": {"n_tokens": 0},
    "fill": {"tokens": 1},
    "score": {"tokens": 1, "consumer": lambda *_: None},
    "prefill": {"tokens": 1},
    "decode": {"tokens": 1},
}
# Between the rooms of slmprof, and not documented for users.
INNER = {"from_plan", "watch", "reach", "wait", "describe", "guard"}
CASES = [
    (method, argument)
    for method in METHODS
    for argument in inspect.signature(getattr(slmprof.Session, method)).parameters
    if argument != "self"
]


@pytest.fixture(scope="module")
def session(small_model: ModelMaker) -> Iterator[slmprof.Session]:
    with slmprof.Session(small_model(), n_ctx=256, threads=1) as made:
        yield made


def test_every_method_is_here() -> None:
    methods = {
        name
        for name, one in vars(slmprof.Session).items()
        if callable(getattr(one, "__func__", one))
        and not name.startswith("_")
        and len(inspect.signature(getattr(one, "__func__", one)).parameters) > 1
    }
    assert methods == set(METHODS) | INNER


@pytest.mark.parametrize(("method", "argument"), CASES)
def test_a_value_that_cannot_be_meant(session: slmprof.Session, method: str, argument: str) -> None:
    assert argument == "tokens" or argument in declared(getattr(slmprof.Session, method))
    n_refused = 0
    for value in wrong_values():
        session.rewind(0)
        try:
            getattr(session, method)(**{**METHODS[method], argument: value})
        except SlmprofError as error:
            check_told(error, argument, "token", "prompt")
            n_refused += 1
        except TypeError:
            # What a consumer raises comes through as it is; `int` takes no position and logits.
            assert argument == "consumer" and callable(value)
    assert n_refused > 20
    session.rewind(0)
    assert session.decode(2).shape == (2,)


def test_numbers_beyond_what_native_code_takes(session: slmprof.Session) -> None:
    for n in (2**31, 2**40, 2**64):
        with pytest.raises(UsageError, match=r"n_tokens: .* is too large; at most 2147483647"):
            session.rewind(n)
    with pytest.raises(UsageError, match=r"tokens: .* at most 256 .*context"):
        session.decode(2**40)
    whole: Any = np.int64(0)
    with pytest.raises(UsageError, match="repeat: 4294967296 is too large"):
        session.prefill(1, repeat=2**32)
    assert session.rewind(whole) is True


@pytest.mark.parametrize("settings", [{"mmap": "no"}, {"type_k": None}, {"n_ctx": 2**40}])
def test_settings_that_cannot_be_meant(small_model: ModelMaker, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        slmprof.Session(small_model(), **settings)


def test_a_model_by_any_path_but_bytes(small_model: ModelMaker) -> None:
    for path in (small_model(), str(small_model())):
        slmprof.Session(path, n_ctx=256).close()
    in_bytes: Any = str(small_model()).encode()
    with pytest.raises(UsageError, match=r"model: b'.*give a path as text or pathlib.Path"):
        slmprof.Session(in_bytes)
