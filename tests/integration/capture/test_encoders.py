"""Models with an encoder: one that only encodes, and one whose decoder reads what it encoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_files import write_bert, write_t5

import slmprof


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert") / "bert.gguf")


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_t5(tmp_path_factory.mktemp("t5") / "t5.gguf")


def test_a_model_that_only_encodes_has_one_phase(bert: Path) -> None:
    profile = slmprof.profile(bert, n_prompt=16, n_gen=3, n_ctx=128, repeats=1)
    assert profile.phases()["phase"].tolist() == ["prefill"]
    assert profile.phases()["attributed_share"].min() > 0
    assert profile.meta.config.n_gen == 0


def test_a_decoder_behind_an_encoder_has_both(t5: Path) -> None:
    profile = slmprof.profile(t5, n_prompt=16, n_gen=3, n_ctx=128, repeats=1)
    assert profile.phases()["phase"].tolist() == ["prefill", "decode"]
    assert profile.phases()["n_samples"].tolist() == [1, 3]


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_what_an_encoder_cannot_do_is_said(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    with pytest.raises(slmprof.UsageError, match="one batch"):
        slmprof.profile(path, n_prompt=33, n_gen=3, n_ctx=128, n_ubatch=32, repeats=1)
    with pytest.raises(slmprof.UsageError, match="depth"):
        slmprof.profile(path, n_prompt=16, n_depth=(0, 8), n_gen=3, n_ctx=128, repeats=1)


def test_a_decoder_does_not_run_before_its_encoder(t5: Path) -> None:
    with slmprof.Session(t5, n_ctx=128) as session:
        with pytest.raises(slmprof.UsageError, match="prefill first"):
            session.decode(3)
        session.prefill(16)
        assert session.decode(3).shape == (3,)
