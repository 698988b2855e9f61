"""The folder of a study: where each of its files stands, and how they are written and read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..errors import ProfileFormatError, UsageError
from ..input_file import read_input
from ..profiles.records.decoding import Record, decode
from ..profiles.writing import plain_name, reason, write_text
from ..quantization.quality.records import Quality
from ..quantization.records import QuantizationPlan
from .records import SCHEMA_VERSION, DossierFile

FILE_NAME = "dossier.json"
_MOST_BYTES = 256 << 20
_LONGEST_NAME = 100
_Record = TypeVar("_Record", bound=Record)


@dataclass(frozen=True)
class StudyFolder:
    """Where the files of a study stand."""

    path: Path

    def model(self, name: str) -> Path:
        """Of a model that was made."""
        return self._file("models", name, ".gguf")

    def plan(self, name: str) -> Path:
        """What its recipe made of each weight."""
        return self._file("plans", name, ".json")

    def quality(self, name: str) -> Path:
        return self._file("quality", name, ".json")

    def profile(self, name: str) -> Path:
        return self._file("profiles", name, ".slmprof")

    def _file(self, folder: str, name: str, suffix: str) -> Path:
        return self.path / folder / f"{plain(name)}{suffix}"

    def make(self) -> None:
        """Makes the folders. Raises UsageError where that cannot be."""
        try:
            for name in ("models", "plans", "quality", "profiles"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot write to the folder {self.path}: {reason(error)}") from None

    def read(self) -> DossierFile | None:
        """What the folder says of itself; None where it holds no dossier.

        Raises:
            ProfileFormatError: it is damaged, or of a newer version.
        """
        path = self.path / FILE_NAME
        if not path.exists():
            return None
        found = read_record(path, DossierFile)
        if found.schema_version > SCHEMA_VERSION:
            raise ProfileFormatError(f"{path} is of a newer slmprof")
        return found

    def write(self, about: DossierFile) -> None:
        """Says what the folder holds. Raises UsageError."""
        write_record(self.path / FILE_NAME, about)

    @property
    def has_results(self) -> bool:
        """Whether anything was measured."""
        return any(any((self.path / name).glob("*")) for name in ("quality", "profiles"))

    def clear(self) -> None:
        """Removes what was made for another question, of which nothing was measured yet."""
        for name in ("models", "plans"):
            for path in (self.path / name).glob("*"):
                if path.is_file():
                    path.unlink()

    def read_plan(self, name: str) -> QuantizationPlan:
        return read_record(self.plan(name), QuantizationPlan)

    def read_quality(self, name: str) -> Quality:
        return read_record(self.quality(name), Quality)


def plain(name: str) -> str:
    """A name as that of a file."""
    return plain_name(name, ".-+_")[:_LONGEST_NAME]


def distinct(names: Iterable[str]) -> list[str]:
    """The names, with a number behind those that would be a file's name twice."""
    made: list[str] = []
    for name in names:
        number, unique = 1, name
        while plain(unique).lower() in {plain(other).lower() for other in made}:
            number += 1
            unique = f"{name} ({number})"
        made.append(unique)
    return made


def write_record(path: Path, record: Record) -> None:
    """Writes a record as JSON, whole or not at all. Raises UsageError."""
    values: Any = msgspec.to_builtins(record)
    write_text(path, json.dumps(values, indent=1) + "\n")


def read_record(path: Path, kind: type[_Record]) -> _Record:
    """Reads what `write_record` has written.

    Raises:
        ProfileFormatError: it is missing or damaged.
    """
    try:
        return decode(kind, json.loads(read_input(path, _MOST_BYTES)))
    except (ProfileFormatError, ValueError, RecursionError) as error:
        raise ProfileFormatError(f"{path}: {reason(error)}") from None
