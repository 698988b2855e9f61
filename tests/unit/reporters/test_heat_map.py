"""The map of layers and blocks."""

from __future__ import annotations

import pandas as pd
import pytest
from builders import Builder
from op_rows import in_layers, op_rows
from reports import shown

from slmprof.analysis.layers.table import layer_map, layer_table
from slmprof.analysis.verdicts.breakdown import break_down
from slmprof.reporters.renderers.cells import Shaded
from slmprof.views import Profile


def with_ops(profile: Profile, ops: pd.DataFrame) -> Profile:
    profile.__dict__["op_rows"] = ops
    return profile


def of_layers(profile: Profile, blocks: tuple[str, ...], n_layers: int = 8) -> Profile:
    times = (0.5, 1.0, 1.2, 2.0)
    rows = [
        row
        for phase in ("prefill", "decode")
        for block in blocks
        for row in in_layers(
            n_layers, phase=phase, block=block, time_ms=lambda n: times[n] if n < 4 else 1.0
        )
    ]
    head = {"layer": None, "block": "lm_head"}
    return with_ops(profile, op_rows(*rows, head, {**head, "phase": "prefill"}))


def test_cells_are_compared_with_their_column() -> None:
    rows = op_rows(*in_layers(3, time_ms=lambda n: n + 1.0), {"layer": None})
    cells = layer_map(layer_table(rows))
    assert cells["relative"].tolist() == [0.5, 1.0, 1.5]
    assert layer_map(layer_table(op_rows())).empty
    still = layer_map(layer_table(op_rows(*in_layers(2, time_ms=0.0))))
    assert still["relative"].isna().all()


@pytest.mark.parametrize(
    ("encoding", "shades"), [("utf-8", "░▒▓█"), ("ascii", ".:+#"), ("latin-1", ".:+#")]
)
def test_shades(profile: Profile, encoding: str, shades: str) -> None:
    text = shown(
        break_down(of_layers(profile, ("attention", "ffn")), by="layer"), encoding=encoding
    )
    lines = [line.split() for line in text.splitlines()]
    for layer, shade in enumerate(shades):
        (row,) = [line for line in lines if line[:1] == [str(layer)]]
        assert row[2::2] == [shade * 3] * 4
    assert "Outside the layers, decode: lm_head 1.000 ms." in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_more_blocks_than_fit_have_a_map_for_each_phase(profile: Profile) -> None:
    text = shown(break_down(of_layers(profile, ("attention", "ffn", "recurrent")), by="layer"))
    assert "Layers of prefill" in text and "Layers of decode" in text
    assert max(map(len, text.splitlines())) <= 80
    header = next(line for line in text.splitlines() if line.split()[:1] == ["layer"])
    assert header.split() == ["layer", "attention", "ms", "ffn", "ms", "recurrent", "ms"]


def test_a_cut_keeps_layers_whole(profile: Profile) -> None:
    made = of_layers(profile, ("attention", "ffn"), n_layers=100)
    text = shown(break_down(made, by="layer", top=1))
    assert "Layers (1 of 100)" in text
    assert [line.split()[0] for line in text.splitlines() if "███" in line] == ["3"]
    assert len(shown(break_down(made, by="layer")).splitlines()) > 100


def test_markdown_and_layers_of_other_builds(profile: Profile) -> None:
    rows = in_layers(8, block=lambda n: "attention" if n == 3 else "recurrent")
    made = break_down(with_ops(profile, op_rows(*rows)), by="layer")
    text = shown(made, "markdown")
    assert "| layer | decode attention ms |  | decode recurrent ms |  |" in text
    assert "| 0 | - |  | 1.000 | ▒▒▒ |" in text
    assert "- Layer 3 (decode): attention, elsewhere recurrent." in text


@pytest.mark.usefixtures("by_name")
def test_without_layers(profile: Profile) -> None:
    assert "Layers" not in shown(break_down(Builder().build(), by="layer"))
    outside = with_ops(profile, op_rows({"layer": None, "block": "lm_head"}))
    assert "Outside the layers, decode: lm_head" in shown(break_down(outside, by="layer"))


def test_the_usual_report_points_to_the_flags(profile: Profile) -> None:
    text = shown(of_layers(profile, ("ffn",)), is_full=True)
    assert "Layers stand out in" in text and "--by layer says" in text


def test_colours_are_for_terminals_only() -> None:
    cell = Shaded("1.0", 3)
    assert cell == "1.0" and cell.level == 3
