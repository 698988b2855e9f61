"""What is said where nothing fits: what would, or how much is missing."""

from __future__ import annotations

from slmprof.planning.records import FitChange
from slmprof.reporters.documents.plans.plan_fit import change_text

MIB = 1 << 20


def test_a_change_is_written_as_its_options() -> None:
    text = change_text(FitChange({"n_outputs_max": 1}, 8192, 257 * MIB, 0), "reserved")
    assert text == "With --n-outputs-max 1 a context of 8192 fits: 257.00 MiB reserved."
    both = FitChange({"n_ubatch": 128, "type_k": "q8_0"}, 4096, MIB, 0)
    assert "With --n-ubatch 128 --type-k q8_0 a context" in change_text(both, "resident")
    assert "1.00 MiB resident" in change_text(both, "resident")


def test_where_no_change_is_enough_it_says_how_much_is_missing() -> None:
    text = change_text(FitChange({"file_type": "Q2_K"}, 256, 9 * MIB, 2 * MIB), "resident")
    assert "Even with --file-type Q2_K" in text and "2.00 MiB are missing" in text
    assert "No setting" in change_text(FitChange({}, 256, 9 * MIB, 2 * MIB), "resident")
