"""Looks for recipes: measures what each weight costs in each type, and what is proposed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..children.keeper import kept_folder
from ..children.protocol import OnProgress
from ..errors import UsageError
from ..quantization.records import QuantizationPlan
from ..settings.recipe import Recipe
from ..settings.studies import AdviceSettings
from .advice import Advice, Proposal
from .bench import Bench
from .choices import Choice, Limits, choices, scaled, within
from .cost_table import CostTable, measured_for_costs
from .figures import Figures
from .folder import StudyFolder, distinct
from .members import MadeModel, planned, step_notes, trained_source
from .recipes import recipe_of

TYPE, PROPOSAL, REFERENCE = "type", "proposal", "reference"
# Proposals at a time, and how often one that broke a limit is followed by another.
_N_PROPOSALS, _N_TRIES = 3, 4


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
    if not any(one.is_converted for of in plans.values() for one in of.tensors):
        raise UsageError("types: the weights have these types already; there is nothing to choose")
    for name, found in plans.items():
        if any(not one.is_packed for one in found.of_scheme):
            raise UsageError(f"scheme: {name} has no kernels, so its time cannot be measured")
    least = _least_bytes(list(plans.values()))
    if settings.fit_bytes is not None and settings.fit_bytes < least:
        raise UsageError(_least_text("--fit", _mib(settings.fit_bytes), _mib(least)))
    with kept_folder() as folder:
        files = StudyFolder(folder)
        files.make()
        tell = on_progress or (lambda _: None)
        bench = Bench(source.absolute, Path(text), settings, files, tell)
        return _advised(source.text, bench, recipes)


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


def _advised(model: str, bench: Bench, recipes: Mapping[str, Recipe]) -> Advice:
    reference = MadeModel(REFERENCE, bench.model)
    # First the model that is there: what is wrong with the text shows before any is made.
    bench.score(reference)
    made = [bench.make(name, recipe) for name, recipe in recipes.items()]
    costs_of = measured_for_costs(made)
    *of_types, as_it_is = bench.measure([*made, reference], frozenset(costs_of))
    by_name = {one.made.name: one for one in of_types}
    table = CostTable.of(of_types, as_it_is, [by_name[name] for name in costs_of])
    settings = bench.settings
    limits = Limits(settings.fit_bytes, settings.decode_ms, settings.max_kld)
    as_is = as_it_is.figures(REFERENCE)
    # The model as it is was measured already, and is no proposal.
    every = [table.whole(one) for one in choices(table.options) if table.changes(one)]
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


def _proposals(
    bench: Bench, every: Sequence[Choice], limits: Limits, settings: AdviceSettings
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
    bench: Bench, picked: Sequence[Choice], limits: Limits, settings: AdviceSettings, n_before: int
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
