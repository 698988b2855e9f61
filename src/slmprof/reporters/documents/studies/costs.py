"""What each weight costs: nats lost, milliseconds saved, and the one over the other."""

from __future__ import annotations

from collections.abc import Sequence

from ....quantization.quality.records import WeightCost
from ..parts import Column, Finding, Note, Plot, Section, Series, Table

_NAME_WIDTH = 28
_MOST = 8
HOW = (
    "Each weight alone in its place in the reference: nats that this costs, milliseconds of a "
    "token that it saves. Where a saved millisecond costs most, more bits pay."
)


def costs_section(
    costs: Sequence[WeightCost], n_tokens: int, top: int | None = _MOST, *, plot: bool = False
) -> Section:
    """The weights by nats for a saved millisecond, the dearest first; those of which none is known
    by nats, after them.

    Args:
        n_tokens: that were scored.
        top: so many; None for all.
        plot: whether a picture of all belongs to it.
    """
    if not costs:
        same = "No weight differs from the reference's."
        return Section("What each weight costs", (Finding(same),))
    rows = [
        (one.tensor, one.reference_type, one.type, f"{one.kld.value:.2g}", f"{one.kld.error:.1g}",
         one.reference_ms, one.ms, one.saved_ms, _digits(one.nats_per_ms))
        for one in sorted(costs, key=_dearness, reverse=True)[:top]
    ]  # fmt: skip
    columns = (
        Column("weight", most=_NAME_WIDTH),
        Column("reference", is_wide=True),
        Column("type"),
        Column("nats"),
        Column("±", is_wide=True),
        Column("reference ms", "ms", is_wide=True),
        Column("ms", "ms", is_wide=True),
        Column("saved ms", "ms_change"),
        Column("nats per ms"),
    )
    modelled = " Times of the model are modelled: the reference's, by the ratio of bytes."
    is_modelled = any(one.is_modelled for one in costs)
    text = f"{HOW} {n_tokens} tokens.{modelled if is_modelled else ''}"
    if len(costs) > len(rows):
        text += f" {len(costs) - len(rows)} more weights not shown."
    parts = (Table(columns, rows), *((cost_plot(costs),) if plot else ()), Note(text))
    return Section("What each weight costs", parts)


def cost_plot(costs: Sequence[WeightCost]) -> Plot:
    """Nats over saved milliseconds, a point a weight; over saved MiB where times are not known."""
    is_timed = any(one.saved_ms is not None for one in costs)
    groups: dict[str, list[tuple[float, float, str]]] = {}
    dear = sorted(costs, key=lambda one: one.kld.value, reverse=True)[:_MOST]
    for one in costs:
        x = one.saved_ms if is_timed else (one.reference_bytes - one.size_bytes) / 2**20
        if x is not None:
            label = one.tensor if one in dear else ""
            groups.setdefault(one.type, []).append((x, one.kld.value, label))
    return Plot(
        name="costs",
        title="What each weight costs",
        x="milliseconds of a token saved" if is_timed else "MiB saved",
        y="divergence, nats",
        series=tuple(Series(name, points) for name, points in groups.items()),
    )


def _dearness(one: WeightCost) -> tuple[float, float]:
    known = one.nats_per_ms
    return (-1.0 if known is None else known, one.kld.value)


def _digits(value: float | None) -> str | None:
    return None if value is None else f"{value:.2g}"
