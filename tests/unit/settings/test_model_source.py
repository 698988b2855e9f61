"""What a MODEL means, as far as no file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmprof.errors import ModelError, UsageError
from slmprof.models.presets import PRESETS
from slmprof.settings.model_source import CONFIG, DIMENSIONS, FILE, PRESET, ModelSource


@pytest.mark.parametrize(
    ("text", "kind", "name", "file_type", "short"),
    [
        ("a/b.gguf", FILE, "a/b.gguf", None, "b"),
        ("a/b.bin", FILE, "a/b.bin", None, "b.bin"),
        ("a/b@c.gguf", FILE, "a/b@c.gguf", None, "b@c"),
        ("preset:tiny", PRESET, "tiny", None, "tiny"),
        ("PRESET:qwen2-0.5b@Q8_0", PRESET, "qwen2-0.5b", "Q8_0", "qwen2-0.5b-Q8_0"),
        ("hub/small/config.json", CONFIG, "hub/small/config.json", None, "small"),
        ("hub/small/config.json@F16", CONFIG, "hub/small/config.json", "F16", "small-F16"),
        ("hub/mine.JSON", CONFIG, "hub/mine.JSON", None, "mine"),
    ],
)
def test_what_a_text_means(
    text: str, kind: str, name: str, file_type: str | None, short: str
) -> None:
    source = ModelSource.parse(text)
    assert source == ModelSource(text, kind, name, file_type)
    assert source.short_name == short
    assert source.is_synthesised == (kind != FILE)
    assert ModelSource.parse(source) is source


@pytest.mark.parametrize(
    ("text", "bare", "file_type", "short"),
    [
        ("a/b.gguf@s/mine.c:q3", "a/b.gguf", None, "b-q3"),
        ("a/b@c.gguf@mine.py:Mine", "a/b@c.gguf", None, "b@c-Mine"),
        ("preset:tiny@mine.cpp:q3", "preset:tiny", "F16", "tiny-q3"),
        ("preset:tiny@F32@mine.c:q3", "preset:tiny@F32", "F32", "tiny-q3"),
        ("hub/config.json@mine.c:q3", "hub/config.json", "F16", "hub-q3"),
    ],
)
def test_a_model_in_a_scheme(text: str, bare: str, file_type: str | None, short: str) -> None:
    source = ModelSource.parse(text)
    assert (source.text, source.bare.text, source.file_type) == (text, bare, file_type)
    assert source.short_name == short and source.bare.scheme is None
    assert source.scheme == text.rpartition("@")[2]
    with pytest.raises(ModelError, match="names a scheme, which goes with a model that runs"):
        source.refuse_scheme()
    assert source.bare.refuse_scheme() == source.bare
    file = Path(text.rpartition("@")[2].rpartition(":")[0])
    assert str(file.absolute()) in source.absolute


def test_folders_of_a_scheme_may_have_an_at(tmp_path: Path) -> None:
    folder = tmp_path / "me@corp"
    folder.mkdir()
    (folder / "mine.c").write_text("")
    source = ModelSource.parse(f"m.gguf@{folder}/mine.c:q3")
    assert source.bare.text == "m.gguf" and source.scheme == f"{folder}/mine.c:q3"


def test_a_model_has_one_scheme() -> None:
    with pytest.raises(ModelError, match="names two schemes"):
        ModelSource.parse("a.gguf@x.c:a@y.c:b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "MODEL is empty; name a GGUF file"),
        ("preset:", "names no preset"),
        ("preset:@Q8_0", "names no preset"),
        ("preset:tiny@", "'preset:tiny@' names no type behind its @; write preset:tiny@Q8_0 or"),
        ("x/config.json@", "names no type behind its @"),
    ],
)
def test_what_means_nothing(text: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        ModelSource.parse(text)
    assert message in str(caught.value)


def test_a_file_with_an_at_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.json@F16"
    assert ModelSource.parse(path).kind == CONFIG
    path.write_text("GGUF")
    assert ModelSource.parse(path).kind == FILE


def test_what_is_synthesised_from_needs_no_prefix() -> None:
    assert ModelSource.described("tiny").name == ModelSource.described("preset:tiny").name == "tiny"
    assert ModelSource.described("x/config.json").kind == CONFIG
    dimensions = PRESETS["tiny"].dimensions
    source = ModelSource.described(dimensions)
    assert (source.kind, source.dimensions, source.short_name) == (
        DIMENSIONS, dimensions, "Tiny-25M",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["\ud800", "t.gguf\0", "c.json\0", "m\0.gguf@f.c:x", "preset:\0"])
def test_a_name_that_no_file_can_have_is_quoted(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        ModelSource.parse(name)
    quoted = ascii(name)
    assert str(caught.value) == f"model: {quoted} is no MODEL: no file can have such a name"
    assert ModelSource.parse("\udcff.gguf").path == Path("\udcff.gguf")  # as Python has \xff
