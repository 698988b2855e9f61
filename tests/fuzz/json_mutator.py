"""Changes to JSON that know its structure: configurations, ceilings, the meta data of profiles."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from random import Random
from typing import Any

from odd_values import cut, flip_bytes, odd_float, odd_text, odd_whole

_Path = tuple[Any, ...]
_ODD = (
    None, True, False, 0, 1, -1, 1.5, 1e308, -0.0, 2**31, 2**63, 2**64, -(2**70), 10**400,
)  # fmt: skip


def mutate_value(value: Any, rng: Random, keys: Sequence[str] = ()) -> tuple[Any, list[str]]:
    """A changed copy of a JSON value, and what was done to it.

    Args:
        keys: that somebody may read, to be added.
    """
    changed = copy.deepcopy(value)
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        changed, name = _change(changed, rng, keys)
        names.append(name)
    return changed, names


def mutate_json(text: bytes, rng: Random, keys: Sequence[str] = ()) -> tuple[bytes, list[str]]:
    """A changed file of JSON, and what was done to it."""
    if rng.random() < 0.15:
        return _change_text(text, rng)
    try:
        value, names = mutate_value(json.loads(text), rng, keys)
        changed = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    except (ValueError, RecursionError):  # no JSON, or deeper than Python goes
        return flip_bytes(text, rng), ["flip_bytes"]
    return changed.encode("utf-8", "surrogatepass"), names


def odd_json(rng: Random, near: Any = None) -> Any:
    """A value of some kind, often near another one."""
    if isinstance(near, bool) or near is None:
        near = rng.choice((None, 1, "text"))
    way = rng.random()
    if isinstance(near, int) and way < 0.6:
        return odd_whole(rng, near)
    if isinstance(near, float) and way < 0.6:
        return odd_float(rng, near)
    if isinstance(near, str) and way < 0.6:
        return rng.choice((near.upper(), near + "x", near[:1], _odd_string(rng)))
    texts = "", "auto", "0", _odd_string(rng)
    return rng.choice((*_ODD, *texts, [], {}, [None], [1, "a"], {"a": 1}, [[1], [2]]))


def _change(root: Any, rng: Random, keys: Sequence[str]) -> tuple[Any, str]:
    path = rng.choice(list(_paths(root)))
    if not path:
        if isinstance(root, dict) and keys and rng.random() < 0.8:
            root[rng.choice(keys)] = odd_json(rng)
            return root, "add_key"
        return (odd_json(rng, root), "other_root") if rng.random() < 0.2 else (root, "nothing")
    holder = root
    for step in path[:-1]:
        holder = holder[step]
    at = path[-1]
    way = rng.randrange(10)
    if way < 6:
        holder[at] = odd_json(rng, holder[at])
        return root, "other_value"
    if way == 6:
        del holder[at]
        return root, "drop"
    if way == 7:
        holder[at] = rng.choice(([holder[at]], {"value": holder[at]}, [holder[at]] * 3))
        return root, "wrap"
    if way == 8 and isinstance(holder, dict):
        holder[_odd_string(rng)] = holder.pop(at)
        return root, "rename_key"
    if isinstance(holder, list):
        some = holder[at]
        holder[at:at] = [copy.deepcopy(some) for _ in range(rng.choice((1, 2, 2000)))]
        return root, "repeat"
    holder[at] = odd_json(rng)
    return root, "other_value"


def _paths(value: Any, path: _Path = ()) -> list[_Path]:
    """The place of each value, but of no more than some of a long list."""
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += _paths(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:50]):
            found += _paths(item, (*path, number))
    return found


def _change_text(text: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """What no JSON value can say: of the text itself."""
    way = rng.randrange(9)
    opened = text.rstrip()[:-1]
    if way == 0:
        return flip_bytes(text, rng), ["flip_bytes"]
    if way == 1:
        return cut(text, rng), ["cut"]
    if way == 2:
        depth = rng.choice((500, 100_000))
        return b'{"a":' * depth + b"1" + b"}" * depth, ["deep"]
    if way == 3:
        return opened + b', "a": ' + rng.choice((b"NaN", b"-Infinity", b"1e999")) + b"}", ["nan"]
    if way == 4:
        digits = b"9" * rng.choice((300, 500, 5000))
        return opened + b', "hidden_size": ' + digits + b"}", ["digits"]
    if way == 5:
        return b"\xef\xbb\xbf" + text, ["mark_of_order"]
    if way == 6:
        return text.decode("utf-8", "replace").encode("utf-16"), ["utf_16"]
    if way == 7:
        return opened + b"," + text.lstrip()[1:], ["keys_twice"]
    return text + rng.choice((b"\0", b"{}", b"]", b" " * 10_000)), ["more"]


def _odd_string(rng: Random) -> str:
    text = odd_text(rng).decode("utf-8", "replace")
    return text + "\ud800" if rng.random() < 0.05 else text
