"""Recipes: what they take, and what is no recipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmprof.errors import UsageError
from slmprof.settings.recipe import Recipe


def test_settings_by_name(tmp_path: Path) -> None:
    recipe = Recipe.of(file_type="Q4_0", tensor_type="attn_v=q8_0", imatrix=tmp_path / "i.gguf")
    assert recipe.tensor_type == ("attn_v=q8_0",)
    assert recipe.imatrix == os.fspath(tmp_path / "i.gguf")
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.of() == Recipe(file_type="Q4_K_M")


def test_patterns_of_options_come_before_those_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "types.txt"
    path.write_text("ffn_DOWN=q6_K\n\n  blk\\.0\\..*=f16\tattn_k=q5_0")
    recipe = Recipe.of(tensor_type=["attn_v=q8_0", "a=b=q4_K"], tensor_type_file=path)
    assert recipe.tensor_types() == [
        ("attn_v", "q8_0"),
        ("a=b", "q4_K"),
        ("ffn_down", "q6_K"),
        (r"blk\.0\..*", "f16"),
        ("attn_k", "q5_0"),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"file_typ": "Q4_0"}, "no setting 'file_typ'"),
        ({"file_type": ""}, "file_type"),
        ({"tensor_type": "attn_v"}, "tensor_type: 'attn_v' is not PATTERN=TYPE"),
        ({"tensor_type": ["=q8_0"]}, "not PATTERN=TYPE"),
        ({"tensor_type": 7}, "tensor_type"),
        ({"pure": "yes"}, "pure: 'yes' is not true or false"),
        ({"imatrix": 3}, "imatrix"),
    ],
)
def test_what_is_no_recipe(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Recipe.of(**settings)


def test_files_of_patterns_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe=q8_0")
    (tmp_path / "words").write_text("attn_v q8_0")
    (tmp_path / "long").write_text("a=b " * 300_000)
    for name, message in (
        ("missing", "No such file"),
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("binary", "not UTF-8"),
        ("words", "'attn_v' is not PATTERN=TYPE"),
        ("long", "larger than"),
    ):
        recipe = Recipe.of(tensor_type_file=tmp_path / name)
        with pytest.raises(UsageError, match=message):
            recipe.tensor_types()
