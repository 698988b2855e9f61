"""The report of a model's quality: on a text, layer by layer, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...quantization.quality.records import (
    Divergence,
    Estimate,
    Quality,
    ScoredModel,
    WeightCost,
)
from .parts import Caveat, Column, Document, Finding, Headline, Part, Rows, Section, Table
from .quantities import bytes_text
from .studies.costs import costs_section

VIEWS = ("layer", "tensor", "cost")
_MOST_TENSORS = 8
_NAME_WIDTH = 28
_FIGURES = ("figure", "value", "error")
_COSTS = (
    "tensor", "type", "reference_type", "kld", "kld_error", "size_bytes", "reference_bytes", "ms",
    "reference_ms", "saved_ms", "nats_per_ms", "is_modelled",
)  # fmt: skip


def quality_document(
    quality: Quality, *, by: str | None = None, top: int | None = None
) -> Document:
    """The report.

    Args:
        by: one view only: `layer`, `tensor` or `cost`.
        top: weights, the worst or dearest; None for all of that view.
    """

    def parts() -> list[Part]:
        made: list[Part] = [_headline(quality), *(Caveat(note) for note in quality.notes)]
        if by == "layer":
            return [*made, _layers(quality)]
        if by == "tensor":
            return [*made, _tensors(quality, top)]
        if by == "cost":
            return [*made, costs_section(quality.costs, quality.n_cost_tokens, top)]
        made.append(_figures(quality))
        if quality.layers:
            made.append(Section("Layers", tuple(Finding(text) for text in _layer_texts(quality))))
        if quality.tensors:
            made.append(_tensors(quality, _MOST_TENSORS if top is None else top))
        if quality.costs:
            shown = _MOST_TENSORS if top is None else top
            made.append(costs_section(quality.costs, quality.n_cost_tokens, shown))
        return made

    def rows() -> Rows:
        if by == "cost":
            return Rows(_COSTS, [_cost_row(one) for one in quality.costs])
        return Rows(_FIGURES, list(_figure_rows(quality)))

    return Document(parts, quality.to_json, rows)


def _cost_row(cost: WeightCost) -> dict[str, Any]:
    values = {**cost.to_json(), "kld": cost.kld.value, "kld_error": cost.kld.error}
    return {name: values[name] for name in _COSTS}


def _headline(quality: Quality) -> Headline:
    scored = quality.scored
    what = "all of it" if scored.both_halves else "the second half of each"
    text = (
        scored.text,
        f"{scored.n_chunks} chunks of {scored.n_ctx} tokens, {what}",
        f"{scored.n_tokens} tokens scored",
    )
    lines = [_model_facts(quality.model)]
    if quality.reference is not None:
        first, *others = _model_facts(quality.reference)
        lines.append((f"against {first}", *others))
    compatible = ("as llama-perplexity counts",) if scored.compatible else ()
    return Headline((*lines, (*text, *compatible)))


def _model_facts(model: ScoredModel) -> tuple[str, ...]:
    scheme = (f"values of custom:{model.scheme}",) if model.scheme else ()
    bits = f"{model.bits_per_weight:.2f} bits per weight"
    return (model.name, model.file_type, bytes_text(model.size_bytes), bits, *scheme)


def _figures(quality: Quality) -> Section:
    rows: list[tuple[str, str]] = [("perplexity", _text(quality.perplexity))]
    found = quality.divergence
    if found is not None:
        agreement = found.top1_agreement
        rms = found.probability_change_rms
        rows += [
            ("perplexity of the reference", _text(found.perplexity)),
            ("ratio of the two", _text(found.ratio, 5)),
            ("KL divergence, mean, nats", _text(found.kld, 6)),
            *((f"  {name}", f"{value:.6f}") for name, value in _kld_quantiles(found)),
            ("same most probable token", _text(agreement, 2, 100, " %")),
            ("change of a token's probability, RMS", _text(rms, 2, 100, " %")),
            ("  mean", _text(found.probability_change, 3, 100, " %")),
        ]
    columns = (Column("figure"), Column("value"))
    return Section("Quality", (Table(columns, rows),))


def _kld_quantiles(found: Divergence) -> list[tuple[str, float]]:
    spread = found.kld_spread
    return [
        ("median", spread.median),
        ("90 % of the tokens below", spread.p90),
        ("99 %", spread.p99),
        ("99.9 %", spread.p999),
        ("maximum", spread.max),
    ]


def _text(of: Estimate, digits: int = 4, factor: float = 1, unit: str = "") -> str:
    return f"{of.value * factor:.{digits}f} ± {of.error * factor:.{digits}f}{unit}"


def _layer_texts(quality: Quality) -> Iterator[str]:
    known = [one for one in quality.layers if one.relative_error is not None]
    if not known:
        return
    errors = [one.relative_error or 0.0 for one in known]
    yield (
        f"Outputs are {100 * errors[0]:.2g} % off behind layer {known[0].layer} and "
        f"{100 * errors[-1]:.2g} % behind layer {known[-1].layer} (length of the difference over "
        f"that of the reference's output, {quality.n_layer_tokens} tokens)."
    )
    rises = [b - a for a, b in zip([0.0, *errors], errors, strict=False)]
    at = max(range(len(rises)), key=rises.__getitem__)
    yield (
        f"The largest step is layer {known[at].layer}'s: {100 * rises[at]:+.2g} points; --by layer "
        "lists all."
    )


def _layers(quality: Quality) -> Section:
    rows = [
        (one.layer, _percent(one.relative_error), _plain(one.cosine, 6)) for one in quality.layers
    ]
    columns = (Column("layer", "plain"), Column("off", "text"), Column("cosine", "text"))
    return Section("Layers", (Table(columns, rows),))


def _tensors(quality: Quality, top: int | None) -> Section:
    worst_first = sorted(
        quality.tensors, key=lambda one: float("inf") if one.snr_db is None else one.snr_db
    )
    shown = quality.tensors if top is None else worst_first[:top]
    rows = [
        (one.tensor, one.reference_type, one.type, f"{one.rmse:.3g}", _plain(one.snr_db, 1),
         _percent(one.worst_block), f"{one.worst_row}, {one.worst_column}")
        for one in shown
    ]  # fmt: skip
    columns = (
        Column("weight", most=_NAME_WIDTH),
        Column("reference"),
        Column("type"),
        Column("RMSE"),
        Column("SNR dB"),
        Column("worst block"),
        Column("its row, column", is_wide=True),
    )
    parts: list[Any] = [Table(columns, rows)]
    n_more = len(quality.tensors) - len(shown)
    if n_more:
        parts.append(Finding(f"{n_more} more are better: --by tensor lists all."))
    return Section("Weights, the worst first" if top is not None else "Weights", tuple(parts))


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.3g} %"


def _plain(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def _figure_rows(quality: Quality) -> Iterator[dict[str, Any]]:
    estimates = [("perplexity", quality.perplexity)]
    found = quality.divergence
    if found is not None:
        estimates += [
            ("reference_perplexity", found.perplexity),
            ("ratio", found.ratio),
            ("ln_ratio", found.ln_ratio),
            ("difference", found.difference),
            ("kld", found.kld),
            ("probability_change", found.probability_change),
            ("probability_change_rms", found.probability_change_rms),
            ("top1_agreement", found.top1_agreement),
        ]
    for name, of in estimates:
        yield dict(zip(_FIGURES, (name, of.value, of.error), strict=True))
    if found is None:
        return
    for figure, spread in (
        ("kld", found.kld_spread),
        ("probability_change", found.probability_change_spread),
    ):
        for name, value in spread.to_json().items():
            yield dict(zip(_FIGURES, (f"{figure}_{name}", value, None), strict=True))
