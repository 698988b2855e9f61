"""Where schemes stand: as texts, and as the class or function itself."""

from __future__ import annotations

import gguf
import pytest

from slmprof.errors import UsageError
from slmprof.settings.recipe import DEFAULT_FILE_TYPE, Recipe


class Mine:
    """Stands in this file."""


def test_a_class_becomes_the_place_where_it_stands() -> None:
    assert Recipe.of(scheme=gguf.quants.Q4_0).scheme == "gguf.quants:Q4_0"
    assert Recipe.of(scheme=Mine).scheme == f"{__file__}:Mine"
    assert Recipe.of(scheme="a/b.py:Mine").scheme == "a/b.py:Mine"


@pytest.mark.parametrize("place", ["mine.py", ":Mine", "mine.py:", "mine.py:My-Scheme", "", 3])
def test_what_is_no_place(place: object) -> None:
    with pytest.raises(UsageError, match="scheme: "):
        Recipe.of(scheme=place)


def test_what_was_typed_into_an_interpreter_stands_nowhere() -> None:
    space: dict[str, object] = {"__name__": "typed"}
    exec("class Typed: ...", space)
    with pytest.raises(UsageError, match="Typed stands in no file"):
        Recipe.of(scheme=space["Typed"])
    with pytest.raises(UsageError, match="no class or function at the top of a file"):
        Recipe.of(scheme=lambda values: values)


def test_other_weights_stay_as_they_are_unless_a_file_type_is_given() -> None:
    assert Recipe.of().file_type == DEFAULT_FILE_TYPE
    assert Recipe.of(scheme="a.py:A").file_type is None
    assert Recipe.of(scheme="a.py:A", file_type="Q8_0").file_type == "Q8_0"
    assert Recipe.from_json(Recipe.of(scheme="a.py:A").to_json()) == Recipe.of(scheme="a.py:A")
    for settings in ({"pure": True}, {"tensor_type": "ffn=q8_0"}, {"leave_output_tensor": True}):
        with pytest.raises(UsageError, match="without a file_type"):
            Recipe.of(scheme="a.py:A", **settings)
    with pytest.raises(UsageError, match="there is no scheme"):
        Recipe.of(scheme_tensors="ffn")
