"""A ZIP of .npy members: written whole or not at all, read without trusting it."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from ...errors import ProfileFormatError
from ..all_tables import TABLES
from ..limits import MOST_META_BYTES, MOST_META_VALUES, check_tables
from ..records.meta import FORMAT_VERSION
from ..schema import Table
from ..writing import whole_file

Column = npt.NDArray[Any]

META = "meta"
# Of a file of any size: less than what makes a machine swap for an hour.
MAX_TABLE_BYTES = 8 * 2**30
MAX_MEMBERS = 1000
_MOST_HEADER_BYTES = 10_000  # NumPy's own limit
# As NumPy writes it. It reads more than that by evaluating it, which may warn on standard error.
_HEADER = re.compile(
    rb"\{'descr': '[<>|=]\w+', 'fortran_order': (True|False), 'shape': \([\d, ]*\), \} *\n"
)
# What numpy, zipfile and json answer odd bytes with.
_ODD_BYTES = (ValueError, RuntimeError, OverflowError)
_PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def write_archive(
    path: Path, meta: Mapping[str, Any], tables: Mapping[str, Table], *, durable: bool
) -> None:
    """Writes `path` through a temporary file beside it; a failure leaves the old state.

    Args:
        meta: a JSON object without non-finite numbers.
        tables: tables by name.
        durable: whether the data must be on the disk before the file gets its name.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(meta, allow_nan=False).encode()
    with (
        whole_file(path, durable=durable) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        _write_member(archive, META, np.frombuffer(text, np.uint8))
        for table_name, table in tables.items():
            for column_name, column in table.columns().items():
                _write_member(archive, f"{table_name}.{column_name}", column)


def _write_member(archive: zipfile.ZipFile, name: str, column: Column) -> None:
    # A fixed date: equal profiles give equal files.
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as member:
        npy.write_array(member, np.ascontiguousarray(column), allow_pickle=False)


def read_archive(
    source: IO[bytes],
    *,
    only_meta: bool = False,
    version: int = FORMAT_VERSION,
    file_bytes: int | None = None,
) -> tuple[dict[str, Any], dict[str, Table]]:
    """Reads what `write_archive` wrote. Members that no table knows are left alone.

    Args:
        only_meta: leave the tables alone.
        version: format version of the file; what it did not have is filled in.
        file_bytes: the size of a file that may be anybody's: its tables must be in proportion to
            it (`limits`). Without it any size is read.

    Returns:
        The JSON object of `meta`, and every table by name.

    Raises:
        OSError: the file cannot be read.
        ProfileFormatError: it is no such archive, or a member is missing, damaged or of the wrong
            type, or the columns of a table differ in length.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = _members(archive)
            meta = _read_meta(archive, members)
            found = {} if only_meta else _found_columns(members, version, file_bytes)
            tables = {} if only_meta else _read_tables(archive, found, meta, version)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ProfileFormatError("it is not a profile, or it is truncated or damaged") from error
    except _ODD_BYTES as error:
        raise ProfileFormatError(f"it is damaged: {_first_line(error)}") from error
    except MemoryError as error:
        raise ProfileFormatError("it does not fit into memory") from error
    return meta, tables


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise ProfileFormatError(f"it has {len(infos)} members; it is not a profile")
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise ProfileFormatError("it has two members of one name")
    return members


def _read_meta(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    info = members.get(f"{META}.npy")
    if info is None:
        raise ProfileFormatError("it is not a profile: it has no member 'meta'")
    if info.file_size > MOST_META_BYTES:
        raise ProfileFormatError(f"its meta data has {info.file_size} bytes; that is too much")
    what = f"member {META}"
    with _open(archive, info) as stream:
        length = _read_header(stream, what, np.dtype(np.uint8), info)
        text = _read_data(stream, what, np.dtype(np.uint8), length).tobytes()
    if (n_values := text.count(b",")) > MOST_META_VALUES:
        raise ProfileFormatError(f"its meta data has {n_values} values; that is too much")
    try:
        meta = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProfileFormatError(f"its meta data is not JSON: {_first_line(error)}") from error
    if not isinstance(meta, dict):
        raise ProfileFormatError("its meta data is not a JSON object")
    return meta


def _found_columns(
    members: Mapping[str, zipfile.ZipInfo], version: int, file_bytes: int | None
) -> dict[str, zipfile.ZipInfo]:
    """The member of each column, by `TABLE.COLUMN`; all of them together are not too large."""
    found: dict[str, zipfile.ZipInfo] = {}
    n_rows: dict[str, int] = {}
    for table in TABLES:
        for column in table.schema().values():
            if stored := column.in_version(version):
                where = f"{table.NAME}.{stored[0]}"
                if f"{where}.npy" not in members:
                    raise ProfileFormatError(f"it has no column {where}")
                found[where] = members[f"{where}.npy"]
                # With the header of its member as if it were rows, too.
                at_most = found[where].file_size // stored[1].itemsize
                n_rows[table.NAME] = max(at_most, n_rows.get(table.NAME, 0))
    # No member gives more than it says here, and none is unpacked before all are known to fit.
    total = sum(info.file_size for info in found.values())
    if total > MAX_TABLE_BYTES:
        raise ProfileFormatError(f"its tables have {total} bytes; that is too much")
    if file_bytes is not None:
        check_tables(n_rows, total, file_bytes)
    return found


def _read_tables(
    archive: zipfile.ZipFile,
    found: Mapping[str, zipfile.ZipInfo],
    meta: Mapping[str, Any],
    version: int,
) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for table in TABLES:
        columns: dict[str, Column] = {}
        for name, column in table.schema().items():
            if stored := column.in_version(version):
                where, dtype = f"{table.NAME}.{stored[0]}", stored[1]
                with _open(archive, found[where]) as stream:
                    length = _read_header(stream, f"column {where}", dtype, found[where])
                    columns[name] = _read_data(stream, f"column {where}", dtype, length)
        n_rows = len(next(iter(columns.values()), ()))
        for name in table.schema().keys() - columns.keys():
            column = table.schema()[name]
            columns[name] = np.full(n_rows, column.stand_in(meta), column.dtype)
        tables[table.NAME] = table.from_columns(columns)
    return tables


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.compress_type not in _PLAIN_METHODS or info.flag_bits & 1:
        raise ProfileFormatError(
            f"member {info.filename} is compressed or encrypted in an unsupported way"
        )
    return archive.open(info)


def _read_header(stream: IO[bytes], what: str, dtype: np.dtype[Any], info: zipfile.ZipInfo) -> int:
    """Reads up to the data of a member; returns its length in elements."""
    version = npy.read_magic(stream)
    if version == (1, 0):
        read, n_bytes = npy.read_array_header_1_0, 2
    elif version == (2, 0):
        read, n_bytes = npy.read_array_header_2_0, 4
    else:
        raise ProfileFormatError(f"{what} has an unknown .npy version")
    size = stream.read(n_bytes)
    if int.from_bytes(size, "little") > _MOST_HEADER_BYTES:
        raise ProfileFormatError(f"{what} has too long a header")
    text = stream.read(int.from_bytes(size, "little"))
    if not _HEADER.fullmatch(text):
        raise ProfileFormatError(f"{what} has a damaged header")
    shape, _, found = read(io.BytesIO(size + text))
    if len(shape) != 1:
        raise ProfileFormatError(f"{what} has {len(shape)} dimensions, not one")
    if found != dtype:
        raise ProfileFormatError(f"{what} has type {found}, not {dtype}")
    length = int(shape[0])
    if length < 0 or stream.tell() + length * dtype.itemsize != info.file_size:
        raise ProfileFormatError(f"{what} does not have the size that it declares")
    return length


def _read_data(stream: IO[bytes], what: str, dtype: np.dtype[Any], length: int) -> Column:
    # read() past the end makes zipfile compare the checksum.
    data = stream.read(length * dtype.itemsize)
    if len(data) != length * dtype.itemsize or stream.read(1):
        raise ProfileFormatError(f"{what} is truncated")
    return np.frombuffer(data, dtype)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number in JSON")


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
