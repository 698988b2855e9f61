"""The report of a sweep: names, dimensions, ranks, warnings in their rows, blocks at any width."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from depth_builder import profile_at, with_config
from disturbance_builder import disturbed_profile, every_step
from reports import data, shown

from slmprof.analysis.timing.samples import LatencySamples
from slmprof.analysis.verdicts.caveats import contradictions
from slmprof.analysis.verdicts.sweep import (
    SweepPoint,
    in_order,
    summarize_point,
    sweep_table,
    varying,
)
from slmprof.profiles.records.fallbacks import Fallback, Fallbacks
from slmprof.profiles.records.meta import Meta
from slmprof.reporters.documents.sweep import sweep_document

pytestmark = pytest.mark.usefixtures("by_name")


def point(
    file: str, source: str, model: dict[str, Any] | None = None, warnings: tuple[str, ...] = (),
    **config: Any,
) -> SweepPoint:  # fmt: skip
    """A point of a model that was given as `source`."""
    profile = with_config(profile_at((0,)), **config)
    meta = profile.meta.to_json()
    meta["run"]["sweep"] = {
        "settings": {"model": source},
        "model": {"dimensions": source} if source.endswith(".json") else {"size_bytes": 7},
    }
    meta["model"].update(model or {})
    meta["environment"]["warnings"] = list(warnings)
    return summarize_point(file, replace(profile, meta=Meta.from_json(meta)))


def at(sample: SweepPoint, ms: float) -> SweepPoint:
    """The point as if its processes had needed so long."""
    samples = LatencySamples(tuple(ms * (1 + 0.001 * i) for i in range(6)), 6)
    return replace(sample, samples=dict.fromkeys(sample.samples, samples))


def text(points: list[SweepPoint], **options: Any) -> str:
    return shown(sweep_document(in_order(points), []), **options)


def names(points: list[SweepPoint]) -> list[str]:
    return [one.name for one in in_order(points)]


def test_two_models_of_one_name_are_told_apart_by_where_they_are() -> None:
    named = {"name": "llama-24x720", "file_type": "Q4_K - Medium"}
    assert names(
        [point("a", "/m/a/config.json", named), point("b", "/m/b/config.json", named)]
    ) == [
        *("a/config.json", "b/config.json"),
    ]
    deep = [point(f, f"/m/{f}/best/model.gguf", named) for f in ("x", "y")]
    assert names(deep) == ["x/best/model.gguf", "y/best/model.gguf"]
    said = text(deep)
    assert "x/best/model.gguf" in said and "y/best/model.gguf" in said


def test_one_model_keeps_its_name() -> None:
    points = [point("a", "/m/one.gguf", threads=1), point("b", "/m/one.gguf", threads=2)]
    assert len(set(names(points))) == 1 and "/" not in names(points)[0]


def test_types_of_one_design_are_part_of_its_name() -> None:
    types = [
        point(f, f"/m/config.json@{f}", {"name": "m", "file_type": t})
        for f, t in (("a", "Q8_0"), ("b", "Q4_K - Medium"))
    ]
    assert sorted(names(types)) == ["m@Q4_K_M", "m@Q8_0"]
    assert varying(in_order(types)) == ("model",)
    assert all(one in text(types) for one in ("m@Q4_K_M", "m@Q8_0"))


def test_equal_sources_of_different_content_are_numbered() -> None:
    same = point("a", "/m/x.gguf")
    other = point("b", "/m/x.gguf")
    swapped = replace(other, meta=other.meta.replace_run(sweep=replace_model(other)))
    assert names([same, swapped]) == ["/m/x.gguf (1)", "/m/x.gguf (2)"]


def replace_model(one: SweepPoint) -> Any:
    sweep = one.meta.run.sweep
    assert sweep
    return sweep.replace(model=sweep.model.replace(dimensions="other"))


def test_dimensions_sizes_and_bits_are_columns() -> None:
    built = {
        "n_layer": 12, "n_embd": 640, "n_head": 10, "n_head_kv": 2, "n_ff": 2048, "n_vocab": 5,
        "n_params": 16_000_000, "size_bytes": 9_000_000,
    }  # fmt: skip
    points = [point("a", "/m/a.gguf", built), point("b", "/m/b.gguf", {**built, "n_layer": 6})]
    row = sweep_table(in_order(points)).iloc[0]
    assert {name: row[name] for name in built} == built
    assert row["bits_per_weight"] == 4.5
    said = text(points)
    assert "Models" in said and all(t in said for t in ("layers", "640", "10/2", "2048", "4.50"))
    record = data(sweep_document(in_order(points), []))["points"][0]
    assert record["dimensions"]["n_head_kv"] == 2 and record["name"]
    # One model alone needs no table, and an old profile knows no heads.
    assert "Models" not in text([points[0]])
    assert sweep_table([point("a", "/m/a.gguf")])["n_head"].isna().all()


def test_ranks_say_what_cannot_be_told_apart() -> None:
    points = [point(f, "/m/a.gguf", threads=i + 1) for i, f in enumerate("abc")]
    points = [at(one, ms) for one, ms in zip(points, (10.0, 10.05, 20.0), strict=True)]
    said = text(points)
    rows = [line.split() for line in said.splitlines() if line[:1] in "123"]
    assert [row[4] for row in rows if len(row) > 4][:3] == ["1-2", "1-2", "3"]
    assert "cannot be told apart" in said.replace("\n", " ") and "--processes" not in said
    made = data(sweep_document(in_order(points), []))["ranking"]
    assert [(r["best"], r["worst"]) for r in made if r["phase"] == "decode"] == [
        *((1, 2), (1, 2), (3, 3)),
    ]
    header = shown(sweep_document(in_order(points), []), "csv").splitlines()[0]
    assert header.endswith("rank_best,rank_worst,warnings")


@pytest.mark.parametrize("names", ["", "a"])
def test_a_point_that_failed_is_a_row_with_its_reason(names: str) -> None:
    points = [point(name, "/m/a.gguf") for name in names]
    made = shown(sweep_document(in_order(points), [("b.slmprof", "it died, alone")]), "csv")
    rows = list(csv.DictReader(io.StringIO(made)))
    assert (rows[-1]["file"], rows[-1]["error"]) == ("b.slmprof", "it died, alone")
    assert [row["error"] for row in rows[:-1]] == [""] * (len(rows) - 1)
    assert len(rows) == 1 + 2 * len(names)


def test_one_process_each_is_said() -> None:
    points = [point(f, "/m/a.gguf", threads=i + 1) for i, f in enumerate("ab")]
    assert "--processes 5" in text(points).replace("\n", " ")
    assert "rank" not in text(points[:1])


def test_warnings_stand_in_the_rows_that_they_concern() -> None:
    points = [
        point("a", "/m/a.gguf", warnings=("the clock ran backwards",), threads=1),
        point("b", "/m/a.gguf", threads=2),
    ]
    points = [replace(p, caveats=tuple(c for c in p.caveats if "clock" in c)) for p in points]
    said = text(points)
    assert "(a) the clock ran backwards" in said
    rows = [line for line in said.splitlines() if line.startswith(("1 ", "2 "))]
    assert ["(a)" in row for row in rows[:2]] == [True, False]


def test_many_warnings_are_counted() -> None:
    warnings = tuple(f"doubt number {letter}" for letter in "ijklmnopqrst")
    one = replace(point("a", "/m/a.gguf"), caveats=warnings)
    said = text([one])
    assert said.count("doubt number") == 8 and "(+) 4 more" in said
    assert "(abcdefgh+)" in said


def test_warnings_that_differ_in_their_numbers_are_one() -> None:
    points = [
        replace(
            point(f, "/m/a.gguf", threads=i + 1),
            caveats=(f"others used {10 * i + 20} % of the time", f"{f} is odd"),
        )
        for i, f in enumerate("xyz")
    ]
    said = text(points)
    assert said.count("others used") == 1
    assert "(a) others used 20 % of the time (first of 3 points)" in said
    assert all(f"(a{letter})" in said for letter in "bcd")


@pytest.mark.parametrize("width", [80, 200])
def test_blocks_are_shown_at_every_width(width: int) -> None:
    points = [
        point(f"{'long' * 12}{i}", "/m/a.gguf", threads=i + 1, n_batch=512 + i, n_ubatch=64 + i,
              n_ctx=4096 + i, flash_attn=("on", "off")[i])
        for i in range(2)
    ]  # fmt: skip
    said = text(points, width=width)
    assert max(map(len, said.splitlines())) <= width
    assert sum("attention" in line and "lm_head" in line for line in said.splitlines()) == 2
    short = text([point(f, "/m/a.gguf", threads=i + 1) for i, f in enumerate("ab")])
    # Where there is room, in one table.
    assert any("tokens/s" in line and "ms/token" in line for line in short.splitlines())


def test_blocks_say_their_unit_and_doubts_what_they_concern() -> None:
    points = [point(f, "/m/a.gguf", threads=i + 1) for i, f in enumerate("ab")]
    lines = text(points).splitlines()
    named = [i for i, line in enumerate(lines) if line.split()[:1] == ["attention"]]
    assert len(named) == 2
    for i in named:
        assert lines[i + 1].split()[-len(lines[i].split()) :] == ["ms/token"] * len(
            lines[i].split()
        )
    disturbed = summarize_point("a", disturbed_profile(every_step))
    said = " ".join(text([disturbed]).split())
    assert "those of decode are of disturbed steps" in said and "withheld" not in said
    summary = replace(disturbed_profile(every_step).phase_summaries[1], off_core_share=0.4)
    told = " ".join(contradictions([summary], shows_shares=False))
    assert "times of ops are those of disturbed steps" in told and "withheld" not in told


def test_types_that_fell_back_stand_above_the_tables() -> None:
    group = Fallback("q4_K", "f16", 7, (720,), 900, 250)
    found = Fallbacks("Q4_K_M", 9, 1000, 1000, (group,))
    points = [replace(point("a", "/m/a.gguf"), fallbacks=found), point("b", "/m/b.gguf")]
    said = " ".join(text(points).split())
    assert "asked Q4_K_M: 7 of 9 tensors (rows of 720) fell back to f16: 8.00 bits" in said
    assert said.index("fell back") < said.index("Prefill")
    told = data(sweep_document(in_order(points), []))["points"]
    assert [len(one["model"]["fallbacks"]) for one in told] == [1, 0]
