"""Memory in reports: JSON, CSV, Markdown, and the terminal at 80 columns."""

from __future__ import annotations

import csv as csv_module
import io
from dataclasses import replace
from typing import Any

import pytest
from builders import example_profile
from memory_builder import MIB, N_PAST, example_memory, with_memory
from reports import data, shown

from slmprof.profiles.records.resident import Resident, ResidentLine
from slmprof.reporters.documents.quantities import mebibytes
from slmprof.views import Profile

pytestmark = pytest.mark.usefixtures("by_name")


def on_terminal(profile: Profile, **how: Any) -> str:
    """Everything, or a view."""
    return shown(profile, is_full=True, **how)


def document(profile: Profile, **chosen: Any) -> dict[str, Any]:
    memory: dict[str, Any] = data(profile, **chosen)["memory"]
    return memory


def line(text: str, start: str) -> list[str]:
    (found,) = [row for row in text.splitlines() if row.startswith(start)]
    return found.removeprefix(start).split()


def test_json_keeps_its_keys_and_has_more() -> None:
    made = document(with_memory())
    assert {"buffers", "totals_bytes", "repacked_bytes", "rss_peak_bytes"} <= set(made)
    assert made["buffers"] == made["predicted"] == example_memory()["buffers"]
    assert made["totals_bytes"]["weights"] == 5 * MIB and made["totals_bytes"]["other"] == 0
    found = made["reconciliation"]
    assert (found["point"], found["n_past"]) == ("decode", N_PAST)
    assert sum(row["resident_bytes"] for row in found["terms"]) == found["peak_bytes"]
    assert found["terms"][-1]["resident_bytes"] == found["difference_bytes"]
    assert [seen["point"] for seen in made["observations"]] == [
        "start", "load", "prefill", "decode",
    ]  # fmt: skip
    assert made["caches"][0]["n_used"] == made["n_past"] == N_PAST
    assert "places" not in made


def test_places_are_a_view() -> None:
    made = document(with_memory(), by="place")
    assert made["places"][0]["tensor"] == "token_embd.weight"
    assert [row["tensor"] for row in document(with_memory(), by="place", top=1)["places"]] == [
        "blk.0.attn_q.weight"
    ]
    assert document(example_profile(), by="place")["places"] == []
    text = on_terminal(with_memory(), by="place", top=3)
    assert "Places of tensors, bytes (3 of 4)" in text
    assert line(text, "cache_k_l0") == ["f16", "CPU", "2", "0", str(MIB // 4)]
    wide = on_terminal(with_memory(), by="place", width=200)
    assert "1024x2048" in wide and "in the file" in wide
    rows = list(csv_module.DictReader(io.StringIO(shown(with_memory(), "csv", by="place"))))
    assert (rows[0]["shape"], rows[0]["file_offset_bytes"], rows[0]["layer"]) == (
        "1024x2048", "4096", "",
    )  # fmt: skip
    assert rows[-1]["n_cells"] == "64"


def test_the_terminal_shows_three_figures() -> None:
    text = on_terminal(with_memory())
    assert f"Memory at its peak (point decode, {N_PAST} tokens in the context)" in text
    source = line(text, "mmapped source of repacked weights")
    assert source == ["CPU_Mapped", "2.00", "2.00", "2.00"]
    assert line(text, "compute buffer") == ["CPU", "0.50", "0.50", "0.25"]
    assert line(text, "difference") == ["+0.62"]
    assert line(text, "process before loading") == ["8.00"]
    assert "6.00       6.00     15.50" in text
    assert line(text, "KV cache  f16") == ["1", "-", "64", "18", "0.50", "0.14"]
    assert line(text, "decode       18") == ["15.00", "15.00", "4.00", "11.00", "900", "0"]


def test_unknown_figures_are_dashes_and_old_profiles_show_their_buffers() -> None:
    seen = example_memory()["observations"]
    for buffer in seen[-1]["buffers"]:
        buffer["resident_bytes"] = buffer["original_resident_bytes"] = None
    text = on_terminal(with_memory(observations=seen))
    assert line(text, "compute buffer")[-1] == line(text, "difference")[-1] == "-"
    old = on_terminal(example_profile())
    assert "\nMemory\n" in old and "predicted" not in old and "tokens in the context" not in old
    assert line(old, "KV cache") == ["CPU", "1.00"]
    assert "Peak resident memory of the process: 20.00 MiB." in " ".join(old.split())


def test_what_was_expected_stands_beside_what_was_observed() -> None:
    assert "expected" not in shown(with_memory())
    lines = (
        ResidentLine("weights", 3 * MIB, is_evictable=True),
        ResidentLine("originals", 2 * MIB, is_evictable=True, is_needed=False),
        ResidentLine("kv_cache", MIB // 2), ResidentLine("compute", MIB // 4),
        ResidentLine("heap", MIB), ResidentLine("process", 8 * MIB), ResidentLine("recorder", MIB),
    )  # fmt: skip
    plain = with_memory()
    memory = plain.meta.memory.replace(resident_expected=Resident(4, lines))
    profile = replace(plain, meta=plain.meta.replace(memory=memory))
    assert line(shown(profile), "resident, expected") == ["5.00", "0.50", "0.25", "10.00", "15.75"]
    told = document(profile)
    assert told["resident_expected_bytes"] == 15 * MIB + 3 * MIB // 4
    assert {"kind": "heap", "size_bytes": MIB}.items() <= told["resident_expected"][4].items()
    assert document(plain)["resident_expected_bytes"] is None


@pytest.mark.parametrize("by", [None, "place"])
def test_nothing_is_wider_than_80_columns(by: str | None) -> None:
    profile = with_memory()
    odd = {
        "cache_k_l0": "a_tensor_of_a_name_that_is_far_too_long_for_it-27",
        "CPU_Mapped": "\x1b[2J",
    }
    named = replace(profile, strings=tuple(odd.get(text, text) for text in profile.strings))
    text = on_terminal(named, by=by)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_markdown_has_the_device() -> None:
    text = shown(with_memory(), "markdown", is_full=True)
    assert "| weights, repacked | CPU\\_REPACK | CPU | 2.00 | 2.00 | 2.00 |" in text
    assert "| difference |  |  |  |  | +0.62 |" in text


def test_mebibytes() -> None:
    assert [mebibytes(v) for v in (0, 1024, MIB // 2, -3 * MIB, 2**40)] == [
        "0.00", "0.0010", "0.50", "-3.00", "1048576.00",
    ]  # fmt: skip
