"""What a model is called in reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmprof.models.resolve import model_name


@pytest.mark.parametrize(("own", "name"), [("Llama", "Llama"), ("", "file"), ("n/a", "file")])
def test_models_without_a_name_have_their_files(own: str, name: str) -> None:
    assert model_name(own, Path("folder/file.gguf")) == name
