"""Every architecture that the linked llama.cpp can build: all of it runs, and has its place.

llama.cpp's own program test-llama-archs writes a tiny model of each. The environment variable
SLMPROF_PEERS_DIR names the folder that the program is in; without it these tests are skipped.
"""

from __future__ import annotations

import pytest
from corpus_run import FLASH_ATTN, MODELS, Corpus

import slmprof

# What belongs to no block of the text model, by the names that docs/attribution.md gives it.
NAMED_PARTS_OF_OTHER = {"pooler", "vocoder"}


def test_no_model_is_without_a_test(corpus: Corpus) -> None:
    assert sorted(corpus.headers) == sorted(MODELS)
    assert corpus.n_announced == len(MODELS) >= 128


@pytest.mark.parametrize("flash_attn", FLASH_ATTN)
@pytest.mark.parametrize("name", MODELS)
def test_all_time_and_every_layer_has_its_place(corpus: Corpus, name: str, flash_attn: str) -> None:
    profile = slmprof.load(corpus.profile_path(name, flash_attn))
    ops = profile.ops()
    assert set(ops["phase"]) == {"prefill", "decode"}

    assert "UNRECORDED" not in set(ops["op"])
    assert (ops["part"] != "").all()
    other = ops[ops["block"] == "other"]
    assert set(other["part"]) <= NAMED_PARTS_OF_OTHER

    phases = profile.phases().set_index("phase")
    for view in (profile.blocks(), ops):
        for phase, total in view.groupby("phase")["time_ms"].sum().items():
            assert total == pytest.approx(phases.loc[phase, "segments_ms.ops"], rel=1e-9)

    # No file of the corpus has layers that a step leaves out, such as those of further heads.
    n_layers = corpus.headers[name].number("block_count")
    assert corpus.headers[name].number("nextn_predict_layers", 0) == 0
    for _, mine in ops.groupby("phase"):
        assert sorted(mine["layer"].dropna().unique()) == list(range(n_layers))
