"""Plots as SVG, drawn by matplotlib, which loads when one is drawn."""

from __future__ import annotations

import io
import re

from ...printable import printable
from ..documents.parts import Plot

_SIZE = (7.0, 4.2)  # inches; 72 points each
_GRAY, _MAIN = "#5b6470", "#c2410c"
_COLORS = ("#2563eb", "#15803d", "#7c3aed", "#0e7490")


def svg(plot: Plot) -> str:
    """The picture, without a date and with texts as texts; the same for the same figures."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.name, "font.size": 9}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        for number, series in enumerate(plot.series):
            points = [one for one in series.points if one[1] > 0 or not plot.is_log]
            color = _MAIN if series.is_main else _COLORS[number % len(_COLORS)]
            axes.plot(
                [x for x, _, _ in points],
                [y for _, y, _ in points],
                linestyle="--" if series.is_line else "none",
                linewidth=1,
                marker="D" if series.is_main else "o",
                markersize=7 if series.is_main else 5,
                color=color,
                label=_text(series.name),
            )
            for x, y, name in points:
                if name:
                    axes.annotate(
                        _text(name), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8,
                        color=_MAIN if series.is_main else _GRAY,
                    )  # fmt: skip
        if plot.is_log:
            axes.set_yscale("log")
        axes.set_title(_text(plot.title), loc="left", fontsize=10)
        axes.set_xlabel(_text(plot.x))
        axes.set_ylabel(_text(plot.y))
        axes.margins(0.12)
        axes.grid(visible=True, color="#e5e7eb", linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if len(plot.series) > 1:
            axes.legend(frameon=False, fontsize=8)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # What stands before the picture is for files of its own; a page has it once.
    return re.sub(r"^.*?(?=<svg)", "", file.getvalue().decode(), flags=re.DOTALL)


def _text(text: str) -> str:
    """Plain: matplotlib reads what stands between dollar signs as mathematics."""
    return printable(text).replace("$", r"\$")
