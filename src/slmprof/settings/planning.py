"""What is asked of `slmprof memory`: a model, and the settings to plan it with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..cores import MOST_THREADS, usable_cores
from ..errors import UsageError
from .capture import split_overrides

MAX = "max"
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
# Settings that may have several values: every combination is planned, the last one fastest.
GRID: tuple[str, ...] = (
    "file_type",
    "n_ctx",
    "n_seq_max",
    "n_batch",
    "n_ubatch",
    "n_outputs_max",
    "flash_attn",
    "type_k",
    "type_v",
    "swa_full",
    "mmap",
    "repack",
)
DEFAULT_N_CTX = 2048
_LEAST = {"n_ctx": 1, "n_batch": 1, "n_ubatch": 1, "n_seq_max": 1, "n_outputs_max": 0}
_MOST = 2**31 - 1
_MOST_SETTINGS = 10_000


@dataclass(frozen=True)
class Setting:
    """One combination; `n_ctx` may still be `max`; `swa_full` None is off, as in llama-bench."""

    file_type: str | None
    n_ctx: int | str
    n_seq_max: int
    n_batch: int
    n_ubatch: int
    n_outputs_max: int
    flash_attn: str
    type_k: str
    type_v: str
    swa_full: bool | None
    mmap: bool
    repack: bool


@dataclass(frozen=True)
class MemoryRequest:
    """The arguments of `plan_memory`. Those of `GRID` are tuples, each value once.

    Attributes:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        n_ctx: contexts in tokens, or `max` for the one that the model was trained for; None for
            2048. With `fit_bytes` the context that has to fit, or None.
        file_type: types to plan the model in, as llama-quantize names them, or `all`; none for the
            file as it is.
        n_outputs_max: the most tokens of a ubatch whose logits are asked for; 0 for all.
        swa_full: whether sliding-window layers keep a cache of the whole context; None for
            off, as llama-bench has it.
        threads: compute threads, which have a work buffer; None for all cores of this process.
        fit_bytes: find the largest context that takes no more than this.
        details: also what is alive at the peak of the compute buffer, and the effect of n_ubatch.
        tensors: also every weight and every tensor of a cache.

    Raises:
        UsageError: a setting that cannot be meant.
    """

    model: str
    n_ctx: tuple[int | str, ...] = None  # type: ignore[assignment]  # never None once it is made
    n_seq_max: tuple[int, ...] = (1,)
    n_batch: tuple[int, ...] = (2048,)
    n_ubatch: tuple[int, ...] = (512,)
    n_outputs_max: tuple[int, ...] = (0,)
    flash_attn: tuple[str, ...] = ("auto",)
    type_k: tuple[str, ...] = ("f16",)
    type_v: tuple[str, ...] = ("f16",)
    swa_full: tuple[bool | None, ...] = (None,)
    mmap: tuple[bool, ...] = (True,)
    repack: tuple[bool, ...] = (True,)
    file_type: tuple[str | None, ...] = (None,)
    threads: int | None = None
    override_tensor: tuple[str, ...] = ()
    fit_bytes: int | None = None
    details: bool = True
    tensors: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", os.fspath(self.model))
        object.__setattr__(self, "override_tensor", _texts(self.override_tensor))
        for name in GRID:
            object.__setattr__(self, name, self._values(name))
        if self.threads is not None:
            _check_int("threads", self.threads, 1, MOST_THREADS)
        if self.fit_bytes is not None:
            _check_int("fit", self.fit_bytes, 1, 2**63 - 1)
            if len(self.n_ctx) > 1:
                raise UsageError("with fit, n_ctx is the one context that has to fit")
        split_overrides(self.override_tensor)
        if self.n_settings > _MOST_SETTINGS:
            raise UsageError(
                f"{self.n_settings} combinations of settings are more than {_MOST_SETTINGS}"
            )

    def _values(self, name: str) -> tuple[Any, ...]:
        given = getattr(self, name)
        if name == "n_ctx" and given is None:
            return () if self.fit_bytes is not None else (DEFAULT_N_CTX,)
        is_one = isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
        values = (given,) if is_one else tuple(given)
        if not values and name == "n_ctx" and self.fit_bytes is not None:
            return ()
        if not values:
            raise UsageError(f"{name} has no value")
        for value in values:
            _check_value(name, value)
        return tuple(dict.fromkeys(values))

    @property
    def n_settings(self) -> int:
        """How many combinations there are."""
        n = 1
        for name in GRID:
            n *= max(len(getattr(self, name)), 1)
        return n

    @property
    def n_threads(self) -> int:
        """Compute threads, the default resolved."""
        return self.threads if self.threads is not None else usable_cores()

    @property
    def tensor_overrides(self) -> list[tuple[str, str]]:
        """The overrides as pairs of pattern and buffer type."""
        return split_overrides(self.override_tensor)

    def settings(self) -> Iterator[Setting]:
        """Every combination. With no n_ctx, which `fit_bytes` allows, it is `max`."""
        values = [getattr(self, name) or (MAX,) for name in GRID]
        for combination in itertools.product(*values):
            yield Setting(**dict(zip(GRID, combination, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MemoryRequest:
        """The inverse of `to_json`; takes single values for lists, too.

        Raises:
            UsageError: a setting that does not exist, or cannot be meant.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(f"no setting '{unknown[0]}'; there are {', '.join(sorted(known))}")
        return cls(**values)


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else tuple(value)
    for text in values:
        if not isinstance(text, str):
            raise UsageError(f"override_tensor is {text!r}, not PATTERN=BUFFER")
    return values


def _check_value(name: str, value: object) -> None:
    if name == "n_ctx" and value == MAX:
        return
    if name in _LEAST:
        _check_int(name, value, _LEAST[name], _MOST)
    elif name in ("mmap", "repack") or (name == "swa_full" and value is not None):
        if not isinstance(value, bool):
            raise UsageError(f"{name} is {value!r}, not true or false")
    elif name == "flash_attn":
        if value not in FLASH_ATTENTION:
            raise UsageError(f"flash_attn is {value!r}, not one of {', '.join(FLASH_ATTENTION)}")
    elif name in ("type_k", "type_v", "file_type"):
        is_text = isinstance(value, str) and value
        if not is_text and (name != "file_type" or value is not None):
            raise UsageError(f"{name} is {value!r}, not the name of a type")


def _check_int(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is {value!r}, not a whole number")
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; it must be between {least} and {most}")
