"""Where the models of a study are made and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..children.protocol import OnProgress
from ..quantization.quality.records import Quality
from ..settings.recipe import Recipe
from ..settings.scoring import QualitySettings
from ..settings.studies import AdviceSettings
from ..views import Profile
from .figures import Figures, figures_of
from .folder import StudyFolder
from .members import MadeModel, made_model, scored, timed


@dataclass(frozen=True, eq=False)
class Measured:
    """A model, its quality and its profile."""

    made: MadeModel
    quality: Quality
    profile: Profile

    @property
    def decode_ms(self) -> float | None:
        """Milliseconds of a token; None where it was not timed."""
        return self.figures(self.made.name).decode_ms

    def figures(self, role: str) -> Figures:
        return figures_of(self.made.name, role, self.made.plan, self.quality, self.profile, None)


@dataclass(frozen=True)
class Bench:
    """Where models are made and measured."""

    model: str
    text: Path
    settings: AdviceSettings
    folder: StudyFolder
    on_progress: OnProgress

    def make(self, name: str, recipe: Recipe) -> MadeModel:
        threads = self.settings.threads
        return made_model(self.model, name, recipe, self.folder, threads, self.on_progress)

    def score(self, made: MadeModel, *, costs: bool = False) -> Quality:
        """Its quality, and with `costs` what each weight costs."""
        settings = self.settings.scoring(costs=costs, cost_chunks=self.settings.cost_chunks)
        quality = QualitySettings.of(**settings)
        return scored(made, self.model, self.text, quality, self.folder, self.on_progress)

    def measure(
        self, models: Sequence[MadeModel], costs_of: frozenset[str] = frozenset()
    ) -> list[Measured]:
        """Each scored, some with what each weight costs, and all timed in turns."""
        found = [self.score(one, costs=one.name in costs_of) for one in models]
        profiles = timed(models, self.settings.timing(), self.folder, self.on_progress)
        return [
            Measured(one, quality, profiles[one.name])
            for one, quality in zip(models, found, strict=True)
        ]
