"""JSON as typed records: decoded and checked in one place, at the edge."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from ...errors import ProfileFormatError

Json = dict[str, Any]
# JSON's numbers have no end; those of tables have.
Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e300)]

# Characters of a text. Wrapping a longer one takes time that grows with its square.
MOST_TEXT = 2**14

_Kind = TypeVar("_Kind")
_Record = TypeVar("_Record", bound="Record")
# msgspec looks at the fields of a record when it first meets it. Another thread that decodes the
# same meanwhile would find them half done, and crash.
_first_time = [threading.RLock()]
_met: set[object] = set()
if hasattr(os, "register_at_fork"):
    # Who holds it when a process is forked is not there to let it go.
    os.register_at_fork(after_in_child=lambda: _first_time.append(threading.RLock()))
_MISSING = re.compile(r"Object missing required field `(\w+)`")


class Record(msgspec.Struct, frozen=True):
    """A record of typed fields, which JSON holds as an object with the same keys."""

    def to_json(self) -> Json:
        """The fields as plain values; what was decoded from it is equal."""
        values: Json = finite(msgspec.to_builtins(self))
        return values

    def replace(self: _Record, **values: Any) -> _Record:
        """The same with some fields exchanged."""
        return msgspec.structs.replace(self, **values)


def decode(kind: type[_Kind], value: object, where: str = "") -> _Kind:
    """A plain JSON value as a record. Keys that the record does not have are dropped.

    Args:
        kind: the record, or a container of records.
        where: what the value is a part of, for the message.

    Raises:
        ProfileFormatError: a value is missing, of another type or out of range (names its key), or
            a text is too long.
    """
    try:
        return _convert(_printable(value), kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        keys = [where, *re.sub(r"\[.*?\]", "", path.rstrip("`")).split(".")]
        if missing := _MISSING.match(reason):
            keys.append(missing[1])
            reason = "is missing"
        elif reason.startswith("Expected"):
            reason = f"has a wrong value: e{reason[1:]}"
        else:
            # Other reasons quote the value, which may be anything.
            reason = "has an impossible value"
        raise ProfileFormatError(f"{'.'.join(filter(None, keys)) or 'it'} {reason}") from None
    except RecursionError:
        raise ProfileFormatError(f"{where or 'it'} is nested too deeply") from None


def _convert(value: Any, kind: type[_Kind]) -> _Kind:
    if kind in _met:
        return msgspec.convert(value, kind)
    with _first_time[-1]:
        found = msgspec.convert(value, kind)
        _met.add(kind)
        return found


def finite(value: Any) -> Any:
    """A JSON value with every non-finite number replaced by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _printable(value: Any) -> Any:
    """The value without halves of surrogate pairs, which JSON may hold and no output can print;
    no text of it is longer than any may be."""
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            raise ProfileFormatError(
                f"a text of {len(value)} characters is longer than any may be ({MOST_TEXT})"
            )
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, (list, tuple)) else value
