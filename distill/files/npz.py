"""``.npz`` files larger than memory: written a few rows at a time, read as chosen rows only.

An ``.npz`` is a zip of ``.npy`` files, here stored without compression. Where the shapes are known
beforehand so is the place of every array in the file: rows are written where they belong as they come,
and nothing is held or copied twice. (``zipfile`` writes one member after the other: rows of several arrays that
come together would have to go through files of their own first.) Headers are those of zip64 throughout (PKWARE's
APPNOTE, 4.3 to 4.5), so that sizes have no limit; ``numpy.load`` reads them as any other.
"""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO, BinaryIO

import numpy as np

BLOCK = 1 << 24  # bytes read at once
_DATE = 0x21  # 1 January 1980, the first that zip knows: equal arrays give equal files
_WIDE, _MANY = 0xFFFFFFFF, 0xFFFF  # "see the zip64 field"
_VERSION = 45


class NpzWriter:
    """Writes arrays of known type and shape into an open file, rows of each in turn.

    ``layout``: name -> (dtype, shape). ``append`` adds rows to one array; ``finish`` ends the file and raises
    ``ValueError`` if an array is not complete. The file is no ``.npz`` before that.
    """

    def __init__(self, file: BinaryIO, layout: dict):
        self._file, self._members, at = file, {}, 0
        for name, (dtype, shape) in layout.items():
            header = _npy_header(np.dtype(dtype), shape)
            data = at + _LOCAL.size + len(f"{name}.npy".encode()) + 20
            self._members[name] = _Member(
                f"{name}.npy".encode(), at, data, len(header) + _bytes(dtype, shape), np.dtype(dtype), tuple(shape)
            )
            self._write(self._members[name], header)
            at = data + self._members[name].size
        self._end = at

    def append(self, name: str, rows: np.ndarray) -> None:
        """Add ``rows`` [row, ...] to array ``name``; ``ValueError`` if they do not belong there or are too many."""
        member = self._members[name]
        if rows.dtype != member.dtype or rows.shape[1:] != member.shape[1:]:
            wanted = f"expected {member.dtype} {member.shape[1:]}"
            raise ValueError(f"'{name}': rows {rows.dtype} {rows.shape[1:]}, {wanted}")
        if member.written + rows.nbytes > member.size:
            raise ValueError(f"'{name}': more than {member.shape[0]} rows")
        self._write(member, np.ascontiguousarray(rows).data.cast("B") if rows.size else b"")

    def finish(self) -> None:
        central = b""
        for name, m in self._members.items():
            if m.written != m.size:
                raise ValueError(f"'{name}': {m.size - m.written} bytes of {m.shape} are missing")
            extra = struct.pack("<HHQQ", 1, 16, m.size, m.size)
            common = (_VERSION, 0, 0, 0, _DATE, m.crc, _WIDE, _WIDE, len(m.name))
            self._file.seek(m.start)
            self._file.write(_LOCAL.pack(b"PK\3\4", *common, len(extra)) + m.name + extra)
            extra = struct.pack("<HHQQQ", 1, 24, m.size, m.size, m.start)
            made, rights = 3 << 8 | _VERSION, 0o600 << 16  # as by Unix
            central += _CENTRAL.pack(b"PK\1\2", made, *common, len(extra), 0, 0, 0, rights, _WIDE) + m.name + extra
        count, end = len(self._members), self._end + len(central)
        self._file.seek(self._end)
        self._file.write(central)
        self._file.write(
            struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, _VERSION, _VERSION, 0, 0, count, count, len(central), self._end)
        )
        self._file.write(struct.pack("<4sLQL", b"PK\6\7", 0, end, 1))
        self._file.write(struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, _MANY, _MANY, _WIDE, _WIDE, 0))

    def _write(self, member, data) -> None:
        self._file.seek(member.data + member.written)
        self._file.write(data)
        member.crc = zlib.crc32(data, member.crc)
        member.written += len(data)


_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")


class _Member:
    """One array in the zip: where its zip header starts, where its ``.npy`` starts, and how far it is."""

    def __init__(self, name: bytes, start: int, data: int, size: int, dtype: np.dtype, shape: tuple):
        self.name, self.start, self.data, self.size = name, start, data, size
        self.dtype, self.shape, self.written, self.crc = dtype, shape, 0, 0


def _npy_header(dtype: np.dtype, shape: tuple) -> bytes:
    out = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(out, about)
    return out.getvalue()


def _bytes(dtype, shape) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Header:
    """What an ``.npz`` says of an array before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def headers(file: np.lib.npyio.NpzFile, leave_out: Collection[str] = ()) -> dict[str, Header]:
    """Those of all arrays of an open file but for some, by name; none of them is read.

    Raises ``ValueError`` for Python objects, for two arrays of one name, and for a header that tells of more or fewer
    bytes than there are: nothing may be allocated for it.
    """
    out: dict[str, Header] = {}
    archive = _archive(file)
    for entry in archive.infolist():
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename or name in leave_out:
            continue  # no array, or not asked for
        if name in out:
            raise ValueError(f"'{name}' is there twice")
        with archive.open(entry) as member:
            out[name] = header_of(member, name, entry.file_size)
    return out


def _archive(file: np.lib.npyio.NpzFile) -> zipfile.ZipFile:
    """The zip that an ``.npz`` is; ``ValueError`` once it is closed."""
    if file.zip is None:
        raise ValueError("the file is closed")
    return file.zip


def header_of(file: IO[bytes], name: str, size: int) -> Header:
    """That of an ``.npy`` of ``size`` bytes; ``ValueError`` as of ``headers``."""
    shape, _, dtype = _npy_header_of(file, name)
    told = file.tell() + _bytes(dtype, shape)
    if told != size:
        raise ValueError(f"'{name}' is {size} bytes long where its header says {told}")
    return Header(shape, dtype)


def _npy_header_of(member: IO[bytes], name: str) -> tuple:
    """(shape, whether in Fortran's order, type) of an array, at whose first number ``member`` is then."""
    version = np.lib.format.read_magic(member)
    if version not in _HEADERS:
        raise ValueError(f"'{name}': .npy version {version}")
    shape, fortran, dtype = _HEADERS[version](member)
    if dtype.hasobject:
        raise ValueError(f"'{name}' holds Python objects")
    return shape, fortran, dtype


def layout_bytes(layout: dict) -> int:
    """Size of the arrays of a ``layout``, without the headers."""
    return sum(_bytes(*entry) for entry in layout.values())


def read_rows(file: np.lib.npyio.NpzFile, name: str, keep: np.ndarray) -> np.ndarray:
    """``file[name][keep]`` without the rest ever in memory; ``keep`` [row] is a mask.

    Raises ``ValueError`` if the array has another number of rows, holds objects or ends early, and
    ``zipfile.BadZipFile`` if its check sum is wrong.
    """
    with _archive(file).open(f"{name}.npy") as member:
        shape, fortran, dtype = _npy_header_of(member, name)
        if shape[:1] != keep.shape:
            raise ValueError(f"'{name}' has shape {shape}, expected {len(keep)} rows")
        if fortran:
            return file[name][keep]
        out = np.empty((int(keep.sum()), *shape[1:]), dtype)
        row, at, done = _bytes(dtype, shape[1:]), 0, 0
        rows = max(1, BLOCK // max(row, 1))
        while at < len(keep):
            part = keep[at : at + rows]
            data = member.read(len(part) * row)
            if len(data) < len(part) * row:
                raise ValueError(f"'{name}' ends early")
            chosen = np.frombuffer(data, dtype).reshape(len(part), *shape[1:])[part]
            out[done : done + len(chosen)] = chosen
            at, done = at + len(part), done + len(chosen)
        if member.read(1):
            raise zipfile.BadZipFile(f"'{name}' is longer than its header says")
        return out


_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
