"""How the benchmark of verdicts counts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    for name in ("reporting", "verdicts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import verdicts

    return verdicts


def test_only_the_block_that_changed_may_differ(verdicts: ModuleType) -> None:
    def is_right(**told: str) -> bool:
        blocks = [(*key.split("_", 1), verdict) for key, verdict in told.items()]
        found = verdicts.Found("tiny", verdicts.QUIET, "FFN 5.0 % wider", blocks, len(blocks), "")
        right: bool = found.is_right("ffn", "slower")
        return right

    assert is_right(decode_ffn="slower") and is_right(decode_ffn="slower", prefill_ffn="slower")
    assert not is_right() and not is_right(prefill_ffn="slower")
    assert not is_right(decode_ffn="faster")
    assert not is_right(decode_ffn="slower", decode_attention="slower")
    assert not is_right(decode_ffn="slower", prefill_lm_head="faster")


def test_the_smallest_widening_is_one_from_which_on_all_are_found(verdicts: ModuleType) -> None:
    names = [verdicts.wider(factor) for factor in verdicts.WIDER]
    for found, least in (((0.15, 0.95), 0.05), ((1.0, 1.0), 0.025), ((1.0, 0.9), None)):
        shares = dict(zip(names, found, strict=True))
        expected = least if least is None else pytest.approx(least)
        assert verdicts.smallest_found(shares) == expected


def test_variants_differ_in_one_thing_and_keep_whole_blocks(verdicts: ModuleType) -> None:
    for model in verdicts.BASES:
        dimensions = verdicts.variants_of(model)
        base = dimensions["base"]
        for factor in verdicts.WIDER:
            wider = dimensions[verdicts.wider(factor)]
            assert wider.n_ff_of(0) == pytest.approx(base.n_ff_of(0) * factor)
            assert wider.n_ff_of(0) % 32 == 0 and base.n_ff_of(0) % 32 == 0
        assert 2 * dimensions[verdicts.HALVED].n_head_kv_of(0) == base.n_head_kv_of(0)


def test_sessions_of_several_runs_are_counted_together(
    verdicts: ModuleType, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    assert verdicts.read_kept(kept) == verdicts.read_kept(None) == []
    told = [("decode", "ffn", "slower")]
    found = [verdicts.Found("tiny", verdicts.BUSY, name, told, 3, "text") for name in ("a", "b")]
    for one in found:
        verdicts.keep(one, kept)
        verdicts.keep(one, None)
    assert verdicts.read_kept(kept) == found
