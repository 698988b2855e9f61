"""The dossier of a scheme or recipe: size, quality and time beside its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....analysis.comparison.places import LATENCY, OP
from ....analysis.comparison.rows import Row
from ....profiles.records.decoding import Json
from ....profiles.vocabulary import PHASES
from ....settings.table import setting_text
from ....studies.dossier import Dossier
from ....studies.figures import COLUMNS, Figures, interpolated
from ....studies.members import step_notes
from ....studies.weights import fallback_cost
from ..parts import (
    Caveat,
    Column,
    Document,
    Finding,
    Headline,
    Note,
    Part,
    Rows,
    Section,
    Table,
    listed,
    said,
)
from ..quantities import bytes_text, change, changes, count_text, milliseconds
from . import dossier_plots, dossier_tables
from .costs import costs_section

PREFILL, DECODE = PHASES
_NAME_WIDTH = 20


def dossier_document(dossier: Dossier, *, is_page: bool = False) -> Document:
    """The report.

    Args:
        is_page: whether it is the page that stays: with its plots, and with all of its tables.
    """

    def parts() -> list[Part]:
        made: list[Part] = [_headline(dossier), *_caveats(dossier)]
        sections = [_models(dossier), _against(dossier), _fallbacks(dossier)]
        if is_page:
            sections[1:1] = [dossier_plots.pareto(dossier)]
            tables = (
                dossier_tables.contents, dossier_tables.roles, dossier_tables.kernels,
                dossier_tables.gains, dossier_tables.layers,
            )  # fmt: skip
            sections += [table(dossier) for table in tables]
        quality = dossier.subject.quality
        if quality.costs:
            top = None if is_page else 8
            sections.append(costs_section(quality.costs, quality.n_cost_tokens, top, plot=is_page))
        if is_page:
            sections.append(_how(dossier))
        return [*made, *said(sections)]

    return Document(
        parts,
        dossier.to_json,
        lambda: Rows(tuple(COLUMNS), [one.to_json() for one in dossier.figures]),
    )


def _headline(dossier: Dossier) -> Headline:
    subject, reference = dossier.subject, dossier.reference
    own = dossier.figures[0]
    assert subject.plan is not None
    scheme = subject.plan.scheme
    what = [subject.name]
    if scheme is not None:
        if scheme.block_size and scheme.type_size:
            what.append(f"blocks of {scheme.block_size} weights in {scheme.type_size} bytes")
        what.append(f"{scheme.bits_per_weight:.3g} bits per weight by itself")
    model = reference.quality.model
    sizes = (
        f"{own.bits_per_weight:.2f} bits per weight in this model",
        f"{bytes_text(own.size_bytes)} instead of {bytes_text(dossier.figures[-1].size_bytes)}",
    )
    n_params = count_text(subject.plan.model.n_params)
    about = (model.name, model.architecture, f"{n_params} parameters", f"from {model.file_type}")
    return Headline((tuple(what), about, sizes))


def _caveats(dossier: Dossier) -> Iterator[Caveat]:
    if dossier.subject.profile is None:
        yield Caveat(
            f"{dossier.subject.name} has no kernels: its decode time is modelled, the least that "
            "its bytes can take at the bandwidth of memory",
            "note",
        )
    for note in dict.fromkeys(note for one in dossier.models for note in one.quality.notes):
        yield Caveat(note)
    profiles = {one.name: one.profile for one in dossier.models if one.profile is not None}
    for note in step_notes(profiles):
        yield Caveat(note)
    if dossier.comparison is not None:
        found = [one for pair in dossier.comparison.pairings for one in pair.obstacles]
        for text in dict.fromkeys(one.reason for one in found if one.what != OP):
            yield Caveat(text)


def _models(dossier: Dossier) -> Section:
    rows = [
        (one.name, one.size_bytes, one.bits_per_weight, _digits(one.kld),
         _percent(one.top1_agreement), f"{one.perplexity:.4g}", one.prefill_ms, _decode(one))
        for one in _by_size(dossier.figures)
    ]  # fmt: skip
    columns = (
        Column("model", most=_NAME_WIDTH),
        Column("MiB", "mib"),
        Column("bits", "bits"),
        Column("KLD"),
        Column("same top"),
        Column("perplexity"),
        Column("prefill ms", "ms"),
        Column("decode ms"),
    )
    question = dossier.file.question
    quality = dossier.subject.quality
    note = (
        f"KLD: mean divergence from {dossier.reference.name}, in nats; same top: share of tokens "
        f"with the same most probable one; {quality.scored.n_tokens} tokens of {question.text}. "
        f"Times: prefill of {question.settings.get('n_prompt')} tokens, decode of one."
    )
    if any(one.is_modelled for one in dossier.figures):
        note += " * modelled."
    return Section("Size, quality and time", (Table(columns, rows), Note(note)))


def _by_size(figures: Sequence[Figures]) -> list[Figures]:
    return sorted(figures, key=lambda one: -one.size_bytes)


def _decode(one: Figures) -> str:
    return f"{milliseconds(one.decode_ms)}{'*' if one.is_modelled else ''}"


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _against(dossier: Dossier) -> Section:
    own, *others = dossier.figures
    neighbours = others[:-1]
    findings = [Finding(text) for text in _neighbour_texts(dossier, own, others)]
    middle = interpolated(own, neighbours)
    if middle is not None and own.kld is not None:
        times = ("", "")
        if middle.decode_ms is not None and own.decode_ms is not None:
            modelled = " (modelled)" if own.is_modelled else ""
            times = (
                f", {milliseconds(middle.decode_ms)} ms a token",
                f", {milliseconds(own.decode_ms)} ms{modelled}",
            )
        findings.append(
            Finding(
                f"Interpolated between {middle.low} and {middle.high} at "
                f"{own.bits_per_weight:.2f} bits per weight: KLD {middle.kld:.3g}{times[0]}. "
                f"{own.name}: KLD {own.kld:.3g} ({own.kld / middle.kld:.3g} times){times[1]}."
            )
        )
    elif neighbours:
        findings.append(
            Finding(
                f"{own.name} lies outside the range of bits per weight of the built-in types "
                "measured, so nothing is interpolated; --against takes others."
            )
        )
    return Section("Against the neighbours", tuple(findings))


def _neighbour_texts(dossier: Dossier, own: Figures, others: Sequence[Figures]) -> Iterator[str]:
    pairings = dossier.comparison.pairings if dossier.comparison is not None else ()
    by_name = {pairing.b.name: pairing for pairing in pairings}
    for other in others:
        facts = [f"{change(own.size_bytes / other.size_bytes - 1)} bytes"]
        if own.kld is not None and other.kld is not None and other.kld > 0:
            facts.append(f"{own.kld / other.kld:.3g} times its KLD")
        pairing = by_name.get(other.name)
        if pairing is not None:
            latencies = {row.phase: row for row in pairing.rows if row.what == LATENCY}
            facts += [
                _time_text(phase, latencies[phase])
                for phase in (DECODE, PREFILL)
                if phase in latencies
            ]
        elif own.decode_ms is not None and other.decode_ms is not None:
            ratio = change(own.decode_ms / other.decode_ms - 1)
            facts.append(f"decode {ratio} at best (modelled)")
        yield f"{own.name} against {other.name}: {', '.join(facts)}."


def _time_text(phase: str, row: Row) -> str:
    """The subject's time over the other's; rows compare the other with the subject."""
    if row.relative is None:
        return f"{phase} not known"
    ends = row.intervals.relative_ci95
    turned = None
    if ends is not None and min(ends) > -1:
        turned = (1 / (1 + ends[1]) - 1, 1 / (1 + ends[0]) - 1)
    within = f" (95 % interval {changes(turned)})" if turned is not None else ""
    verdict = {"faster": "slower", "slower": "faster"}.get(row.verdict, row.verdict)
    return f"{phase} {change(1 / (1 + row.relative) - 1)}{within}, {verdict}"


def _fallbacks(dossier: Dossier) -> Section:
    texts = []
    for one in dossier.models:
        cost = fallback_cost(one.plan, one.profile) if one.plan is not None else None
        if cost is None:
            continue
        found = cost.fallbacks
        assert one.plan is not None
        n_weights = sum(tensor.is_quantizable for tensor in one.plan.tensors)
        ms = ""
        if cost.extra_ms is not None:
            ms = f" and {abs(cost.extra_ms):.2g} ms a token {_more(cost.extra_ms)}"
        texts.append(
            f"{one.name}: {found.n_fallen} of {n_weights} weights (rows of "
            f"{listed([str(row) for row in found.rows])}) became "
            f"{listed(list(dict.fromkeys(group.got for group in found.groups)))} instead of "
            f"{listed(list(dict.fromkeys(group.asked for group in found.groups)))}: "
            f"{bytes_text(abs(cost.extra_bytes))} {_more(cost.extra_bytes)}{ms}."
        )
    if not texts:
        texts.append("Every weight got the type asked for.")
    notes = (
        (Note("Milliseconds are modelled: a weight's measured time, by the share of its bytes."),)
        if any(" ms a token" in text for text in texts)
        else ()
    )
    return Section("What fell back", (*map(Finding, texts), *notes))


def _more(value: float) -> str:
    return "more" if value >= 0 else "less"


def _how(dossier: Dossier) -> Section:
    question = dossier.file.question
    settings, recipe = question.settings, question.recipe
    digests = ", ".join(f"{name} {of[:12]}" for name, of in question.digests.items())
    texts = [
        f"Made by slmprof {dossier.file.slmprof} of {question.model}, with the text "
        f"{question.text}; sha256: {digests}.",
        f"Recipe: {_named(recipe)}.",
        f"Settings: {_named(settings)}.",
    ]
    profile = dossier.reference.profile
    if profile is not None:
        about = profile.meta.environment
        texts.append(f"Machine: {about.cpu}, {about.n_cores} cores, {about.os}.")
    texts.append(
        "plans/, quality/ and profiles/ beside this page hold all that it is made of; `quant "
        "dossier --show DIR` makes it again. models/ holds the files that were measured."
    )
    return Section("How it was made", tuple(map(Finding, texts)), is_folded=True)


def _named(values: Json) -> str:
    """Settings and their values, but for those that are not given."""
    given = {name: value for name, value in values.items() if value not in (None, False, [])}
    return ", ".join(f"{name} {setting_text(value)}" for name, value in given.items()) or "default"
