"""Predicted memory is allocated memory, to the byte, for every architecture of llama.cpp's corpus.

The environment variable SLMPROF_PEERS_DIR names the folder with the program that writes it; without
it these tests are skipped.
"""

from __future__ import annotations

import pytest
from corpus_run import MODELS, PLANNED, Corpus


@pytest.mark.parametrize("name", MODELS)
def test_predicted_is_allocated(corpus: Corpus, name: str) -> None:
    found = corpus.plan_differences(name)
    assert len(found) == len(PLANNED) * 2
    assert {setting: what for setting, what in found.items() if what} == {}
