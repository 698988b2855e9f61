"""A dossier: what a recipe or a scheme is worth beside its neighbours, in size, quality and time.

Everything that it tells comes from the files that it leaves in its folder.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis.comparison.comparison import Comparison
from ..capture.comparison import compared
from ..children.protocol import OnProgress
from ..errors import ProfileFormatError, UsageError
from ..input_file import digest_inputs
from ..models.parts import model_parts
from ..profiles.records.decoding import Json
from ..profiles.writing import reason
from ..quantization.modelled import modelled_decode
from ..quantization.quality.records import Quality
from ..quantization.records import QuantizationPlan
from ..settings.model_source import ModelSource
from ..settings.recipe import Recipe
from ..settings.scoring import QualitySettings
from ..settings.studies import DossierSettings
from ..settings.table import NEVER, table
from ..version import find_version
from ..views import Profile, load
from .figures import Figures, figures_of
from .folder import FILE_NAME, StudyFolder, distinct, plain
from .members import (
    MadeModel,
    made_model,
    planned,
    scored,
    timed,
    trained_source,
    with_times,
)
from .records import SCHEMA_VERSION, DossierFile, Member, Question

SUBJECT, NEIGHBOUR, REFERENCE = "subject", "neighbour", "reference"
# Below zero by no more than sums of float32 are off.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class DossierModel:
    """One of the models of a dossier.

    Attributes:
        about: its name and role.
        plan: what its recipe made of each weight; None of the reference.
        profile: of its own speed; None where the file does not have that.
    """

    about: Member
    quality: Quality
    plan: QuantizationPlan | None = None
    profile: Profile | None = None

    @property
    def name(self) -> str:
        return self.about.name


@dataclass(frozen=True, eq=False)
class Dossier:
    """A folder's dossier, read.

    Attributes:
        path: the folder.
        file: what it says of itself.
        subject: the recipe's.
        reference: the model that all others were made of.
        neighbours: in the order asked for.
    """

    path: Path
    file: DossierFile
    subject: DossierModel
    reference: DossierModel
    neighbours: tuple[DossierModel, ...]

    @property
    def models(self) -> tuple[DossierModel, ...]:
        """The subject, its neighbours, the reference."""
        return (self.subject, *self.neighbours, self.reference)

    @functools.cached_property
    def figures(self) -> tuple[Figures, ...]:
        """Size, quality and time of each of the `models`."""
        return tuple(
            figures_of(one.name, one.about.role, one.plan, one.quality, one.profile,
                       one.about.modelled)
            for one in self.models
        )  # fmt: skip

    @functools.cached_property
    def comparison(self) -> Comparison | None:
        """The subject's times with those of the others; None where it was not timed."""
        profiles = {one.name: [one.profile] for one in self.models if one.profile is not None}
        if self.subject.profile is None or len(profiles) < 2:
            return None
        return compared(profiles, margin=None, conditions=[])

    def frame(self) -> Any:
        """One row for each model, in the columns of `figures.COLUMNS`, as a pandas.DataFrame."""
        from ..analysis.tables.typed import typed_table
        from .figures import COLUMNS

        return typed_table([one.to_json() for one in self.figures], COLUMNS)

    def to_json(self) -> Json:
        """As `quant dossier --format json` prints it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "question": self.file.question.to_json(),
            "models": [one.to_json() for one in self.figures],
            "speed": self.comparison.to_json() if self.comparison is not None else None,
            "costs": [one.to_json() for one in self.subject.quality.costs],
        }


def make_dossier(
    model: str | os.PathLike[str],
    recipe: Recipe,
    text: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: DossierSettings,
    on_progress: OnProgress | None = None,
) -> Dossier:
    """Makes the models, scores and times them. What the folder has of the same question is kept.

    Raises:
        UsageError: an input that cannot be used, a folder with something else in it, or weights
            that are random. ModelError: the model is unusable. SchemeError: the scheme breaks its
            contract. EngineError, CaptureError: a measurement failed.
    """
    tell = on_progress or (lambda _: None)
    source = trained_source(model)
    text_file = Path(text)
    # Wrong usage is told before anything is written.
    floats_for = "costs" if settings.costs else None
    subject_plan = planned(source.text, "the recipe", recipe, floats_for=floats_for)
    neighbours = {name: _neighbour(name, recipe) for name in _distinct_types(settings.against)}
    for name, of in neighbours.items():
        planned(source.text, name, of)
    question = _question(source, recipe, subject_plan, text_file, settings)
    folder = StudyFolder(Path(output))
    _check_folder(folder, question)
    folder.make()
    about = DossierFile(SCHEMA_VERSION, find_version(), question)
    folder.write(about)

    names = names_of(subject_plan, tuple(neighbours))
    reference = MadeModel(names[-1], source.absolute)
    # First the model that is there: what is wrong with the text shows before any is made.
    scored(reference, source.absolute, text_file, QualitySettings.of(**settings.scoring()),
           folder, tell)  # fmt: skip
    recipes = dict(zip(names[:-1], (recipe, *neighbours.values()), strict=True))
    made = [
        made_model(source.absolute, name, of, folder, settings.threads, tell)
        for name, of in recipes.items()
    ]
    for one in (*made, reference):
        scoring = settings.scoring(costs=settings.costs and one is made[0],
                                   cost_chunks=settings.cost_chunks)  # fmt: skip
        quality = QualitySettings.of(**scoring)
        scored(one, source.absolute, text_file, quality, folder, tell)
    timed([one for one in (*made, reference) if one.is_timed], settings.timing(), folder, tell)
    members = []
    n_threads = settings.n_threads
    for one, role in zip(
        (*made, reference), (SUBJECT, *[NEIGHBOUR] * len(neighbours), REFERENCE), strict=True
    ):
        modelled = None
        if one.plan is not None and not one.is_timed:
            modelled = modelled_decode(one.plan, n_threads)
        members.append(Member(one.name, role, one.is_timed, modelled))
    folder.write(about.replace(members=tuple(members)))
    return read_dossier(output)


def read_dossier(path: str | os.PathLike[str]) -> Dossier:
    """The dossier of a folder, from its files alone.

    Raises:
        UsageError: the folder holds no dossier, or one that is not complete.
        ProfileFormatError: a file is damaged, or does not belong to the others.
    """
    folder = StudyFolder(Path(path))
    about = folder.read()
    if about is None:
        raise UsageError(f"{path} holds no dossier ({FILE_NAME})")
    roles = [one.role for one in about.members]
    if not roles:
        raise UsageError(f"the dossier in {path} is not complete; the same command goes on with it")
    if not set(roles) <= {SUBJECT, NEIGHBOUR, REFERENCE}:
        raise ProfileFormatError(f"{path}: its models have unknown roles")
    if roles.count(SUBJECT) != 1 or roles.count(REFERENCE) != 1:
        raise ProfileFormatError(f"{path}: it does not tell of one subject and one reference")
    if len({one.name for one in about.members}) != len(roles):
        raise ProfileFormatError(f"{path}: two of its models have one name")
    models = list(_read(folder, about))
    subject = next(one for one in models if one.about.role == SUBJECT)
    reference = next(one for one in models if one.about.role == REFERENCE)
    if subject.quality.costs:
        assert subject.plan is not None and reference.profile is not None
        quality = with_times(subject.quality, subject.plan, subject.profile, reference.profile)
        subject = DossierModel(subject.about, quality, subject.plan, subject.profile)
    others = tuple(one for one in models if one.about.role == NEIGHBOUR)
    return Dossier(folder.path, about, subject, reference, others)


def _read(folder: StudyFolder, about: DossierFile) -> Iterator[DossierModel]:
    for member in about.members:
        is_reference = member.role == REFERENCE
        found = DossierModel(
            about=member,
            quality=folder.read_quality(member.name),
            plan=None if is_reference else folder.read_plan(member.name),
            profile=load(folder.profile(member.name)) if member.is_timed or is_reference else None,
        )
        if reason := _misfit(found):
            raise ProfileFormatError(f"{folder.path}: {reason} of {member.name}")
        yield found


def _misfit(model: DossierModel) -> str:
    """What of a model's files does not belong to the others; empty where all do."""
    if model.plan is None:
        return ""
    tensors = {one.tensor for one in model.plan.tensors}
    divergence = model.quality.divergence
    if len(tensors) != len(model.plan.tensors) or model.plan.size_bytes <= 0:
        return "there is no weight, or one twice, in the plan"
    if any(one.tensor not in tensors for one in model.quality.costs):
        return "the plan lacks weights that have costs, that"
    if divergence is None or divergence.kld.value < -_ROUNDING:
        return "there is no divergence in the quality"
    if model.about.modelled is not None and model.about.modelled.gbps <= 0:
        return "there is no bandwidth for the modelled time"
    return ""


def _question(
    source: ModelSource,
    recipe: Recipe,
    plan: QuantizationPlan,
    text: Path,
    settings: DossierSettings,
) -> Question:
    digests = {"model": _digest("model", source.path), "text": _digest("text", text)}
    asked = recipe.to_json()
    for name in ("imatrix", "tensor_type_file"):
        if asked[name] is not None:
            digests[name] = _digest(name, Path(asked[name]))
            asked[name] = Path(asked[name]).name
    if plan.scheme is not None:
        digests["scheme"] = plan.scheme.digest
        asked["scheme"] = plan.scheme.source
    known = table(DossierSettings)
    told = {n: v for n, v in settings.to_json().items() if known[n].tells_apart != NEVER}
    return Question(source.text, asked, text.name, digests, told)


def _digest(name: str, path: Path) -> str:
    """sha256 of a file; of a split model of its parts."""
    try:
        return digest_inputs(model_parts(path) if name == "model" else [path])
    except OSError as error:
        raise UsageError(f"{name}: cannot read {path}: {reason(error)}") from None


def _check_folder(folder: StudyFolder, question: Question) -> None:
    path = folder.path
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; a dossier needs a folder")
    known = folder.read()
    if known is None:
        if path.is_dir() and any(path.iterdir()):
            raise UsageError(f"{path} is not empty and holds no dossier; name another folder")
        return
    differing = known.question.differences(question)
    if not differing:
        return
    if folder.has_results:
        raise UsageError(
            f"{path} already holds a dossier made with different inputs (different "
            f"{', '.join(differing)}); name another folder"
        )
    folder.clear()


def _distinct_types(against: tuple[str, ...]) -> list[str]:
    """File types in capitals, each once."""
    return list(dict.fromkeys(name.upper() for name in against))


def _neighbour(file_type: str, recipe: Recipe) -> Recipe:
    return Recipe.of(
        file_type=file_type, imatrix=recipe.imatrix, allow_requantize=recipe.allow_requantize
    )


def names_of(subject: QuantizationPlan, against: tuple[str, ...]) -> list[str]:
    """Distinct names, also as those of files: the subject's, the neighbours', the reference's."""
    name = f"{subject.title} recipe"
    taken = {plain(one).lower() for one in against}
    if subject.scheme is not None:
        name = subject.scheme.name
        if plain(name).lower() in taken:
            name = subject.scheme.type
    reference = subject.model.file_type
    return distinct([name, *against, REFERENCE if reference.lower() in taken else reference])
