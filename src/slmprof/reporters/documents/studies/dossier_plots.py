"""The plots of a dossier."""

from __future__ import annotations

from collections.abc import Sequence

from ....studies.dossier import Dossier
from ....studies.figures import Figures, front
from ..parts import Plot, Section, Series


def pareto(dossier: Dossier) -> Section:
    """The error over bytes and over time, with the front."""
    shown = dossier.figures[:-1]
    sizes = [(one, one.size_bytes / 2**20) for one in shown]
    times = [(one, one.decode_ms) for one in shown]
    plots = (
        _plot("size", "Size and error", "MiB of weights", sizes),
        _plot("time", "Time and error", "milliseconds of a token of decode", times),
    )
    return Section("Bytes, time and error", tuple(plot for plot in plots if plot is not None))


def _plot(
    name: str, title: str, x: str, values: Sequence[tuple[Figures, float | None]]
) -> Plot | None:
    """The error over a value of each model, the subject's first; None without any."""
    points = [(value, one.kld, one.name) for one, value in values if one.kld and value is not None]
    if not points:
        return None
    own = values[0][0]
    best = sorted(points[i] for i in front([point[:2] for point in points]))
    is_modelled = own.is_modelled and name == "time"
    series = [
        Series("the front", [(at, y, "") for at, y, _ in best], is_line=True),
        Series("built-in types", [point for point in points if point[2] != own.name]),
        Series(
            f"{own.name} (modelled)" if is_modelled else own.name,
            [point for point in points if point[2] == own.name],
            is_main=True,
        ),
    ]
    return Plot(name, title, x, "mean divergence, nats", tuple(s for s in series if s.points))
