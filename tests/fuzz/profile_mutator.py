"""Changes to saved profiles that know their structure: members, columns, meta data, the archive."""

from __future__ import annotations

import functools
import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from json_mutator import mutate_json
from odd_values import cut, flip_bytes, mutate_with, odd_float, odd_text, odd_whole

_META = "meta.npy"
_MOST_ROWS = 20_000
_MOST_UNPACKED_BYTES = 64 << 20
_DTYPES = ("<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f8", ">i4", "<f4", "|O", "<U4", "|V8")


@dataclass
class Archive:
    """The members of a profile, and what is wrong with how they are stored.

    Attributes:
        members: by name, as they are unpacked.
        methods: of compression, where it is not deflate.
        doubles: members that stand twice.
    """

    members: dict[str, bytes]
    methods: dict[str, int] = field(default_factory=dict)
    doubles: list[str] = field(default_factory=list)

    def columns(self) -> list[str]:
        return [name for name in self.members if name != _META]


Mutation = Callable[[Archive, Random], None]


def change_elements(archive: Archive, rng: Random) -> None:
    """Some numbers of a column, odd or those of other rows."""
    name, column = _some_column(archive, rng)
    if column is None or not len(column):
        return
    for _ in range(rng.choice((1, 1, 3, 30))):
        at = rng.randrange(len(column))
        if rng.random() < 0.3:
            column[at] = column[rng.randrange(len(column))]
        else:
            column[at] = _odd_element(column, at, rng)
    archive.members[name] = _npy(column)


def fill_column(archive: Archive, rng: Random) -> None:
    """A column with one number in all rows, in another order, or with numbers that rise."""
    name, column = _some_column(archive, rng)
    if column is None or not len(column):
        return
    way = rng.randrange(4)
    if way == 0:
        column[:] = _odd_element(column, 0, rng)
    elif way == 1:
        column = column[::-1]
    elif way == 2:
        column = np.sort(column)
    else:
        column = np.arange(len(column)).astype(column.dtype)
    archive.members[name] = _npy(column)


def change_length(archive: Archive, rng: Random) -> None:
    """More or fewer rows in one column, or in all of a table."""
    name, column = _some_column(archive, rng)
    if column is None:
        return
    table = name.partition(".")[0]
    of_table = [other for other in archive.columns() if other.startswith(f"{table}.")]
    names = of_table if rng.random() < 0.7 else [name]
    factor = rng.choice((0, 1, 2, 10, 500))
    rows = np.sort(np.resize(np.arange(len(column)), min(len(column) * factor, _MOST_ROWS)))
    if factor == 1:
        rows = rows[: rng.randrange(len(rows) + 1)]
    for other in names:
        values = _column(archive.members[other])
        if values is not None and len(values) == len(column):
            archive.members[other] = _npy(values[rows])


def change_header(archive: Archive, rng: Random) -> None:
    """What a member says of its own type, shape and order."""
    name = rng.choice(list(archive.members))
    data = archive.members[name]
    try:
        (length,) = struct.unpack_from("<H", data, 8)
        header = data[10 : 10 + length].decode("latin-1")
    except struct.error:
        return
    way = rng.randrange(5)
    n = odd_whole(rng, len(data))
    if way == 0:
        header = f"{{'descr': '{rng.choice(_DTYPES)}', 'fortran_order': False, 'shape': (4,), }}"
    elif way == 1:
        shape = rng.choice((f"({n},)", "()", f"({n}, {n})", "(-1,)", "(2**40,)", "[4]", "(True,)"))
        header = f"{{'descr': '<i4', 'fortran_order': False, 'shape': {shape}, }}"
    elif way == 2:
        header = "(" * rng.choice((10, 5000)) + header
    elif way == 3:
        header = header.replace("False", rng.choice(("True", "None", "__import__('os')")))
    else:
        header = odd_text(rng).decode("latin-1") + header
    version = rng.choice((b"\1\0", b"\1\0", b"\1\0", b"\3\0", b"\xff\xff"))
    text = header.encode("latin-1", "replace")[:60_000] + b"\n"
    archive.members[name] = (
        b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data[10 + length :]
    )


def change_meta(archive: Archive, rng: Random) -> None:
    """The meta data, as JSON."""
    text = meta_of(archive)
    if text is not None:
        changed, _ = mutate_json(text, rng)
        archive.members[_META] = _npy(np.frombuffer(changed, np.uint8))


def change_strings(archive: Archive, rng: Random) -> None:
    """The texts that the tables refer to: hostile ones, another number, other names of ops."""
    meta = _meta_values(archive)
    strings = meta.get("strings") if meta is not None else None
    if meta is None or not isinstance(strings, list) or not strings:
        return
    way = rng.randrange(4)
    if way == 0:
        del strings[rng.randrange(len(strings)) :]
    elif way == 1:
        rng.shuffle(strings)
    else:
        for _ in range(rng.choice((1, 3, 30))):
            at = rng.randrange(len(strings))
            text = odd_text(rng).decode("utf-8", "replace")
            strings[at] = text if way == 2 else f"{strings[at]}{text}"
    archive.members[_META] = _npy(np.frombuffer(json.dumps(meta).encode(), np.uint8))


def change_version(archive: Archive, rng: Random) -> None:
    """Another version of the format than the file has columns of."""
    meta = _meta_values(archive)
    if meta is not None:
        meta["format_version"] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10**9, "8", None, True))
        archive.members[_META] = _npy(np.frombuffer(json.dumps(meta).encode(), np.uint8))


def drop_member(archive: Archive, rng: Random) -> None:
    del archive.members[rng.choice(list(archive.members))]
    archive.members.setdefault("left.npy", b"")


def rename_member(archive: Archive, rng: Random) -> None:
    name = rng.choice(list(archive.members))
    text = odd_text(rng).decode("utf-8", "replace")[:1000]
    archive.members[text or "x"] = archive.members.pop(name)


def swap_members(archive: Archive, rng: Random) -> None:
    one, other = rng.choices(list(archive.members), k=2)
    members = archive.members
    members[one], members[other] = members[other], members[one]


def cut_member(archive: Archive, rng: Random) -> None:
    name = rng.choice(list(archive.members))
    archive.members[name] = cut(archive.members[name], rng)


def flip_member(archive: Archive, rng: Random) -> None:
    name = rng.choice(list(archive.members))
    archive.members[name] = flip_bytes(archive.members[name], rng)


def double_member(archive: Archive, rng: Random) -> None:
    archive.doubles.append(rng.choice(list(archive.members)))


def many_members(archive: Archive, rng: Random) -> None:
    archive.members |= {f"more.{i}.npy": b"" for i in range(rng.choice((100, 1500)))}


def change_method(archive: Archive, rng: Random) -> None:
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    archive.methods[rng.choice(list(archive.members))] = method


MUTATIONS: tuple[Mutation, ...] = (
    change_elements, change_elements, change_elements, change_elements, change_elements,
    fill_column, fill_column, change_length, change_length, change_header, change_meta, change_meta,
    change_meta, change_meta, change_strings, change_strings, change_version, drop_member,
    rename_member, swap_members, cut_member, flip_member, double_member, many_members,
    change_method,
)  # fmt: skip


def mutate(seed: bytes, rng: Random) -> tuple[bytes, tuple[str, ...]]:
    """A changed profile file, and what was done to it."""
    archive = unpacked(seed)
    if archive is None:
        return flip_bytes(seed, rng), ("flip_bytes",)
    names = mutate_with(archive, rng, MUTATIONS)
    data = packed(archive)
    way = rng.random()
    if way < 0.06:
        data, name = flip_bytes(data, rng), "flip_bytes"
    elif way < 0.09:
        data, name = cut(data, rng), "cut"
    elif way < 0.14:
        data, name = _with_odd_directory(data, rng), "odd_directory"
    else:
        return data, tuple(names)
    return data, (*names, name)


def unpacked(data: bytes) -> Archive | None:
    """The members of a profile; None where it cannot be unpacked, or takes much room."""
    members = _members(data)
    return Archive(dict(members)) if members else None


@functools.lru_cache(maxsize=32)
def _members(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > _MOST_UNPACKED_BYTES:
                return {}
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # whatever zipfile says of an archive that was changed before
        return {}


def packed(archive: Archive) -> bytes:
    """A file of the members."""
    stream = io.BytesIO()
    names = list(archive.members)
    with zipfile.ZipFile(stream, "w") as file:
        for name in [*names, *(name for name in archive.doubles if name in archive.members)]:
            # As slmprof writes them; `writestr` would warn of a name that is there already.
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = archive.methods.get(name, zipfile.ZIP_DEFLATED)
            file.NameToInfo.pop(info.filename, None)
            file.writestr(info, archive.members[name], compresslevel=1)
    return stream.getvalue()


def meta_of(archive: Archive) -> bytes | None:
    """The JSON of the meta data."""
    column = _column(archive.members.get(_META, b""))
    return None if column is None else column.tobytes()


def _meta_values(archive: Archive) -> dict[str, Any] | None:
    try:
        values = json.loads(meta_of(archive) or b"")
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _some_column(archive: Archive, rng: Random) -> tuple[str, Any]:
    """A column that can be changed, and its name; None where there is none."""
    names = archive.columns()
    rng.shuffle(names)
    # Of tables that have rows rather than of others.
    names.sort(key=lambda name: len(archive.members[name]) < 140)
    name = names[int(len(names) * rng.random() ** 2)] if names else ""
    return name, _column(archive.members.get(name, b""))


def _column(member: bytes) -> Any:
    try:
        column = np.load(io.BytesIO(member), allow_pickle=False)
    except Exception:  # whatever numpy says of a member that was changed before
        return None
    is_plain = isinstance(column, np.ndarray) and column.ndim == 1
    return column.copy() if is_plain and column.dtype.kind in "iuf" else None


def _npy(column: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(column), allow_pickle=False)
    return stream.getvalue()


def _odd_element(column: Any, at: int, rng: Random) -> Any:
    if column.dtype.kind == "f":
        return odd_float(rng, float(column[at]))
    bits = 8 * column.dtype.itemsize
    number = rng.choice((odd_whole(rng, int(column[at])), odd_whole(rng, len(column))))
    number %= 1 << bits
    if column.dtype.kind == "i" and number >> bits - 1:
        number -= 1 << bits
    return column.dtype.type(number)


def _with_odd_directory(data: bytes, rng: Random) -> bytes:
    """A file whose directory says other sizes, places or checksums than its members have."""
    begin = data.rfind(b"PK\5\6")
    entries = [at for at in _all(data, b"PK\1\2") if at < begin]
    if not entries:
        return flip_bytes(data, rng)
    changed = bytearray(data)
    # Fields of an entry: flags, method, checksum, packed and unpacked size, offset; or the end.
    at = rng.choice(entries) + rng.choice((8, 10, 16, 20, 24, 42))
    if rng.random() < 0.1:
        at = begin + rng.choice((8, 10, 12, 16))
    (old,) = struct.unpack_from("<I", changed, at)
    struct.pack_into("<I", changed, at, odd_whole(rng, old) % (1 << 32))
    return bytes(changed)


def _all(data: bytes, mark: bytes) -> list[int]:
    places, at = [], data.find(mark)
    while at >= 0:
        places.append(at)
        at = data.find(mark, at + 1)
    return places
