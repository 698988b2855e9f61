"""Advice on a recipe, as it is told: proposals that were measured, and what there was to choose
from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..profiles.records.decoding import Json
from ..profiles.writing import write_text
from ..quantization.records import QuantizationPlan
from ..settings.recipe import Recipe
from .choices import Choice, Limits
from .figures import Figures

SCHEMA_VERSION = 1
COLUMNS: dict[str, str] = {
    "name": "string", "role": "string", "meets": "boolean", "size_bytes": "int64",
    "decode_ms": "float64", "kld": "float64", "kld_error": "float64", "perplexity": "float64",
    "predicted_bytes": "float64", "predicted_ms": "float64", "predicted_kld": "float64",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Proposal:
    """A recipe that was made and measured.

    Attributes:
        recipe: what `quant make` makes the model with.
        plan: what it makes of each weight.
        predicted: of the whole model.
        measured: the same as it was.
        meets: whether the measured figures are within the limits.
    """

    recipe: Recipe
    plan: QuantizationPlan
    predicted: Choice
    measured: Figures
    meets: bool

    @property
    def types(self) -> dict[str, dict[str, int]]:
        """How many weights of each role have which type."""
        found: dict[str, Counter[str]] = {}
        for one in self.plan.tensors:
            if one.is_quantizable:
                found.setdefault(one.role, Counter())[one.type] += 1
        return {role: dict(of) for role, of in found.items()}


@dataclass(frozen=True, eq=False)
class Advice:
    """What was found.

    Attributes:
        model: as it was asked for.
        limits: what was asked of the whole model.
        types: the model in each of the types alone, and as it is: what there was to choose from.
        proposals: those that meet the limits first.
        n_tokens: of the text, that quality was measured with.
        notes: what a reader has to know.
    """

    model: str
    limits: Limits
    types: tuple[Figures, ...]
    proposals: tuple[Proposal, ...]
    n_tokens: int
    notes: tuple[str, ...] = ()

    def rows(self) -> list[Json]:
        """One for each proposal, type, and the model as it is, in `COLUMNS`."""
        made = []
        for one in self.proposals:
            of = one.predicted
            figures: dict[str, Any] = {"predicted_bytes": of.size_bytes, "predicted_ms": of.ms}
            made.append({**one.measured.to_json(), **figures, "predicted_kld": of.nats,
                         "meets": one.meets})  # fmt: skip
        made += [one.to_json() for one in self.types]
        return [{name: row.get(name) for name in COLUMNS} for row in made]

    def frame(self) -> Any:
        """The rows as a pandas.DataFrame."""
        from ..analysis.tables.typed import typed_table

        return typed_table(self.rows(), COLUMNS)

    def to_json(self) -> Json:
        """As `quant advise --format json` prints it."""
        size_bytes, ms, nats = self.limits.of_values()
        recipes = {one.measured.name: one.recipe.to_json() for one in self.proposals}
        types = {one.measured.name: one.types for one in self.proposals}
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "limits": {"fit_bytes": size_bytes, "decode_ms": ms, "max_kld": nats},
            "n_tokens": self.n_tokens,
            "models": self.rows(),
            "recipes": recipes,
            "types": types,
            "notes": list(self.notes),
        }


def save_recipes(advice: Advice, folder: Path) -> list[Path]:
    """Writes the patterns of each proposal as `--tensor-type-file` reads them.

    Raises:
        UsageError: a file cannot be written there.
    """
    from ..capture.sweep import open_folder

    open_folder(folder)
    paths = []
    for one in advice.proposals:
        paths.append(folder / f"{one.measured.name.replace(' ', '-')}.txt")
        write_text(paths[-1], "\n".join(one.recipe.tensor_type) + "\n")
    return paths
