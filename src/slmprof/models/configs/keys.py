"""The keys of a configuration, checked when read; what nobody reads is known afterwards."""

from __future__ import annotations

import fnmatch
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeGuard

from ...errors import ModelError
from ...settings.dimensions import MAX_DIMENSION
from ...settings.model_source import MOST_QUOTED, shorten

# Of a value that is quoted; files hold texts and lists of any length.
_QUOTED = reprlib.Repr()
_QUOTED.maxstring = _QUOTED.maxother = _QUOTED.maxlong = MOST_QUOTED
_QUOTED.maxlevel = 1

_MOST_KEYS = 4096  # configurations have some dozens

_MAX_REAL = 1e30  # excludes NaN and infinity too, which JSON as Python reads it may hold

# What says nothing of a model's shapes: who wrote the file, how it was trained, its tokens.
_NO_MATTER = (
    "architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_*", "auto_map",
    "*_token_id", "*_token_ids", "*_token_index", "*_dropout", "*_pdrop", "dropout*",
    "*dropout_prob", "initializer_*", "init_*", "use_cache", "*use_return_dict",
    "output_attentions", "output_hidden_states", "hidden_act*", "activation_function",
    "gradient_checkpointing", "pretraining_tp", "task_specific_params", "summary_*", "time_step_*",
    "residual_in_fp32", "rescale_*", "use_mambapy", "use_associative_scan", "chunk_size",
    "query_pre_attn_scalar", "cache_implementation", "tokenizer_class", "mm_tokens_per_image",
    "vocab_file", "fused_add_norm", "norm_before_gate", "rms_norm", "pad_vocab_size_multiple",
    "is_llama_config", "attention_softmax_in_fp32", "softmax_in_fp32", "bias_dropout_fusion",
    "masked_softmax_fusion", "skip_bias_add", "offset_alibi", "scale_attn_weights", "bf16", "fp16",
    "fp32", "onnx_safe", "use_flash_attn", "use_logn_attn", "use_dynamic_ntk", "no_bias",
    "kv_channels",
)  # fmt: skip


def quoted(value: object) -> str:
    """A value for a message, of a length that can be read."""
    return shorten(_QUOTED.repr(value))


def is_number(value: object) -> TypeGuard[float]:
    """Whether a float32 of a GGUF file can hold it."""
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MAX_REAL
    )


class Keys:
    """The keys of a configuration, or of a part of it.

    Attributes:
        path: of the file, for messages.
        values: the keys.
        where: the part, with a dot behind it; empty for the whole.

    Raises:
        ModelError: there are more keys than any model needs.
    """

    def __init__(self, path: Path, values: dict[str, Any], where: str = "") -> None:
        self.path, self.values, self.where = path, values, where
        self._read: set[str] = set()
        self._refused: set[str] = set()
        self._parts: list[Keys] = []
        if len(values) > _MOST_KEYS:
            what = f"key {where[:-1]!r}" if where else "it"
            raise self.error(
                f"{what} has {len(values)} keys; a configuration may have at most {_MOST_KEYS}"
            )

    def error(self, message: str) -> ModelError:
        return ModelError(f"{self.path}: {message}")

    def find(self, *keys: str) -> Any:
        """The first of the keys that is there and not null, else None."""
        self._read.update(keys)
        return next((self.values[k] for k in keys if self.values.get(k) is not None), None)

    def whole(self, *keys: str, default: int | None = None) -> int:
        def is_whole(value: Any) -> bool:
            return is_number(value) and 0 <= value <= MAX_DIMENSION and int(value) == value

        return int(self._checked(keys, default, is_whole, "a whole number in range"))

    def real(self, *keys: str, default: float) -> float:
        return float(self._checked(keys, default, is_number, "a number"))

    def flag(self, *keys: str, default: bool) -> bool:
        return bool(
            self._checked(keys, default, lambda value: isinstance(value, bool), "true or false")
        )

    def _checked(
        self, keys: tuple[str, ...], default: Any, fits: Callable[[Any], bool], what: str
    ) -> Any:
        value = self.find(*keys)
        name = f"{self.where}{keys[0]}"
        if value is None and default is None:
            raise self.error(f"key {name!r} is missing")
        if value is not None and not fits(value):
            raise self.error(f"key {name!r} must be {what}, not {quoted(value)}")
        return default if value is None else value

    def reals(self, key: str, length: int) -> list[float]:
        return [float(x) for x in self._listed(key, length, is_number, "numbers")]

    def words(self, key: str, length: int) -> list[str] | None:
        """A text for each of `length` layers; None where the key is not there."""
        if self.find(key) is None:
            return None
        return self._listed(key, length, lambda x: isinstance(x, str), "words")

    def _listed(self, key: str, length: int, fits: Callable[[Any], bool], what: str) -> list[Any]:
        value = self.find(key)
        if not isinstance(value, list) or len(value) != length or not all(map(fits, value)):
            raise self.error(f"key {self.where + key!r} must list {length} {what}")
        return value

    def part(self, key: str) -> Keys:
        """The keys of an object within; none where there is no such object."""
        value = self.find(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(f"key {self.where + key!r} must be an object, not {quoted(value)}")
        part = Keys(self.path, value or {}, f"{self.where}{key}.")
        self._parts.append(part)
        return part

    def told(self, value: int, *keys: str) -> str:
        """A value, by the first of the keys that is there, and where it came from if none is."""
        key = next((k for k in keys if self.values.get(k) is not None), None)
        how = "" if key is not None else ", the default of its class"
        return f"{self.where}{key or keys[0]} ({value}{how})"

    def refuse(self, key: str) -> None:
        """Says of a key that was read that nothing can follow from its value."""
        self._refused.add(key)

    @property
    def ignored(self) -> list[str]:
        """Keys that say something and that nothing follows from, in the order of the file."""
        found = [
            f"{self.where}{key}"
            for key, value in self.values.items()
            if key in self._refused or (key not in self._read and _says_something(key, value))
        ]
        return [*found, *(name for part in self._parts for name in part.ignored)]


def _says_something(key: str, value: Any) -> bool:
    is_empty = value is None or value is False or value in ("", [], {})
    return not is_empty and not any(fnmatch.fnmatchcase(key, known) for known in _NO_MATTER)
