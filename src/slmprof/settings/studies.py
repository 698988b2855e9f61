"""What a study of quantization is asked: a dossier of a scheme, and advice on a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .kinds import Bytes, File, Number, Several, Switch, Text, Whole
from .scheme_place import SchemePlace
from .scoring import TextSettings
from .table import FIT, RECIPE, RUN, SCORING, setting

_TYPE = Text("TYPE", "the name of a type")


@dataclass(frozen=True)
class StudySettings(TextSettings):
    """How the models of a study are scored and timed.

    Attributes:
        n_prompt, n_gen: tokens of a timed run.
        repeats, processes: of the timed runs of each model, which take turns.
        cost_chunks: so many of the first chunks of the text for what each weight costs.
    """

    n_prompt: int = setting(Whole(), 50, "tokens of the prompt", group=RUN)
    n_gen: int = setting(Whole(), 50, "tokens to generate", group=RUN)
    repeats: int = setting(Whole(), 5, "of every pass", group=RUN)
    processes: int = setting(Whole(), 5, "worker processes of each model, in turns", group=RUN)
    cost_chunks: int = setting(
        Whole(), 2, "the first so many for what each weight costs", group=SCORING
    )

    def scoring(self, **more: Any) -> dict[str, Any]:
        """The part that quality is measured with, by the names of `QualitySettings`."""
        return {
            "n_ctx": self.n_ctx, "chunks": self.chunks, "threads": self.threads,
            "force": self.force, **more,
        }  # fmt: skip

    def timing(self) -> dict[str, Any]:
        """The part that models are timed with, by the names of `CaptureConfig`."""
        return {
            "n_prompt": self.n_prompt, "n_gen": self.n_gen, "repeats": self.repeats,
            "processes": self.processes, "threads": self.threads, "force": self.force,
            "ceilings": "auto",
        }  # fmt: skip


@dataclass(frozen=True)
class DossierSettings(StudySettings):
    """What a dossier is made with, but for its recipe.

    Attributes:
        against: file types (`Q4_K_M`), the neighbours.
        costs: also what each weight costs, one at a time.
    """

    against: tuple[str, ...] = setting(
        Several(_TYPE), ("Q8_0", "Q4_K_M", "Q4_0", "Q2_K"), "file types to compare with",
        "Q8_0,Q4_K_M,Q4_0,Q2_K", group=RECIPE,
    )  # fmt: skip
    costs: bool = setting(
        Switch(), False, "also what each weight costs: nats and milliseconds", group=SCORING
    )


@dataclass(frozen=True)
class AdviceSettings(StudySettings):
    """What recipes are looked for.

    Attributes:
        types: file types whose own tensor type each weight may get.
        scheme: `FILE.c:NAME` of a scheme with kernels that weights may get, too.
        imatrix: a file of importances (GGUF).
        fit_bytes: the most bytes that all weights may take.
        decode_ms: the most milliseconds of a token.
        max_kld: the largest mean divergence from the model, in nats.
    """

    types: tuple[str, ...] = setting(
        Several(_TYPE), ("Q8_0", "Q6_K", "Q5_0", "Q4_K", "Q4_0"), "file types to choose from",
        "Q8_0,Q6_K,Q5_0,Q4_K,Q4_0", group=RECIPE,
    )  # fmt: skip
    scheme: str | None = setting(
        SchemePlace(), None, "a scheme with kernels to choose from", group=RECIPE,
    )  # fmt: skip
    imatrix: str | None = setting(File(), None, "importance matrix (GGUF)", group=RECIPE)
    fit_bytes: int | None = setting(
        Bytes(), None, "the most that all weights may take", "any", group=FIT, option="--fit"
    )
    decode_ms: float | None = setting(
        Number("MS"), None, "the most milliseconds of a token", "any", group=FIT
    )
    max_kld: float | None = setting(
        Number("NATS"), None, "the largest mean divergence from the model", "any", group=FIT
    )
