"""A `config.json`: the dimensions that it gives, and which of its keys nothing follows from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError
from ...input_file import open_input
from ...settings.dimensions import Dimensions
from . import families, mamba, windowed
from .keys import Keys, quoted

_MOST_DIGITS = 400  # more than a float can hold
_MAX_CONFIG_BYTES = 16 * 2**20  # configurations are a few kB; refuses a model file named .json

# By the class that wrote the file, and by `model_type` for files that name no class.
_READERS: dict[str, Callable[[Keys], Dimensions]] = {
    name: reader
    for names, reader in (
        ("LlamaForCausalLM llama", families.llama),
        ("MistralForCausalLM mistral", families.llama),
        ("MixtralForCausalLM mixtral", families.llama),
        ("QWenLMHeadModel qwen", families.qwen),
        ("Qwen2ForCausalLM qwen2", families.qwen2),
        ("Qwen3ForCausalLM Qwen3Model qwen3", windowed.qwen3),
        ("GemmaForCausalLM gemma", families.gemma),
        ("Gemma2ForCausalLM gemma2", families.gemma2),
        ("Gemma3ForCausalLM Gemma3TextModel gemma3_text", windowed.gemma3),
        ("Gemma3ForConditionalGeneration gemma3", windowed.gemma3),
        ("PhiForCausalLM phi", families.phi2),
        ("Phi3ForCausalLM phi3", families.phi3),
        ("GPTNeoXForCausalLM gpt_neox", families.gptneox),
        ("BloomForCausalLM BloomModel bloom", families.bloom),
        ("GPT2LMHeadModel gpt2", families.gpt2),
        ("StableLmForCausalLM StableLMEpochForCausalLM stablelm", families.stablelm),
        ("OpenELMForCausalLM openelm", families.openelm),
        ("OlmoForCausalLM olmo", families.olmo),
        ("MiniCPMForCausalLM minicpm", families.minicpm),
        ("MambaForCausalLM MambaModel mamba", mamba.mamba),
        ("Mamba2ForCausalLM Mamba2Model mamba2", mamba.mamba2),
    )
    for name in names.split()
}


@dataclass(frozen=True)
class ConfigFile:
    """What a configuration gives.

    Attributes:
        dimensions: of the model.
        ignored: keys that say something of the model which nothing here follows from, such as how
            its weights were quantized.
    """

    dimensions: Dimensions
    ignored: tuple[str, ...]


def read_config(path: Path) -> ConfigFile:
    """What a `config.json` gives. Raises ModelError, naming file and cause."""
    values = _load(path)
    if not isinstance(values, dict):
        raise ModelError(f"{path} is not a model configuration: it holds no JSON object")
    keys = Keys(path, values)
    classes = values.get("architectures")
    named = classes[0] if isinstance(classes, list) and classes else None
    kinds = [kind for kind in (named, values.get("model_type")) if isinstance(kind, str)]
    if not kinds:
        raise keys.error("neither 'architectures' nor 'model_type' says what the model is")
    # A class for another use of a known model (`…ForSequenceClassification`) is known by its type.
    key = next((kind for kind in kinds if kind in _READERS), kinds[0])
    reader = _READERS.get(key)
    if key != kinds[0]:
        keys.refuse("architectures")
    if reader is None:
        supported = ", ".join(sorted(k for k in _READERS if k[0].isupper()))
        raise keys.error(f"cannot synthesise {quoted(key)}; supported are {supported}")
    try:
        return ConfigFile(reader(keys), tuple(keys.ignored))
    except ModelError as error:
        message = str(error)
        raise ModelError(message if str(path) in message else f"{path}: {message}") from None


def _load(path: Path) -> Any:
    try:
        with open_input(path) as file:
            content = file.read(_MAX_CONFIG_BYTES + 1)
        if len(content) > _MAX_CONFIG_BYTES:
            raise ModelError(f"{path} is too large for a config.json")
        text = content.decode("utf-8")
        return json.loads(text, object_pairs_hook=_as_object, parse_int=_as_whole)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except _UnclearError as error:
        raise ModelError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error


class _UnclearError(ValueError):
    """JSON that can be read, and says nothing that a model could be made of."""


def _as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, each of whose keys may stand once: none says which of two counts."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _UnclearError(f"key {quoted(key)} is there twice; leave one of them")
        values[key] = value
    return values


def _as_whole(digits: str) -> int:
    if (n_digits := len(digits.lstrip("-"))) > _MOST_DIGITS:
        raise _UnclearError(f"a whole number has {n_digits} digits, which no model needs")
    return int(digits)
