"""The report of what a recipe makes of a model: types and sizes before and after, role by role."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ....quantization.modelled import ModelledDecode
from ....quantization.records import QuantizationPlan, QuantizedTensor
from ....quantization.rows import DTYPES, tensor_rows
from ..fallbacks import fallback_text
from ..parts import Caveat, Column, Document, Finding, Headline, Note, Part, Rows, Section, Table
from ..quantities import bytes_text, count_text

SCHEMA_VERSION = 1
VIEWS = ("tensor", "type")
_NAME_WIDTH = 24


def quantization_document(
    plan: QuantizationPlan, *, by: str | None = None, top: int | None = None
) -> Document:
    """The report of a plan.

    Args:
        by: one view only: `tensor`, or `type`.
        top: rows of tensors, the largest; None for all.
    """

    def parts() -> list[Part]:
        made: list[Part] = [_headline(plan)]
        if plan.fallbacks is not None:
            made.append(Caveat(fallback_text(plan.fallbacks)))
        made += [Caveat(note, "note") for note in plan.notes]
        if by == "tensor":
            return [*made, _tensors(plan, top)]
        if by == "type":
            return [*made, _types(plan)]
        return [*made, _roles(plan), Note("--by tensor lists each, --by type sums them up.")]

    return Document(
        parts,
        lambda: {"schema_version": SCHEMA_VERSION, **plan.to_json()},
        lambda: Rows(tuple(DTYPES), tensor_rows(plan)),
    )


def made_text(plan: QuantizationPlan, path: str) -> str:
    """One line of the file that was made."""
    bits = plan.bits_per_weight
    facts = [
        f"{count_text(plan.model.n_params)} parameters",
        f"{bytes_text(plan.size_bytes)} as {plan.title}",
        f"{bits:.2f} bits per weight" if bits is not None else "",
        f"from {bytes_text(plan.source_bytes)} ({plan.model.file_type})",
    ]
    return f"{path}: {plan.model.name}, {', '.join(filter(None, facts))}"


def scheme_texts(plan: QuantizationPlan, modelled: ModelledDecode | None) -> list[str]:
    """What to know of a file that holds what a scheme gives back; nothing where there is none."""
    if plan.scheme is None:
        return []
    if any(one.is_packed for one in plan.of_scheme):
        place = plan.recipe.get("scheme")
        return [f"it holds blocks that only {plan.scheme.name} reads: run it as FILE@{place}"]
    n_bytes = sum(one.stored_bytes for one in plan.tensors)
    texts = [
        f"the file takes {bytes_text(n_bytes)}: it holds the values that {plan.scheme.name} gives "
        "back, as float32; its text and its quality are the scheme's, its speed is not"
    ]
    if modelled is not None:
        texts.append(
            f"modelled: {modelled.ms:.3g} ms a token of decode at least, for "
            f"{bytes_text(modelled.read_bytes)} of weights at the {modelled.gbps:.1f} GB/s that "
            f"memory gave {modelled.n_threads} threads"
        )
    return texts


def _headline(plan: QuantizationPlan) -> Headline:
    model, bits = plan.model, plan.bits_per_weight
    about = [model.name, model.architecture, f"{count_text(model.n_params)} parameters"]
    if model.random_weights:
        about.append("random weights")
    sizes = [
        f"{model.file_type}, {bytes_text(plan.source_bytes)}",
        f"as {plan.title}: {bytes_text(plan.size_bytes)}",
        *([f"{bits:.2f} bits per weight"] if bits is not None else []),
    ]
    return Headline((tuple(about), tuple(sizes)))


@dataclass(frozen=True)
class _Group:
    """Tensors of one role that were asked for alike and came out alike."""

    role: str
    first: QuantizedTensor
    n_tensors: int
    size_bytes: int
    n_elements: int

    @property
    def bits(self) -> float | None:
        return 8 * self.size_bytes / self.n_elements if self.n_elements else None

    @property
    def asked(self) -> str:
        """The type asked for where another came out, and why."""
        return f"{self.first.asked}, rows of {self.first.shape[0]}" if self.first.fell_back else ""


def _grouped(plan: QuantizationPlan) -> Iterator[_Group]:
    groups: dict[tuple[Any, ...], list[QuantizedTensor]] = {}
    for one in plan.tensors:
        row = one.shape[0] if one.fell_back else 0
        key = (one.role, one.source, one.asked, one.type, row)
        groups.setdefault(key, []).append(one)
    for (role, *_), own in groups.items():
        yield _Group(
            role,
            own[0],
            len(own),
            sum(one.size_bytes for one in own),
            sum(one.n_elements for one in own),
        )


def _roles(plan: QuantizationPlan) -> Section:
    groups = sorted(_grouped(plan), key=lambda group: -group.size_bytes)
    quantizable = [group for group in groups if group.first.is_quantizable]
    rows = [
        (g.role, g.n_tensors, g.first.source, g.first.type, g.bits, g.size_bytes, g.asked)
        for g in quantizable
    ]
    columns = (
        Column("weight", most=_NAME_WIDTH),
        Column("n", "plain"),
        Column("source"),
        Column("type"),
        Column("bits", "bits"),
        Column("MiB", "mib"),
        Column("asked"),
    )
    table = Table(columns, rows)
    left = [group for group in groups if not group.first.is_quantizable]
    parts: list[Table | Finding] = [table]
    if left:
        n_left = sum(group.n_tensors for group in left)
        size = bytes_text(sum(group.size_bytes for group in left))
        parts.append(
            Finding(f"{n_left} tensors of {size} are never quantized: norms and the like.")
        )
    return Section("Weights", tuple(parts))


def _types(plan: QuantizationPlan) -> Section:
    sums: dict[str, list[QuantizedTensor]] = {}
    for one in plan.tensors:
        sums.setdefault(one.type, []).append(one)
    rows = [
        (
            type_,
            len(own),
            sum(one.n_elements for one in own) / plan.model.n_params,
            sum(one.size_bytes for one in own) / plan.size_bytes,
            sum(one.size_bytes for one in own),
            sum(one.fell_back for one in own),
        )
        for type_, own in sums.items()
    ]
    rows.sort(key=lambda row: -row[4])
    columns = (
        Column("type"),
        Column("tensors", "plain"),
        Column("weights", "share"),
        Column("bytes", "share"),
        Column("MiB", "mib"),
        Column("fell back", "plain"),
    )
    return Section("Types", (Table(columns, rows),))


def _tensors(plan: QuantizationPlan, top: int | None) -> Section:
    tensors: Sequence[QuantizedTensor] = plan.tensors
    if top is not None:
        tensors = sorted(tensors, key=lambda one: -one.size_bytes)[:top]
    rows = [
        (one.tensor, one.shape, one.source, one.type, one.bits_per_weight, one.size_bytes,
         one.asked if one.fell_back else "")
        for one in tensors
    ]  # fmt: skip
    columns = (
        Column("tensor", most=_NAME_WIDTH),
        Column("shape", "shape"),
        Column("source"),
        Column("type"),
        Column("bits", "bits"),
        Column("MiB", "mib"),
        Column("asked"),
    )
    return Section("Tensors", (Table(columns, rows),))
