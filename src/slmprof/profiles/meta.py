"""What a profile says about itself: JSON objects whose known keys are there and rightly typed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import ProfileFormatError
from .ceilings import Ceilings
from .observations import Observation
from .vocabulary import enums

FORMAT = "slmprof-profile"
FORMAT_VERSION = 4

Json = dict[str, Any]

_NUMBER = (int, float)
_MAX_NUMBER = 2**63
# For each part: key -> the types a value may have. Every key may be null, except containers,
# which then become empty. Unknown keys are kept as they are.
_SCHEMA: dict[str, dict[str, tuple[type, ...]]] = {
    "slmprof": {"version": (str,), "llama_cpp": (dict,), "build": (dict,)},
    "environment": {
        "cpu": (str,),
        "n_cores": (int,),
        "memory_bytes": _NUMBER,
        "os": (str,),
        "governor": (str,),
        "warnings": (list,),
    },
    "model": {
        "name": (str,),
        "path": (str,),
        "architecture": (str,),
        "n_params": _NUMBER,
        "n_layer": (int,),
        "n_embd": (int,),
        "n_vocab": (int,),
        "file_type": (str,),
        "size_bytes": _NUMBER,
        "tensor_types": (dict,),
        "random_weights": (bool,),
    },
    "config": {},
    "run": {
        "created_at": (str,),
        "complete": (bool,),
        "n_repeats": (int,),
        "n_repeats_done": (int,),
        "warmup": (dict,),
        "n_dropped": (int,),
        "events": (str,),
        "error": (str,),
    },
    "memory": {
        "buffers": (list,),
        "predicted": (list,),
        "observations": (list,),
        "rss_peak_bytes": _NUMBER,
    },
    "ceilings": {},
}
_BUFFER: dict[str, tuple[type, ...]] = {
    "device": (str,),
    "buffer_type": (str,),
    "kind": (str,),
    "size_bytes": _NUMBER,
}


@dataclass(frozen=True)
class Meta:
    """The parts of `meta`, each a plain JSON object; see docs/profile-format.md for the keys."""

    slmprof: Json
    environment: Json
    model: Json
    config: Json
    run: Json
    memory: Json
    ceilings: Json

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Meta:
        """Takes the parts out of a JSON object. Known keys that are absent become null or empty.

        Raises:
            ProfileFormatError: a part or a known key has the wrong type.
        """
        checked = {f.name: _part(f.name, parts.get(f.name, {})) for f in fields(cls)}
        _check_memory(checked["memory"])
        warnings = checked["environment"]["warnings"]
        if not all(isinstance(warning, str) for warning in warnings):
            raise ProfileFormatError("environment.warnings of the profile is not a list of texts")
        for name, size in checked["model"]["tensor_types"].items():
            if not _is(size, _NUMBER):
                raise ProfileFormatError(f"model.tensor_types.{name} of the profile is no number")
        warmup = checked["run"]["warmup"]
        if not all(isinstance(entry, dict) for entry in warmup.values()):
            raise ProfileFormatError("run.warmup of the profile is not an object of objects")
        if checked["run"]["events"] not in (None, "all", "aggregate"):
            raise ProfileFormatError("run.events of the profile is neither 'all' nor 'aggregate'")
        if checked["ceilings"]:
            Ceilings.from_json(checked["ceilings"])
        return cls(**checked)

    def to_json(self) -> Json:
        """The parts as one JSON object, without numbers that JSON does not have."""
        return {f.name: finite(getattr(self, f.name)) for f in fields(self)}

    @property
    def observations(self) -> tuple[Observation, ...]:
        """What was seen of the process's memory, in the order of time."""
        return tuple(Observation.from_json(value) for value in self.memory["observations"])

    def replace_run(self, **values: Any) -> Meta:
        """The same with some keys of `run` exchanged."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        parts["run"] = {**self.run, **values}
        return Meta.from_json(parts)


def check_enums(value: Any) -> None:
    """Refuses a profile whose small integers mean something else.

    Enums that the file's version did not have yet may be absent.

    Raises:
        ProfileFormatError: `value` is neither absent nor names this version's values.
    """
    if value is None:
        return
    own = enums()
    if not isinstance(value, dict) or any(own.get(name) != texts for name, texts in value.items()):
        raise ProfileFormatError("the profile names its phases, passes or segments differently")


def finite(value: Any) -> Any:
    """A JSON value with every non-finite number replaced by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _check_memory(memory: Json) -> None:
    for name in ("buffers", "predicted"):
        memory[name] = [_checked(f"memory.{name}", row, _BUFFER) for row in memory[name]]
        for buffer in memory[name]:
            buffer["size_bytes"] = buffer["size_bytes"] or 0
    for observation in memory["observations"]:
        Observation.from_json(observation)


def _part(name: str, value: Any) -> Json:
    return _checked(name, value, _SCHEMA[name])


def _checked(where: str, value: Any, schema: Mapping[str, tuple[type, ...]]) -> Json:
    if not isinstance(value, Mapping):
        raise ProfileFormatError(f"{where} of the profile is not an object")
    result = dict(value)
    for key, types in schema.items():
        item = result.get(key)
        if item is None:
            container = types[0] if types[0] in (dict, list) else None
            result[key] = container() if container is not None else None
        elif not _is(item, types):
            raise ProfileFormatError(f"{where}.{key} of the profile has the wrong type")
    return result


def _is(value: Any, types: tuple[type, ...]) -> bool:
    # bool is an int in Python, but not in JSON.
    if isinstance(value, bool):
        return bool in types
    # JSON's numbers have no end; those of tables have. No comparison holds for what is no number.
    if isinstance(value, (int, float)) and not -_MAX_NUMBER < value < _MAX_NUMBER:
        return False
    return isinstance(value, types)
