"""Where a model comes from: a MODEL as a user writes it, parsed once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ModelError, UsageError
from .kinds import Kind, can_be_path, path_text, shown
from .scheme_place import is_scheme_file

if TYPE_CHECKING:
    from .dimensions import Dimensions

FILE, PRESET, CONFIG, DIMENSIONS = "file", "preset", "config", "dimensions"
_PREFIX = "preset:"
FORMS = (
    "a GGUF file, preset:NAME or preset:NAME@TYPE, or a Hugging Face config.json; with "
    "@FILE.c:NAME behind it its weights in a quantization scheme of yours"
)
# What weights of a synthesised model are before a scheme takes them, where nothing else is asked.
FLOATS = "F16"

# Of a text of a file, and of the keys of one, in a message.
MOST_QUOTED = 60
_MOST_KEYS = 20


@dataclass(frozen=True)
class ModelSource:
    """A model's source. Nothing of it was read yet.

    Attributes:
        text: MODEL as it was written.
        kind: `file` (GGUF), `preset`, `config` (a Hugging Face `config.json`) or `dimensions`.
        name: the preset's name, or the path of the file.
        file_type: what stands behind the `@` of a preset or configuration; None where nothing does.
        dimensions: of a model that is described by them alone.
        scheme: the place of the quantization scheme that packs its weights, or has packed them.
    """

    text: str
    kind: str
    name: str
    file_type: str | None = None
    dimensions: Dimensions | None = None
    scheme: str | None = None

    @classmethod
    def parse(cls, model: ModelText) -> ModelSource:
        """What a MODEL means; one that is parsed already is returned as it is.

        Raises:
            UsageError: it is neither a text nor a path.
            ModelError: it is empty, or names no preset or no type where one must stand.
        """
        if isinstance(model, ModelSource):
            return model
        try:
            text = ModelName().check(model)
        except ValueError as error:
            raise UsageError(f"model: {error}") from None
        if not text:
            raise ModelError(f"MODEL is empty; name {FORMS}")
        before, scheme = _split_scheme(text)
        if scheme is not None and not Path(text).exists():
            bare = cls.parse(before)
            if bare.scheme is not None:
                raise ModelError(f"{text!r} names two schemes; a model has one")
            file_type = bare.file_type or (FLOATS if bare.is_synthesised else None)
            return replace(bare, text=text, file_type=file_type, scheme=scheme)
        if text.lower().startswith(_PREFIX):
            source = cls._typed(text, PRESET, *text[len(_PREFIX) :].rpartition("@"))
            if not source.name:
                raise ModelError(f"{text!r} names no preset; `slmprof synth --list` shows them")
            return source
        if text.lower().endswith(".json"):
            return cls(text, CONFIG, text)
        before, at, file_type = text.rpartition("@")
        if at and before.lower().endswith(".json") and not Path(text).exists():
            return cls._typed(text, CONFIG, before, at, file_type)
        return cls(text, FILE, text)

    @classmethod
    def described(cls, source: Source) -> ModelSource:
        """What a model is synthesised from: as `parse`, but a preset needs no `preset:`.

        Raises:
            ModelError: as `parse`.
        """
        from .dimensions import Dimensions  # which takes time to load, and few need

        if isinstance(source, Dimensions):
            return cls(source.name, DIMENSIONS, source.name, dimensions=source)
        found = cls.parse(source)
        return found if found.is_synthesised else cls.parse(f"{_PREFIX}{found.text}")

    @classmethod
    def _typed(cls, text: str, kind: str, before: str, at: str, after: str) -> ModelSource:
        if not at:
            return cls(text, kind, after)
        if not after:
            raise ModelError(
                f"{text!r} names no type behind its @; write {text}Q8_0 or leave out the @"
            )
        return cls(text, kind, before, after)

    @property
    def is_synthesised(self) -> bool:
        """Whether the weights are random."""
        return self.kind != FILE

    @property
    def path(self) -> Path:
        """Of a file or a configuration."""
        return Path(self.name)

    @property
    def bare(self) -> ModelSource:
        """The same model without its scheme."""
        if self.scheme is None:
            return self
        return replace(self, text=self.text[: -len(self.scheme) - 1], scheme=None)

    def refuse_scheme(self) -> ModelSource:
        """Itself, where a model is meant that no scheme has packed. Raises ModelError."""
        if self.scheme is not None:
            raise ModelError(
                f"{self.text!r} names a scheme, which goes with a model that runs or is planned; "
                "`quant dry-run` and `quant make` take it by --scheme"
            )
        return self

    @property
    def absolute(self) -> str:
        """MODEL as it is understood from any folder, where it is no configuration."""
        bare = self.bare.text if self.is_synthesised else str(self.path.absolute())
        if self.scheme is None:
            return bare
        file, _, name = self.scheme.rpartition(":")
        return f"{bare}@{Path(file).absolute()}:{name}"

    @property
    def short_name(self) -> str:
        """The beginning of a file's name: `qwen2-0.5b-Q8_0` for `preset:qwen2-0.5b@Q8_0`."""
        path = self.path
        name = path.name
        if self.kind in (FILE, CONFIG) and path.suffix.lower() in (".gguf", ".json"):
            # Each model of the Hugging Face hub has a folder with a `config.json`.
            name = path.absolute().parent.name if path.name == "config.json" else path.stem
        if self.scheme is not None:
            return f"{name}-{self.scheme.rpartition(':')[2]}"
        return f"{name}-{self.file_type}" if self.file_type else name


class ModelName(Kind):
    """A MODEL as a user writes it; it becomes text. Whether it means something is not looked at."""

    metavar = "MODEL"

    def check(self, value: Any) -> str:
        text = path_text(value)
        if text is None:
            raise ValueError(
                f"{shown(value)} is no MODEL; give a path as text or pathlib.Path, or preset:NAME"
            )
        if not can_be_path(text):
            raise ValueError(f"{shown(text)} is no MODEL: no file can have such a name")
        return text


def _split_scheme(text: str) -> tuple[str, str | None]:
    """A MODEL and the scheme behind it. Its folders may have an @ in their names, too."""
    found = [i for i, c in enumerate(text) if c == "@" and is_scheme_file(text[i + 1 :])]
    for at in found:
        if Path(text[at + 1 :].rpartition(":")[0]).is_file():
            return text[:at], text[at + 1 :]
    return (text[: found[-1]], text[found[-1] + 1 :]) if found else (text, None)


def ignored_note(keys: Sequence[str], file_type: str | None) -> str:
    """What a reader must know of keys of a `config.json` that nothing follows from.

    Args:
        file_type: of the weights that were made.
    """
    weights = f" (weights are {file_type or 'of the default type'}; give @TYPE for another)"
    named = [
        f"{shorten(key)}{weights if key.endswith('quantization_config') else ''}"
        for key in keys[:_MOST_KEYS]
    ]
    if len(keys) > _MOST_KEYS:
        named.append(f"and {len(keys) - _MOST_KEYS} more")
    return f"config.json: ignored {', '.join(named)}"


def shorten(text: str) -> str:
    """A text of a file as a message may hold it: at most `MOST_QUOTED` characters."""
    return text if len(text) <= MOST_QUOTED else f"{text[: MOST_QUOTED - 3]}..."


ModelText: TypeAlias = str | os.PathLike[str] | ModelSource
Source: TypeAlias = "ModelText | Dimensions"
