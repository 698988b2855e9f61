"""Which file a model is: its header's digest, its parts, and what changed."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from slmprof.errors import CaptureError, ModelError
from slmprof.models.identity import check_unchanged, identify, model_parts


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(name: str = "a model", tokens: int = 3, data: bytes = bytes(64)) -> bytes:
    """A file with a text, a list of texts, a list of numbers, and one tensor."""
    pairs = [
        text("general.name") + struct.pack("<I", 8) + text(name),
        text("tokens") + struct.pack("<IIQ", 9, 8, tokens) + b"".join(map(text, "x" * tokens)),
        text("types") + struct.pack("<IIQ", 9, 5, tokens) + bytes(4 * tokens),
        text("flag") + struct.pack("<IB", 7, 1),
    ]
    tensor = text("output.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs))
    return head + b"".join(pairs) + tensor + data


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(gguf())
    return path


def test_the_digest_is_that_of_the_header_alone(model: Path) -> None:
    (first,) = identify(model)
    assert first.size_bytes == model.stat().st_size and first.inode == model.stat().st_ino
    model.write_bytes(gguf(data=b"1" * 64))
    (weights,) = identify(model)
    model.write_bytes(gguf(name="b model"))
    (named,) = identify(model)
    model.write_bytes(gguf(tokens=4))
    (longer,) = identify(model)
    assert first.sha256 == weights.sha256
    assert len({first.sha256, named.sha256, longer.sha256}) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF",
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**64 - 1),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 5, 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<IIQ", 9, 8, 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("a") + struct.pack("<I", 77),
        b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("a") + struct.pack("<I", 2**32 - 1),
    ],
)
def test_a_damaged_header_has_a_digest_too(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    (first,) = identify(path)
    path.write_bytes(content + b"more")
    assert identify(path)[0].sha256 != first.sha256


def test_a_model_that_stays_as_it_is_passes(model: Path) -> None:
    check_unchanged(model, identify(model))


def test_another_file_of_the_same_content_and_time_is_another_file(model: Path) -> None:
    before = identify(model)
    copy = model.with_name("copy.gguf")
    shutil.copy2(model, copy)
    copy.replace(model)
    assert [file.content for file in identify(model)] == [file.content for file in before]
    with pytest.raises(CaptureError, match=r"^small.gguf changed while it was measured .another"):
        check_unchanged(model, before)


def test_what_changed_is_named(model: Path) -> None:
    before = identify(model)
    with model.open("ab") as file:
        file.write(b"more")
    with pytest.raises(CaptureError, match="bytes, now"):
        check_unchanged(model, before)
    model.write_bytes(gguf())
    with pytest.raises(CaptureError, match="time of modification"):
        check_unchanged(model, before)
    model.write_bytes(gguf(name="z model"))
    with pytest.raises(CaptureError, match="its header"):
        check_unchanged(model, before)
    model.unlink()
    with pytest.raises(CaptureError, match="changed since yesterday: cannot read"):
        check_unchanged(model, before, "since yesterday")


def test_every_part_of_a_split_model_counts(tmp_path: Path) -> None:
    first = tmp_path / "split-00001-of-00002.gguf"
    second = tmp_path / "split-00002-of-00002.gguf"
    first.write_bytes(gguf())
    with pytest.raises(ModelError, match="00002-of-00002"):
        identify(first)
    second.write_bytes(gguf("part"))
    before = identify(first)
    assert model_parts(first) == [first, second] and len(before) == 2
    second.write_bytes(gguf("part", 5))
    with pytest.raises(CaptureError, match=r"split-00002-of-00002.gguf changed"):
        check_unchanged(first, before)
