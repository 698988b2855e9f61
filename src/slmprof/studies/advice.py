"""Advice on a recipe: what each weight costs in each type, the best choices, and their measure.

What a weight costs is measured in the smallest type that changes it; in the others it goes by the
square of the error of its values, and is scaled so that the sum over a model of that type is what
was measured of it. Whatever is proposed is made and measured again.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..children.protocol import OnProgress
from ..errors import UsageError
from ..profiles.records.decoding import Json
from ..profiles.writing import write_text
from ..quantization.quality.records import Quality
from ..quantization.records import QuantizationPlan
from ..settings.recipe import Recipe
from ..settings.scoring import QualitySettings
from ..settings.studies import AdviceSettings
from ..views import Profile
from .choices import Choice, Limits, Option, choices, scaled, within
from .figures import Figures, figures_of
from .folder import StudyFolder, distinct
from .members import (
    MadeModel,
    decode_times,
    made_model,
    planned,
    scored,
    step_notes,
    timed,
    trained_source,
)
from .recipes import recipe_of

SCHEMA_VERSION = 1
TYPE, PROPOSAL, REFERENCE = "type", "proposal", "reference"
# Proposals at a time, and how often one that broke a limit is followed by another.
_N_PROPOSALS, _N_TRIES = 3, 4
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


def find_advice(
    model: str | os.PathLike[str],
    text: str | os.PathLike[str],
    settings: AdviceSettings,
    on_progress: OnProgress | None = None,
) -> Advice:
    """Measures what each weight costs in each type, and the recipes that follow.

    Raises:
        UsageError: an input that cannot be used, random weights, or limits that nothing meets.
        ModelError: the model is unusable. SchemeError: the scheme breaks its contract.
        EngineError, CaptureError: a measurement failed.
    """
    source = trained_source(model)
    recipes = advised_recipes(settings)
    # Wrong usage is told before anything is made.
    plans = {
        name: planned(source.absolute, name, of, floats_for="advice")
        for name, of in recipes.items()
    }
    for name, found in plans.items():
        if any(not one.is_packed for one in found.of_scheme):
            raise UsageError(f"scheme: {name} has no kernels, so its time cannot be measured")
    least = _least_bytes(list(plans.values()))
    if settings.fit_bytes is not None and settings.fit_bytes < least:
        raise UsageError(_least_text("--fit", _mib(settings.fit_bytes), _mib(least)))
    with tempfile.TemporaryDirectory(prefix="slmprof-", ignore_cleanup_errors=True) as folder:
        bench = _Bench(source.absolute, Path(text), settings, StudyFolder(Path(folder)),
                       on_progress or (lambda _: None))  # fmt: skip
        return _advised(source.text, bench, recipes)


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


def advised_recipes(settings: AdviceSettings) -> dict[str, Recipe]:
    """The model in each type alone, by name."""
    found = {
        name: Recipe.of(file_type=name, pure=True, imatrix=settings.imatrix)
        for name in dict.fromkeys(name.upper() for name in settings.types)
    }
    if settings.scheme is not None:
        *_, name = distinct([REFERENCE, *found, settings.scheme.rpartition(":")[2]])
        found[name] = Recipe.of(scheme=settings.scheme, imatrix=settings.imatrix)
    return found


def _least_bytes(plans: Sequence[QuantizationPlan]) -> int:
    """What the weights take where each has the smallest type that there is for it."""
    sizes: dict[str, list[int]] = {}
    for plan in plans:
        for one in plan.tensors:
            sizes.setdefault(one.tensor, [one.source_bytes]).append(one.size_bytes)
    return sum(map(min, sizes.values()))


def _mib(n_bytes: float) -> str:
    return f"{n_bytes / 2**20:.4g} MiB"


def _least_text(limit: str, asked: str, least: str) -> str:
    return f"{limit}: the limit is {asked}, but these types need at least {least}"


@dataclass(frozen=True, eq=False)
class _Measured:
    """A model, its quality and its profile."""

    made: MadeModel
    quality: Quality
    profile: Profile

    def figures(self, role: str) -> Figures:
        return figures_of(self.made.name, role, self.made.plan, self.quality, self.profile, None)


@dataclass(frozen=True)
class _Bench:
    """Where models are made and measured."""

    model: str
    text: Path
    settings: AdviceSettings
    folder: StudyFolder
    on_progress: OnProgress

    def make(self, name: str, recipe: Recipe) -> MadeModel:
        self.folder.make()
        threads = self.settings.threads
        return made_model(self.model, name, recipe, self.folder, threads, self.on_progress)

    def measure(
        self, models: Sequence[MadeModel], costs_of: frozenset[str] = frozenset()
    ) -> list[_Measured]:
        """Each scored, some with what each weight costs, and all timed in turns."""
        found = []
        for one in models:
            scoring = QualitySettings.of(**self.settings.scoring(
                costs=one.name in costs_of, cost_chunks=self.settings.cost_chunks
            ))  # fmt: skip
            found.append(scored(one, self.model, self.text, scoring, self.folder, self.on_progress))
        profiles = timed(models, self.settings.timing(), self.folder, self.on_progress)
        return [
            _Measured(one, quality, profiles[one.name])
            for one, quality in zip(models, found, strict=True)
        ]


def _advised(model: str, bench: _Bench, recipes: Mapping[str, Recipe]) -> Advice:
    made = [bench.make(name, recipe) for name, recipe in recipes.items()]
    reference = MadeModel(REFERENCE, bench.model)
    costs_of = _measured_for_costs(made)
    *of_types, as_it_is = bench.measure([*made, reference], frozenset(costs_of))
    by_name = {one.made.name: one for one in of_types}
    table = _Table.of(of_types, as_it_is, [by_name[name] for name in costs_of])
    settings = bench.settings
    limits = Limits(settings.fit_bytes, settings.decode_ms, settings.max_kld)
    as_is = as_it_is.figures(REFERENCE)
    every = [table.whole(one) for one in choices(table.options)]
    # The model as it is was measured already, and is no proposal.
    every = [one for one in every if one.nats > 0]
    proposals = _proposals(bench, every, limits, settings)
    met = [one for one in proposals if one.meets]
    notes = list(step_notes({one.made.name: one.profile for one in (*of_types, as_it_is)}))
    if limits != Limits() and _meets(as_is, limits):
        notes.append("the model as it is meets the limits")
    if not met:
        notes.append("none of the recipes that were made meets the limits as they were measured")
    return Advice(
        model=model,
        limits=limits,
        types=(*(one.figures(TYPE) for one in of_types), as_is),
        proposals=(*met, *(one for one in proposals if not one.meets)),
        n_tokens=of_types[0].quality.scored.n_tokens,
        notes=tuple(notes),
    )


def _measured_for_costs(made: Sequence[MadeModel]) -> list[str]:
    """The smallest model, and others as far as they change weights that it leaves alone."""
    found: list[str] = []
    known: set[str] = set()
    for one in sorted(made, key=lambda one: one.plan.size_bytes if one.plan else 0):
        assert one.plan is not None
        changed = {tensor.tensor for tensor in one.plan.tensors if tensor.is_converted}
        if changed - known:
            found.append(one.name)
            known |= changed
    return found


@dataclass(frozen=True, eq=False)
class _Table:
    """What each weight costs in each type.

    Attributes:
        fixed_bytes: of what is never quantized.
        other_ms: of a token, what is no weight's.
    """

    options: Mapping[str, Sequence[Option]]
    fixed_bytes: int
    other_ms: float

    @classmethod
    def of(
        cls, of_types: Sequence[_Measured], reference: _Measured, with_costs: Sequence[_Measured]
    ) -> _Table:
        alone: dict[str, float] = {}
        noise: dict[str, float] = {}
        for measured in reversed(with_costs):  # the smallest counts where it tells
            alone |= {one.tensor: one.kld.value for one in measured.quality.costs}
            noise |= _noise(measured.quality)
        plan = of_types[0].made.plan
        assert plan is not None
        known = decode_times(reference.profile)
        options = {
            one.tensor: [Option(one.source, one.source_bytes, known.get(one.tensor, 0.0), 0.0)]
            for one in plan.tensors
            if one.is_quantizable
        }
        others = []
        for measured in of_types:
            own, times = _noise(measured.quality), decode_times(measured.profile)
            nats = {
                name: alone.get(name, 0.0) * own.get(name, 0.0) / noise[name]
                for name in options
                if noise.get(name)
            }
            divergence = measured.quality.divergence
            total = sum(nats.values())
            factor = divergence.kld.value / total if divergence is not None and total > 0 else 1.0
            assert measured.made.plan is not None
            for one in measured.made.plan.tensors:
                if one.tensor in options and all(o.type != one.type for o in options[one.tensor]):
                    cost = factor * nats.get(one.tensor, 0.0)
                    ms = times.get(one.tensor, 0.0)
                    options[one.tensor].append(Option(one.type, one.size_bytes, ms, cost))
            latency = measured.figures(TYPE).decode_ms
            if latency is not None:
                others.append(latency - sum(times.get(name, 0.0) for name in options))
        fixed = sum(one.size_bytes for one in plan.tensors if not one.is_quantizable)
        return cls(options, fixed, max(0.0, statistics.median(others)) if others else 0.0)

    def whole(self, choice: Choice) -> Choice:
        """A choice with what is not chosen."""
        return replace(
            choice, size_bytes=choice.size_bytes + self.fixed_bytes, ms=choice.ms + self.other_ms
        )


def _noise(quality: Quality) -> dict[str, float]:
    """Mean square error of each weight that differs from the reference's."""
    return {one.tensor: one.rmse**2 for one in quality.tensors}


def _proposals(
    bench: _Bench, every: Sequence[Choice], limits: Limits, settings: AdviceSettings
) -> list[Proposal]:
    """Made and measured; where one breaks a limit, another that its measure speaks for."""
    found: list[Proposal] = []
    picked = within(every, limits, _N_PROPOSALS)
    if not picked:
        raise UsageError(_out_of_reach(every, limits))
    for _ in range(_N_TRIES):
        found += _measured(bench, picked, limits, settings, len(found))
        if any(one.meets for one in found):
            break
        # What was predicted of all is off as it is of the last one.
        last = found[-1]
        factors = {
            name: value / getattr(last.predicted, name)
            for name, value in _values(last.measured).items()
            if getattr(last.predicted, name) > 0
        }
        tried = [one.predicted.types for one in found]
        every = [scaled(one, **factors) for one in every if one.types not in tried]
        picked = within(every, limits, 1)
        if not picked:
            break
    return found


def _measured(
    bench: _Bench, picked: Sequence[Choice], limits: Limits, settings: AdviceSettings, n_before: int
) -> list[Proposal]:
    recipes = [
        recipe_of(one.types, scheme=settings.scheme, imatrix=settings.imatrix) for one in picked
    ]
    models = [
        bench.make(f"{PROPOSAL} {n_before + number}", recipe)
        for number, recipe in enumerate(recipes, 1)
    ]
    made = []
    for measured, recipe, choice in zip(bench.measure(models), recipes, picked, strict=True):
        figures = measured.figures(PROPOSAL)
        assert measured.made.plan is not None
        made.append(Proposal(recipe, measured.made.plan, choice, figures, _meets(figures, limits)))
    return made


def _meets(figures: Figures, limits: Limits) -> bool:
    values = _values(figures).values()
    return all(
        limit is None or value <= limit
        for value, limit in zip(values, limits.of_values(), strict=True)
    )


def _values(figures: Figures) -> dict[str, float]:
    """Of the whole model, by the names of `Choice`."""
    return {
        "size_bytes": float(figures.size_bytes),
        "ms": figures.decode_ms or 0.0,
        "nats": figures.kld or 0.0,
    }


def _out_of_reach(every: Sequence[Choice], limits: Limits) -> str:
    """Which limits cannot be met, or that they cannot be met together."""
    texts = []
    for option, name, limit, text in (
        ("--fit", "size_bytes", limits.size_bytes, _mib),
        ("--decode-ms", "ms", limits.ms, "{:.3g} ms a token".format),
        ("--max-kld", "nats", limits.nats, "{:.3g} nats".format),
    ):
        least = min(getattr(one, name) for one in every)
        if limit is not None and least > limit:
            texts.append(_least_text(option, text(limit), text(least)))
    return "; ".join(texts) or "no choice of these types is predicted to meet all limits together"
