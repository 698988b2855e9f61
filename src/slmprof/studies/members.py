"""The models of a study: made, scored and timed, each step a file that is not made twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.timing.phases import MAX_DIFFERENCE_OF_SHARES
from ..capture.comparison import DEFAULTS, Entry, run_entries
from ..children.protocol import OnProgress, Progress
from ..errors import UsageError
from ..models.ggml_types import weight_types
from ..profiles.merging import merge_processes
from ..profiles.vocabulary import PHASES
from ..quantization.process import make, plan
from ..quantization.quality.process import measure_quality
from ..quantization.quality.records import Quality
from ..quantization.records import QuantizationPlan
from ..settings.capture import CaptureConfig
from ..settings.model_source import ModelSource, ModelText
from ..settings.recipe import Recipe
from ..settings.scoring import QualitySettings
from ..views import Profile, load
from .folder import StudyFolder, write_record

if TYPE_CHECKING:
    import pandas as pd

_PREFILL, DECODE = PHASES

_RANDOM = "{} has random weights, of which quality would tell nothing; name a trained model"


@dataclass(frozen=True)
class MadeModel:
    """A model of a study.

    Attributes:
        name: in tables, and of its files.
        model: MODEL, to be run.
        plan: what its recipe made of each weight; None of the model that it was made of.
    """

    name: str
    model: str
    plan: QuantizationPlan | None = None

    @property
    def is_timed(self) -> bool:
        """Whether its file holds what its recipe means, and not the values that a scheme gives."""
        return self.plan is None or all(one.is_packed for one in self.plan.of_scheme)


def trained_source(model: ModelText) -> ModelSource:
    """A MODEL that a study can be made of, as far as its text tells.

    Raises:
        UsageError: its weights would be random. ModelError: it is none, or names a scheme.
    """
    source = ModelSource.parse(model).refuse_scheme()
    if source.is_synthesised:
        raise UsageError(_RANDOM.format(source.text))
    return source


def planned(
    model: str, name: str, recipe: Recipe, *, floats_for: str | None = None
) -> QuantizationPlan:
    """What a recipe would make of a model that a study can be made of.

    Args:
        floats_for: what the model's weights have to be floats for, where they have to.

    Raises:
        UsageError: the recipe cannot be followed, the weights are random, or they are no floats.
    """
    found = plan(model, recipe)
    if found.model.random_weights:
        raise UsageError(_RANDOM.format(found.model.path))
    if floats_for is not None:
        _check_floats(found, floats_for)
    if found.obstacle:
        raise UsageError(f"{name}: {found.obstacle}")
    return found


def _check_floats(plan: QuantizationPlan, what: str) -> None:
    """Raises UsageError where weights that a plan converts are quantized already, so that what each
    costs cannot be measured."""
    types = weight_types()
    for one in plan.tensors:
        if one.is_converted and one.source in types and types[one.source].is_quantized:
            raise UsageError(
                f"{what}: {one.tensor} of {plan.model.path} is {one.source}, which cannot hold "
                "other values; take a model of floats"
            )


def made_model(
    model: str,
    name: str,
    recipe: Recipe,
    folder: StudyFolder,
    threads: int | None,
    on_progress: OnProgress,
) -> MadeModel:
    """Makes a model, or finds it made.

    Raises:
        UsageError, ModelError, SchemeError, EngineError: as `quantization.process.make`.
    """
    path = folder.model(name)
    if path.exists() and folder.plan(name).exists():
        found = folder.read_plan(name)
    else:
        found = make(model, path, recipe, threads=threads, on_progress=told(name, on_progress))
        write_record(folder.plan(name), found)
    is_packed = any(one.is_packed for one in found.of_scheme)
    text = f"{path}@{recipe.scheme}" if is_packed else str(path)
    return MadeModel(name, ModelSource.parse(text).absolute, found)


def scored(
    made: MadeModel,
    reference: str,
    text: Path,
    settings: QualitySettings,
    folder: StudyFolder,
    on_progress: OnProgress,
) -> Quality:
    """Its quality against the model that all are made of, measured or found measured.

    Raises:
        UsageError, ModelError, EngineError: as `measure_quality`.
    """
    path = folder.quality(made.name)
    if path.exists():
        return folder.read_quality(made.name)
    against = reference if made.plan is not None else None
    found = measure_quality(
        made.model, against, text, settings, on_progress=told(made.name, on_progress)
    )
    write_record(path, found)
    return found


def timed(
    models: Sequence[MadeModel],
    settings: Mapping[str, Any],
    folder: StudyFolder,
    on_progress: OnProgress,
) -> dict[str, Profile]:
    """Profiles of all, their processes in turns; measured again where one of them is missing.

    Raises:
        EngineError, CaptureError: a model cannot be measured.
    """
    paths = {one.name: folder.profile(one.name) for one in models}
    if not all(path.exists() for path in paths.values()):
        of_names = {one.name: one.model for one in models}
        for name, profile in profiled(of_names, settings, on_progress).items():
            profile.save(paths[name])
    return {name: load(path) for name, path in paths.items()}


def profiled(
    models: Mapping[str, str], settings: Mapping[str, Any], on_progress: OnProgress
) -> dict[str, Profile]:
    """A profile of each model by its name, all of its processes in one; they take turns.

    Raises:
        EngineError, CaptureError: a model cannot be measured.
    """
    asked = {**DEFAULTS, **settings}
    entries = [
        Entry(name, config=CaptureConfig.from_json({**asked, "model": model}))
        for name, model in models.items()
    ]
    found = run_entries(entries, on_progress)
    return {name: Profile.of(merge_processes(of)) for name, of in found.items()}


def told(name: str, on_progress: OnProgress) -> OnProgress:
    """Progress with the name of the model before its stage."""

    def tell(progress: Progress) -> None:
        on_progress(replace(progress, stage=f"{name}: {progress.stage}"))

    return tell


def with_times(
    quality: Quality, plan: QuantizationPlan, own: Profile | None, reference: Profile
) -> Quality:
    """The costs with what decode takes for each weight, and the types and bytes of the plan.

    Args:
        own: the model's profile. None where it was not timed: a weight's time is then modelled as
            the reference's, by the ratio of their bytes.
    """
    of_reference = decode_times(reference)
    of_own = decode_times(own) if own is not None else {}
    planned_as = {one.tensor: one for one in plan.tensors}
    made = []
    for cost in quality.costs:
        tensor = planned_as[cost.tensor]
        reference_ms = of_reference.get(cost.tensor)
        ms = of_own.get(cost.tensor)
        if own is None and reference_ms is not None:
            ms = reference_ms * tensor.size_bytes / max(1, tensor.source_bytes)
        made.append(
            cost.replace(
                type=tensor.type,
                size_bytes=tensor.size_bytes,
                ms=ms,
                reference_ms=reference_ms,
                is_modelled=own is None,
            )
        )
    return quality.replace(costs=tuple(made))


def decode_times(profile: Profile) -> dict[str, float]:
    """Milliseconds of a token that the ops take that read each weight."""
    table = weight_table(profile)
    return dict(zip(table["tensor"], table["decode_ms"].astype(float), strict=True))


def weight_table(profile: Profile) -> pd.DataFrame:
    """The weights that decode reads, as `Profile.weights` has them, in milliseconds of a step that
    is as long as those that were timed.

    Ops are observed in other steps than the latency is of; hooks, or another load, make these
    longer.
    """
    table = profile.weights()
    table = table[table["decode_ms"].notna()]
    scale = 1.0 + (_difference(profile) or 0.0)
    scaled: pd.DataFrame = table.assign(
        decode_ms=table["decode_ms"] / scale, decode_gbps=table["decode_gbps"] * scale
    )
    return scaled


def step_notes(profiles: Mapping[str, Profile]) -> tuple[str, ...]:
    """Which times of ops are of steps that took much longer than those that were timed."""
    found = []
    for name, profile in profiles.items():
        difference = _difference(profile)
        if difference is not None and abs(difference) > MAX_DIFFERENCE_OF_SHARES:
            found.append(
                f"the ops of {name} were recorded in steps that took {1 + difference:.2f} times as "
                "long as those timed; times of weights are scaled to the latter"
            )
    return tuple(found)


def _difference(profile: Profile) -> float | None:
    """That of decode."""
    return next((one.difference for one in profile.phase_summaries if one.phase == DECODE), None)
