"""The arguments of public functions: each is declared once, and checked before anything is done."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from ..errors import UsageError
from .kinds import Kind

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DECLARED = "__slmprof_arguments__"


def check_value(name: str, kind: Kind, value: Any) -> Any:
    """A value as it is kept.

    Raises:
        UsageError: it is none of its kind; the message names it, what it is and what it may be.
    """
    try:
        return kind.check(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def takes(**kinds: Kind) -> Callable[[_Function], _Function]:
    """Checks arguments of a function, by their names, whenever it is called; a decorator.

    The function gets them as `Kind.check` returns them. None is let through where it is the
    argument's default.

    Raises:
        UsageError: from the function, as `check_value`.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        parameters = signature.parameters

        @functools.wraps(function)
        def checked(*args: Any, **named: Any) -> Any:
            bound = signature.bind(*args, **named)
            for name, kind in kinds.items():
                given = bound.arguments.get(name)
                is_absent = given is None and parameters[name].default is None
                if name in bound.arguments and not is_absent:
                    bound.arguments[name] = check_value(name, kind, given)
            return function(*bound.args, **bound.kwargs)

        setattr(checked, _DECLARED, dict(kinds))
        return cast(_Function, checked)

    return decorate


def declared(function: Callable[..., Any]) -> Mapping[str, Kind]:
    """The arguments that are checked when a function is called."""
    found: Mapping[str, Kind] = getattr(function, _DECLARED, {})
    return found
