"""Files that are truncated, foreign, or made to do harm."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_edits import edit, npy
from builders import example_profile
from memory_builder import with_memory

from slmprof.commands.main import main
from slmprof.errors import ProfileFormatError, SlmprofError
from slmprof.profiles.storage import archive
from slmprof.profiles.storage.file import load, save
from slmprof.views import Profile


@pytest.mark.parametrize("data", [b"", b"text\n", b"GGUF\x03\0\0\0", b"PK\x03\x04", b"\0" * 5000])
def test_foreign_files(data: bytes, tmp_path: Path) -> None:
    target = tmp_path / "p"
    target.write_bytes(data)
    with pytest.raises(ProfileFormatError, match=r"cannot read profile .*not a profile"):
        load(target)


def test_other_zip_files(tmp_path: Path) -> None:
    target = tmp_path / "p.npz"
    np.savez(target, a=np.arange(3))
    with pytest.raises(ProfileFormatError, match="no member 'meta'"):
        load(target)


def test_truncation_at_any_place(path: Path) -> None:
    data = path.read_bytes()
    for length in range(0, len(data), len(data) // 60):
        path.write_bytes(data[:length])
        with pytest.raises(ProfileFormatError):
            load(path)


def test_flipped_bytes_never_give_another_error(path: Path) -> None:
    data = bytearray(path.read_bytes())
    rng = random.Random(0)
    for _ in range(300):
        at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        data[at] ^= bit
        path.write_bytes(data)
        try:
            load(path)
        except SlmprofError as error:
            assert "\n" not in str(error)
        data[at] ^= bit


COLUMN = "steps.begin_ns.npy"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(np.zeros(3, np.int64)), r"steps\.begin_ns has 3 rows where \d+ are expected"),
        (npy(np.zeros(20, np.int32)), r"column steps\.begin_ns has type int32, not int64"),
        (npy(np.zeros(20, ">i8")), "has type >i8"),
        (npy(np.zeros((2, 2), np.int64)), "has 2 dimensions"),
        (npy(np.array([{}], object), allow_pickle=True), "has type object"),
        (npy(np.zeros(20, np.int64))[:-1], "does not have the size"),
        (npy(np.zeros(20, np.int64)) + b"x", "does not have the size"),
        (b"not npy", "damaged"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "unknown .npy version|damaged"),
        (b"\x93NUMPY\x01\x00\x05\x00(((((", "damaged"),
        (b"\x93NUMPY\x02\x00\x20\x4e\x00\x00" + b"(" * 20_000, "too long a header"),
        (npy(np.zeros(20, np.int64)).replace(b"(20,), ", b"(20L,),"), "damaged"),  # of Python 2
        # What Python evaluates with a TypeError, or with a warning.
        (b"\x93NUMPY\x01\x00\x07\x00{[]: 1}", "damaged"),
        (npy(np.zeros(20, np.int64)).replace(b"'<i8', ", b"'\\d8', "), "damaged"),
        (b"", "damaged"),
    ],
)
def test_bad_columns(path: Path, data: bytes, message: str) -> None:
    edit(path, lambda members: members.update({COLUMN: data}))
    with pytest.raises(ProfileFormatError, match=message):
        load(path)


def test_missing_and_double_members(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as old, pytest.warns(UserWarning, match="Duplicate name"):
        old.writestr(COLUMN, b"")
    with pytest.raises(ProfileFormatError, match="two members of one name"):
        load(path)


def test_missing_column(path: Path) -> None:
    edit(path, lambda members: members.pop(COLUMN))
    with pytest.raises(ProfileFormatError, match=r"no column steps\.begin_ns"):
        load(path)


def test_unknown_members_are_left_alone(path: Path) -> None:
    before = load(path)
    edit(path, lambda members: members.update({"future.column.npy": npy([1])}))
    after = load(path)
    assert len(after.events) > 0 and after.strings == before.strings
    for name, column in after.events.columns().items():
        assert column.tolist() == before.events.columns()[name].tolist()


def test_a_column_that_lies_about_its_size(path: Path) -> None:
    header = io.BytesIO()
    head = {"descr": "<i8", "fortran_order": False, "shape": (2**60,)}
    np.lib.format.write_array_header_1_0(header, head)
    edit(path, lambda members: members.update({COLUMN: header.getvalue()}))
    with pytest.raises(ProfileFormatError, match="does not have the size"):
        load(path)


def test_a_bomb_is_refused_before_it_unpacks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TABLE_BYTES", 1000)
    monkeypatch.setattr(archive, "_read_data", _read_only_meta(archive._read_data))
    with pytest.raises(ProfileFormatError, match="that is too much"):
        load(path)


def _read_only_meta(read: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(stream: Any, name: str, *rest: Any) -> Any:
        assert name == "member meta", "no column may be unpacked"
        return read(stream, name, *rest)

    return guarded


def test_too_much_meta_data_and_too_many_members(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MOST_META_BYTES", 100)
        with pytest.raises(ProfileFormatError, match="that is too much"):
            load(path)
    with monkeypatch.context() as patch:
        patch.setattr(archive, "MAX_MEMBERS", 10)
        with pytest.raises(ProfileFormatError, match="members; it is not a profile"):
            load(path)


def test_foreign_compression(path: Path) -> None:
    with zipfile.ZipFile(path) as old:
        data = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as new:
        for name, content in data.items():
            new.writestr(name, content)
    with pytest.raises(ProfileFormatError, match="unsupported way"):
        load(path)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("steps", "phase", 2),
        ("steps", "pass", 4),
        ("steps", "n_tokens", -1),
        ("steps", "begin_ns", -1),
        ("steps", "begin_ns", 2**62),
        ("steps", "end_ns", 0),
        ("segments", "step", -1),
        ("segments", "step", 10_000),
        ("segments", "kind", 7),
        ("segments", "end_ns", 0),
        ("runs", "step", 10_000),
        ("runs", "graph", 3),
        ("runs", "graph", -1),
        ("runs", "n_threads", 0),
        ("runs", "n_dropped", -1),
        ("runs", "end_ns", 0),
        ("events", "run", 10_000),
        ("events", "run", 3),
        ("events", "node", 7),
        ("events", "node", -1),
        ("events", "n_fused", 7),
        ("events", "lane", 2),
        ("events", "path", 10_000),
        ("events", "path", -2),
        ("events", "begin_ns", 2**62),
        ("events", "end_ns", 0),
        ("splits", "first_node", 1),
        ("splits", "n_nodes", 3),
        ("splits", "n_nodes", 8),
        ("splits", "graph", 1),
        ("splits", "device", 10_000),
        ("runs", "split", 1),
        ("runs", "is_end_seen", 2),
        ("runs", "empty_ns", -1),
        ("graphs", "n_nodes", 8),
        ("graphs", "n_nodes", 100),
        ("graphs", "n_nodes", -1),
        ("graphs", "backend", 10_000),
        ("tensors", "graph", 3),
        ("tensors", "graph", 2),
        ("tensors", "node", 5),
        ("tensors", "op", 10_000),
        ("tensors", "name", -2),
        ("tensors", "usage", 4),
        ("tensors", "view_src", 13),
        ("tensors", "src0", 13),
        ("tensors", "src9", -2),
        ("tensors", "ne0", -1),
        ("tensors", "size_bytes", -1),
        ("places", "name", 10_000),
        ("places", "kind", -2),
        ("places", "buffer", -2),
        ("places", "cache", -2),
        ("places", "layer", -2),
        ("places", "offset_bytes", -2),
        ("places", "file_offset_bytes", 2**62),
        ("places", "n_cells", -1),
        ("places", "n_streams", 2**62),
        ("places", "ne3", -1),
        ("places", "size_bytes", -1),
        ("places", "size_bytes", 2**62 - 1),
    ],
)
def test_references_that_lead_nowhere(path: Path, table: str, column: str, value: int) -> None:
    profile = with_memory()
    rows = getattr(profile, table)
    values = rows.columns()[column].copy()
    values[0] = value
    _save_unchecked(replace(profile, **{table: rows.replace(**{column: values})}), path)
    with pytest.raises(ProfileFormatError, match=f"{table}|tensors.node"):
        load(path)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (4, "src0", 4, "src0 is not in the order"),  # a view of itself
        (4, "src0", 5, "src0 is not in the order"),
        (3, "src9", 6, "src9 is not in the order"),
        (3, "src1", -1, "src1 lacks an operand of MUL_MAT"),
        (0, "src1", -1, "src1 lacks an operand of GET_ROWS"),
    ],
)
def test_graphs_that_no_walk_could_leave(
    path: Path, row: int, column: str, value: int, message: str
) -> None:
    profile = example_profile()
    values = profile.tensors.columns()[column].copy()
    values[row] = value
    _save_unchecked(replace(profile, tensors=profile.tensors.replace(**{column: values})), path)
    with pytest.raises(ProfileFormatError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("column", "value"),
    [("graph", 3), ("node", 7), ("calls", -1), ("span_sum_ns", -1), ("span_sq_sum", float("nan"))],
)
def test_bad_stats(path: Path, column: str, value: float) -> None:
    from slmprof.analysis.timing.spans import op_stats

    profile = example_profile()
    stats = op_stats(profile)
    values = stats.columns()[column].copy()
    values[0] = value
    _save_unchecked(replace(profile, stats=stats.replace(**{column: values})), path)
    with pytest.raises(ProfileFormatError, match="stats"):
        load(path)


def _save_unchecked(profile: Profile, path: Path) -> None:
    save(profile, path)


def test_a_cast_may_name_itself(path: Path) -> None:
    """ggml_cast: a copy whose second operand is its own result."""
    profile = example_profile()
    rows = profile.tensors
    op, src1 = rows.op.copy(), rows.src1.copy()
    op[2], src1[2] = len(profile.strings), 2
    strings = (*profile.strings, "CPY")
    save(replace(profile, strings=strings, tensors=rows.replace(op=op, src1=src1)), path)
    assert load(path).tensors.src1[2] == 2


@pytest.mark.parametrize("op", ["GET_ROWS", "SOFT_MAX", "MUL_MAT", "VIEW"])
def test_leaves_that_claim_to_be_results(op: str, tmp_path: Path) -> None:
    """A leaf has no operands, whatever its operator is said to be."""
    profile = example_profile()
    # Of what nobody knows by its name rules look at what it reads.
    used = {*profile.tensors.op.tolist(), *profile.tensors.name.tolist()}
    strings = [f"text {i}" if i in used else text for i, text in enumerate(profile.strings)]
    strings[profile.strings.index("NONE")] = op
    path = tmp_path / "p.slmprof"
    replace(profile, strings=tuple(strings)).save(path)
    assert main(["show", str(path)]) == 0
