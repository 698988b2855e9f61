"""Energy in reports: every form of it, each refusal as one line, and what is modelled labelled."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from depth_builder import profile_at
from energy_builder import energy_of, example_energy
from reports import data, shown

from slmprof.profiles.merging import merge_processes
from slmprof.profiles.records.energy import Energy, EnergyRefusal, Reason
from slmprof.profiles.records.meta import Meta
from slmprof.reporters.documents.quantities import joules, joules_between
from slmprof.reporters.documents.runs import energy as document
from slmprof.views import Profile, load

REFUSED: Any = {("prefill", n): {"n_throttles": 1} for n in range(3)}


def with_energy(profile: Profile, energy: Energy | None = None) -> Profile:
    return replace(profile, meta=profile.meta.replace(energy=energy or example_energy()))


def throttled() -> Energy:
    joules = {"idle": (50, 50, 50), "prefill": (90, 100, 110), "decode": (58, 60, 62)}
    return energy_of(joules, REFUSED)  # type: ignore[arg-type]


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_the_json_has_figures_windows_and_what_is_modelled(profile: Profile) -> None:
    made = data(with_energy(profile))["energy"]
    assert (made["window_s"], made["n_depth"], made["refusals"]) == (5.0, 0, [])
    prefill, decode = made["figures"]
    assert prefill["energy_j"] == pytest.approx(10.0) and prefill["net_j"] == pytest.approx(5.0)
    assert prefill["energy_ci95"][0] < 10.0 < prefill["energy_ci95"][1]
    assert decode["refusal"] is None and decode["clock_reasons"] == []
    assert len(made["windows"]) == 9
    blocks = {row["block"]: row["share"] for row in data(profile)["blocks"]}
    modelled = [row for row in made["modelled"] if row["phase"] == "decode"]
    assert {row["block"] for row in modelled} <= set(blocks)
    # Blocks add up to a step, and no other table has energy.
    assert sum(row["energy_j"] for row in modelled) == pytest.approx(6.0)
    assert all("energy_j" not in row for row in data(with_energy(profile))["blocks"])


def test_a_run_without_energy_says_nothing_of_it(profile: Profile) -> None:
    assert "energy" not in data(profile)
    assert "Energy" not in shown(profile, is_full=True)
    assert "energy" not in profile.meta.to_json()
    assert "Energy was not measured; breakdown --energy" in shown(profile, by="energy")
    assert profile.energy().empty


def test_steps_of_another_length_than_the_headlines_are_said(profile: Profile) -> None:
    # A prompt of the example takes 26 ms, a token 15 ms; those of the windows 500.
    text = one_line(shown(with_energy(profile)))
    assert "Steps took another time here than in the latency: prefill 500 for 26 ms" in text
    latency_ms = {row["phase"]: row["latency_ms"]["median"] for row in data(profile)["phases"]}
    alike = tuple(
        one.replace(duration_ns=round(latency_ms[one.state] * one.n_steps * 1e6))
        if one.n_steps
        else one
        for one in example_energy().windows
    )
    text = shown(with_energy(profile, example_energy().replace(windows=alike)))
    assert "another time" not in text


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_people_see_joules_and_that_blocks_are_modelled(profile: Profile, form: str) -> None:
    text = shown(with_energy(profile), form, is_full=True)
    assert "Energy" in text and "net J" in text
    assert "Energy by block, modelled" in text
    assert "Modelled, not measured" in one_line(text)
    # The column says so, too.
    assert "modelled" in text.partition("Energy by block, modelled")[2]


def test_the_screen_has_the_energy_beside_the_latency(profile: Profile) -> None:
    text = shown(with_energy(profile))
    assert len(text.splitlines()) <= 50 and max(map(len, text.splitlines())) <= 80
    rows = text.partition("Energy")[2].splitlines()
    (row,) = (line.split() for line in rows if line.startswith("prefill") and "package" in line)
    assert row[:3] == ["prefill", "package", "10.00"]
    assert "modelled J" not in text


def test_a_refusal_is_one_line_and_keeps_the_rest(profile: Profile) -> None:
    refused = with_energy(profile, throttled())
    expected = (
        "No energy figures for prefill (package): the hardware held its clock down to protect "
        "itself; let it cool, and run again."
    )
    for text in (shown(refused), shown(refused, is_full=True), shown(refused, by="energy")):
        assert one_line(text).count(expected) == 1
        assert "6.000" in text
    (refusal,) = data(refused)["energy"]["refusals"]
    assert (refusal["reason"], refusal["source"], refusal["phase"], refusal["text"]) == (
        "throttled", "package", "prefill", expected
    )  # fmt: skip
    assert {row["phase"] for row in data(refused)["energy"]["modelled"]} == {"decode"}


def test_a_system_without_counters_costs_the_report_one_line(profile: Profile) -> None:
    detail = "/sys/class/powercap"
    refusals = (EnergyRefusal("no_counter", "package", detail=detail),)
    refused = with_energy(profile, Energy(window_s=5.0, refusals=refusals))
    text = one_line(shown(refused))
    assert "No energy figures (package): this system offers no counter" in text
    assert f"({detail})." in text and "J/step" not in text
    assert data(refused)["energy"]["figures"] == []


def test_every_reason_has_its_words() -> None:
    assert set(document._REASONS) == set(get_args(Reason))


def test_the_view_by_energy_is_a_table_for_scripts(profile: Profile) -> None:
    text = shown(with_energy(profile), "csv", by="energy")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["phase"] for row in rows] == ["prefill", "decode"]
    assert float(rows[0]["energy_j"]) == pytest.approx(10.0)
    assert float(rows[0]["net_ci95.low"]) < 5.0 < float(rows[0]["net_ci95.high"])
    (row,) = csv.DictReader(io.StringIO(shown(with_energy(profile), "csv", by="energy", top=1,
                                              phase="decode")))  # fmt: skip
    assert row["phase"] == "decode"
    table = with_energy(profile).energy()
    assert table["net_j"].tolist() == pytest.approx([5.0, 1.0])


def test_a_saved_profile_tells_its_energy(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "run.slmprof"
    with_energy(profile).save(path)
    loaded = load(path)
    assert loaded.meta.energy == example_energy()
    assert Meta.from_json(loaded.meta.to_json()).energy == example_energy()


def test_energy_is_that_of_its_depth() -> None:
    several = with_energy(profile_at((0, 64)), example_energy().replace(n_depth=0))
    assert several.at_depth(0).meta.energy is not None
    assert several.at_depth(64).meta.energy is None
    assert "at depth 0" in shown(several, is_full=True)


def test_processes_keep_the_windows_of_all(profile: Profile) -> None:
    one = with_energy(profile)
    merged = merge_processes([one, one])
    assert merged.meta.energy == example_energy().joined(example_energy())
    assert merge_processes([one, profile]).meta.energy == example_energy()
    other = example_energy().replace(sources=(), refusals=(EnergyRefusal("failed"),))
    joined = merge_processes([one, with_energy(profile, other)]).meta.energy
    assert joined is not None and joined.refusals == (EnergyRefusal("failed"),)
    assert joined.windows == example_energy().windows


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"), (1234.5, "1234.5"), (12.345, "12.35"), (0.5, "0.5000"), (0.0512, "0.05120"),
        (0.00071, "0.000710"), (0.0000712, "0.000071"), (-0.05, "-0.05000"), (0.0, "0.000000"),
    ],
)  # fmt: skip
def test_joules_have_about_four_digits(value: float | None, text: str) -> None:
    assert joules(value) == text
    assert joules_between(None) == "-"
    assert joules_between((0.5, 12.345)) == "0.5000 to 12.35"
