"""What a MODEL string means, as far as no native code is needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmprof.errors import ModelError, UsageError
from slmprof.models.resolve import resolve_model


def test_a_gguf_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    assert resolve_model(path) == path
    assert resolve_model(str(path)) == path


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"GG", "not a GGUF"), (b"hello\n", "not a GGUF")]
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        resolve_model(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        resolve_model(tmp_path / "missing.gguf")
    with pytest.raises(ModelError, match="is a directory"):
        resolve_model(tmp_path)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"give its config\.json"):
        resolve_model(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ModelError, match="not a regular file"):
        resolve_model(path)


def test_all_parts_of_a_split_model_have_to_be_files(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3))
    first.write_bytes(b"GGUF")
    third.write_bytes(b"no")
    # Whether a model has the parts of its name is for llama.cpp to say, and it stops here.
    assert resolve_model(first) == first
    os.mkfifo(second)
    with pytest.raises(ModelError, match=r"00002-of-00003\.gguf: it is a pipe"):
        resolve_model(first)
    second.unlink()
    second.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"00003-of-00003\.gguf is not a GGUF file"):
        resolve_model(first)


def test_a_preset_without_its_prefix_is_pointed_out() -> None:
    with pytest.raises(ModelError, match="write preset:tiny"):
        resolve_model("tiny")


def test_unknown_preset_lists_close_matches() -> None:
    with pytest.raises(ModelError, match="did you mean tiny"):
        resolve_model("preset:tinny")


def test_odd_paths_end_in_one_clear_line() -> None:
    for model in ("", "x" * 5000):
        with pytest.raises(ModelError):
            resolve_model(model)
    with pytest.raises(UsageError, match="no file can have such a name"):
        resolve_model("a\0b")
