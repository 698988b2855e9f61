"""Joules with their intervals from windows made by hand, and each reason to have none."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
from energy_builder import energy_of, example_energy, reading, window

from slmprof.analysis.energy.figures import (
    COLUMNS,
    TOTAL,
    EnergyFigure,
    energy_figures,
    energy_table,
    main_figure,
)
from slmprof.analysis.energy.modelled import modelled_energy
from slmprof.analysis.timing.student import critical_value
from slmprof.profiles.records.energy import Energy, EnergyRefusal, EnergySource
from slmprof.profiles.records.load import Load

T95 = critical_value(0.05, 2)
FIVE = (100.0,) * 5


def test_joules_are_means_over_windows_with_students_interval() -> None:
    prefill, decode = energy_figures(example_energy())
    assert (prefill.phase, decode.phase, prefill.source) == ("prefill", "decode", "package")
    assert prefill.n_windows == 3 and prefill.n_left_out == 0 and prefill.refusal is None
    assert prefill.energy_j == pytest.approx(10.0)
    half = T95 * 1.0 / math.sqrt(3)
    assert prefill.energy_ci95 == pytest.approx((10.0 - half, 10.0 + half))
    # Ten steps in five seconds, beside an idle machine that takes 10 W.
    assert prefill.step_ms == pytest.approx(500.0)
    assert prefill.net_j == pytest.approx(5.0)
    assert prefill.net_ci95 == pytest.approx((5.0 - half, 5.0 + half))
    assert (prefill.power_w, prefill.idle_power_w) == (pytest.approx(20.0), pytest.approx(10.0))
    assert prefill.clock_mhz == 3000.0 and decode.clock_mhz is None
    assert decode.net_j == pytest.approx(1.0)


def test_each_window_is_held_against_the_idle_one_of_its_round() -> None:
    # Everything takes 1 W more from round to round: what the model takes is the same.
    drifting = energy_of({"idle": (50, 55, 60), "prefill": (100, 105, 110)})
    (figure,) = energy_figures(drifting)
    assert figure.net_j == pytest.approx(5.0)
    assert figure.net_ci95 == pytest.approx((5.0, 5.0))


@pytest.mark.parametrize(
    ("state", "changes", "reason"),
    [
        ("prefill", {"n_updates": 19}, "few_updates"),
        ("idle", {"n_updates": 0}, "few_updates"),
        ("prefill", {"ran_backwards": True}, "ran_backwards"),
        ("prefill", {"n_wraps": 2}, "wrapped"),
        ("prefill", {"n_throttles": 1}, "throttled"),
        ("idle", {"busy_share": 0.5}, "disturbed"),
    ],
)
def test_windows_that_are_not_sound_are_left_out_until_too_few_are(
    state: Any, changes: dict[str, Any], reason: str
) -> None:
    joules: Any = {"idle": (50.0,) * 5, "prefill": FIVE}
    (few,) = energy_figures(energy_of(joules, {(state, n): changes for n in range(2)}))
    assert (few.n_windows, few.n_left_out, few.refusal) == (3, 2, None)
    assert few.energy_j == pytest.approx(10.0)
    (many,) = energy_figures(energy_of(joules, {(state, n): changes for n in range(3)}))
    assert (many.n_windows, many.n_left_out, many.refusal) == (2, 3, reason)
    assert many.energy_j is many.net_j is many.energy_ci95 is many.power_w is None


@pytest.mark.parametrize(
    "changes", [{"n_updates": 20}, {"n_wraps": 1}, {"n_throttles": 0}, {"busy_share": 0.9}]
)
def test_what_is_sound(changes: dict[str, Any]) -> None:
    joules: Any = {"idle": (50.0,) * 5, "prefill": FIVE}
    told: Any = {("prefill", n): changes for n in range(5)}
    (figure,) = energy_figures(energy_of(joules, told))
    assert figure.n_windows == 5


@pytest.mark.parametrize(
    ("load", "is_refused"),
    [
        (Load(core_seconds=10.0, others_share=0.06), True),
        (Load(core_seconds=10.0, stolen_share=0.06), True),
        (Load(core_seconds=10.0, others_share=0.03, stolen_share=0.01), False),
        # Of a second of core time, two ticks may be nobody's.
        (Load(core_seconds=1.0, others_share=0.06), False),
    ],
)
def test_other_load_disturbs(load: Load, is_refused: bool) -> None:
    energy = energy_of({"idle": (50.0,) * 5, "prefill": FIVE})
    loaded = energy.replace(windows=tuple(one.replace(load=load) for one in energy.windows))
    (figure,) = energy_figures(loaded)
    assert figure.refusal == ("disturbed" if is_refused else None)


def two_sources() -> Energy:
    """A package and a GPU; the GPU's third window of prefill is throttled, and all of decode's."""
    sources = (EnergySource("package", "RAPL"), EnergySource("CUDA0", "NVML"))
    windows = []
    for number in range(4):
        idle = window("idle", number, reading(50), reading(100))
        hot = {"n_throttles": int(number == 2)}
        prefill = window("prefill", number, reading(100), reading(300 + number, **hot))
        decode = window("decode", number, reading(60), reading(200, n_throttles=1))
        windows += [idle, prefill, decode]
    return Energy(window_s=5.0, sources=sources, windows=tuple(windows))


def test_sources_are_added_up_over_the_windows_that_are_sound_for_all() -> None:
    found = {(one.phase, one.source): one for one in energy_figures(two_sources())}
    assert list(found) == [
        ("prefill", "package"), ("prefill", "CUDA0"), ("prefill", TOTAL),
        ("decode", "package"), ("decode", "CUDA0"),
    ]  # fmt: skip
    assert found["prefill", "package"].n_windows == 4
    total = found["prefill", TOTAL]
    assert (total.n_windows, total.n_left_out) == (3, 1)
    assert total.parts == ("package", "CUDA0")
    assert total.energy_j == pytest.approx((400 + 401 + 403) / 30)
    assert total.net_j == pytest.approx((400 + 401 + 403) / 30 - 15.0)
    assert found["decode", "CUDA0"].refusal == "throttled"


def test_the_figure_of_a_phase_is_its_total_or_its_only_one() -> None:
    figures = energy_figures(two_sources())
    prefill, decode = (main_figure(figures, phase) for phase in ("prefill", "decode"))
    assert prefill is not None and prefill.source == TOTAL
    # Without the GPU's it would look like the energy of all.
    assert decode is None
    refused = [EnergyFigure("prefill", TOTAL, refusal="few_windows")]
    known = [EnergyFigure("prefill", name, energy_j=1.0) for name in ("package", "dram")]
    assert main_figure([*known, *refused], "prefill") is None


def test_the_interval_of_several_processes_is_over_their_means() -> None:
    one = energy_of({"idle": (50,) * 3, "prefill": (99, 100, 101)})
    other = energy_of({"idle": (50,) * 3, "prefill": (119, 120, 121)})
    joined = one.joined(other)
    assert {(w.process, w.round) for w in joined.windows} == {
        *((0, n) for n in range(3)), *((1, n) for n in range(3, 6))
    }  # fmt: skip
    (figure,) = energy_figures(joined)
    assert figure.energy_j == pytest.approx(11.0)
    half = critical_value(0.05, 1) * 1.0
    assert figure.energy_ci95 == pytest.approx((11.0 - half, 11.0 + half))


def test_refusals_of_a_phase_are_figures_without_figures() -> None:
    energy = energy_of({"idle": FIVE}, refusals=(EnergyRefusal("context_full", phase="decode"),))
    (figure,) = energy_figures(energy)
    assert (figure.phase, figure.refusal, figure.energy_j) == ("decode", "context_full", None)
    assert energy_figures(energy_of({"idle": FIVE})) == ()


def test_the_table_has_the_figures_of_the_json() -> None:
    figures = energy_figures(two_sources())
    table = energy_table(figures)
    assert list(table) == list(COLUMNS) and len(table) == len(figures)
    first = figures[0].record()
    assert table["energy_j"][0] == first["energy_j"]
    assert table["energy_ci95.high"][0] == first["energy_ci95"][1]
    assert table["refusal"].tolist()[-1] == "throttled" and pd.isna(table["net_j"].iloc[-1])
    assert list(energy_table(())) == list(COLUMNS)


def test_blocks_have_their_share_and_none_where_it_is_withheld() -> None:
    blocks = pd.DataFrame(
        {
            "phase": ["prefill", "prefill", "decode"],
            "block": ["ffn", "attention", "ffn"],
            "share": [0.75, 0.25, None],
        }
    )
    rows = modelled_energy(energy_figures(example_energy()), blocks)
    assert [(row["phase"], row["block"]) for row in rows] == [
        ("prefill", "ffn"), ("prefill", "attention"),
    ]  # fmt: skip
    assert [row["energy_j"] for row in rows] == pytest.approx([7.5, 2.5])
    assert [row["net_j"] for row in rows] == pytest.approx([3.75, 1.25])
