"""What a dossier says of itself, in the file that makes its folder one."""

from __future__ import annotations

from ..profiles.records.decoding import Json, Record
from ..quantization.modelled import ModelledDecode

SCHEMA_VERSION = 1


class Question(Record, frozen=True):
    """What a dossier answers: files in a folder belong to one question.

    Attributes:
        model: MODEL, as it was asked for.
        recipe: the settings of the subject's, files by their names alone.
        text: the name of the text's file.
        digests: sha256 of the content of the model, of the text and of the files that the recipe
            names, by the setting; of a scheme with what it includes.
        settings: those of `DossierSettings`.
    """

    model: str
    recipe: Json
    text: str
    digests: dict[str, str]
    settings: Json

    def differences(self, other: Question) -> list[str]:
        """What differs in another one that asks for something else; the model's path does not
        count."""
        mine, others = self.to_json(), other.to_json()
        return [name for name in ("recipe", "digests", "settings") if mine[name] != others[name]]


class Member(Record, frozen=True):
    """One of the models of a dossier.

    Attributes:
        name: in tables, and of its files.
        role: `subject`, `neighbour` or `reference`.
        is_timed: whether its speed is its own; not where a file holds the values that a scheme
            gives back, as floats.
        modelled: of one that is not timed, where the bandwidth is known.
    """

    name: str
    role: str
    is_timed: bool
    modelled: ModelledDecode | None = None


class DossierFile(Record, frozen=True):
    """`dossier.json`: what was asked, of which models it tells, and what made it."""

    schema_version: int
    slmprof: str
    question: Question
    members: tuple[Member, ...] = ()
