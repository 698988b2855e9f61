"""The report of advice: recipes that were measured, beside the types that they are made of."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from ....studies.advice import COLUMNS, Advice, Proposal
from ..parts import Caveat, Column, Document, Finding, Headline, Note, Part, Rows, Section, Table
from ..quantities import bytes_text, milliseconds

_NAME_WIDTH = 20
_TYPES_WIDTH = 44


def advice_document(advice: Advice, saved: Sequence[Path] = ()) -> Document:
    """The report.

    Args:
        saved: the files of the proposals' patterns, in their order.
    """

    def parts() -> list[Part]:
        made: list[Part] = [_headline(advice), *(Caveat(note) for note in advice.notes)]
        made += [_models(advice), *(_recipe(one) for one in advice.proposals)]
        if saved:
            made.append(_commands(advice, saved))
        return made

    return Document(parts, advice.to_json, lambda: Rows(tuple(COLUMNS), advice.rows()))


def _headline(advice: Advice) -> Headline:
    size_bytes, ms, nats = advice.limits.of_values()
    limits = [
        f"at most {bytes_text(size_bytes)}" if size_bytes is not None else "",
        f"at most {milliseconds(ms)} ms a token" if ms is not None else "",
        f"a divergence of at most {nats:.3g} nats" if nats is not None else "",
    ]
    asked = tuple(filter(None, limits)) or ("no limit",)
    return Headline(((Path(advice.model).name,), asked))


def _models(advice: Advice) -> Section:
    rows: list[tuple[object, ...]] = []
    for one in advice.proposals:
        of = one.predicted
        rows.append(
            (one.measured.name, one.measured.size_bytes, one.measured.decode_ms, of.ms,
             _nats(one.measured.kld), _nats(of.nats), "yes" if one.meets else "no")
        )  # fmt: skip
    rows += [
        (one.name, one.size_bytes, one.decode_ms, None, _nats(one.kld), None, "")
        for one in sorted(advice.types, key=lambda one: -one.size_bytes)
    ]
    columns = (
        Column("model", most=_NAME_WIDTH),
        Column("MiB", "mib"),
        Column("decode ms", "ms"),
        Column("predicted", "ms"),
        Column("KLD"),
        Column("predicted"),
        Column("meets"),
    )
    note = (
        "Measured, with what was predicted beside it; KLD: mean divergence from the model as it "
        f"is, in nats, over {advice.n_tokens} tokens. Below the proposals: the model in each type "
        "alone."
    )
    return Section("Recipes", (Table(columns, rows), Note(note)))


def _nats(value: float | None) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.3g}"


def _recipe(proposal: Proposal) -> Section:
    rows = []
    for role, types in proposal.types.items():
        named = sorted(types.items(), key=lambda item: -item[1])
        text = ", ".join(f"{name} x{n}" if len(types) > 1 else name for name, n in named)
        rows.append((role, sum(types.values()), text))
    columns = (Column("weights"), Column("n", "count"), Column("types", most=_TYPES_WIDTH))
    return Section(f"{proposal.measured.name.capitalize()}", (Table(columns, rows),))


def _commands(advice: Advice, saved: Sequence[Path]) -> Section:
    texts = []
    for one, path in zip(advice.proposals, saved, strict=True):
        recipe = one.recipe
        words = [
            "slmprof", "quant", "make", advice.model, "-o", f"{path.stem}.gguf", "--file-type",
            str(recipe.file_type), "--tensor-type-file", str(path),
        ]  # fmt: skip
        if recipe.scheme is not None:
            words += ["--scheme", recipe.scheme, "--scheme-tensors", str(recipe.scheme_tensors)]
        for option, value in (
            ("--token-embedding-type", recipe.token_embedding_type),
            ("--output-tensor-type", recipe.output_tensor_type),
            ("--imatrix", recipe.imatrix),
        ):
            if value is not None:
                words += [option, value]
        texts.append(shlex.join(words))
    return Section("To make them", tuple(map(Finding, texts)))
