"""FITS files through astropy.io.fits: the header of every HDU, and the image or the few columns that a reader asks for.

Nothing of the format is decoded here. What is ours is the order: every header is read first and every HDU's extent
held against the file's size, so a truncated file is named before any array is made, and no header can ask for more
memory than the file has bytes. Then only the HDU asked for is read. `_decoding` is the one place where astropy's
warnings end and its errors become ours.

A survey's files repeat the headers of their tables to the byte, and astropy's reading of those is most of the time of
a file: what follows from a header alone is kept with the header's bytes (`Head`).
"""

from __future__ import annotations

import functools
import io
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from engine.readers.quiet import quietly
from engine.spectrum import SpectrumError

if TYPE_CHECKING:
    from astropy.table import Table

MAX_HEADER = 1000 * 2880  # bytes: 36,000 cards; the longest real header seen has 2,400
MAX_HDUS = 1000
MAX_FIELDS = 999  # the FITS standard's limit of axes and of columns
KEPT_HEADERS = 128  # parsed headers of extensions; a plate's tables differ in their number of rows
KEPT_HEADER = 20 * 2880  # bytes: SDSS's catalogue of 240 columns has 40,320

_BLOCK = 2880
_END = b"END".ljust(80)


@dataclass(frozen=True, eq=False)
class Head:
    """A header and what follows from it alone: kind and shape as in Hdu.

    raw : its bytes; size : bytes of the data, padded : with what fills the last block
    """

    header: fits.Header
    kind: str
    shape: tuple[int, ...]
    raw: bytes
    size: int
    padded: int

    @cached_property
    def columns(self) -> dict[str, int]:
        """Column names in capitals -> column number (from 1), in order."""
        if self.kind != "BINTABLE":
            return {}
        names = [str(self.header.get(f"TTYPE{i}", "")).strip().upper() for i in range(1, self.header["TFIELDS"] + 1)]
        return {name: names.index(name) + 1 for name in names if name}

    @cached_property
    def plain(self) -> tuple[np.dtype[Any], Mapping[int, str]]:
        """A row's dtype as it lies in the file, and the fields of the columns that are one unscaled number a row, by
        column number: numpy may read those as astropy would."""
        columns = fits.BinTableHDU.fromstring(self.raw).columns
        dtype = columns.dtype.newbyteorder(">")
        if dtype.itemsize != self.header["NAXIS1"] or len(columns) != self.header["TFIELDS"]:
            return dtype, {}
        fields = zip(columns, dtype.names or (), strict=True)
        return dtype, {i: field for i, (column, field) in enumerate(fields, 1) if _is_plain(column)}


def _is_plain(column: fits.Column) -> bool:
    changed = (column.bscale, column.bzero, column.null, column.dim)
    return str(column.format).removeprefix("1") in ("B", "I", "J", "K", "E", "D") and set(changed) <= {None, ""}


@dataclass(frozen=True, eq=False)
class Hdu:
    """One header-data unit: bytes [offset, end) of the stream. `where` names file and HDU in errors."""

    where: str
    head: Head
    stream: BinaryIO
    offset: int

    @property
    def header(self) -> fits.Header:
        """The cards, as astropy reads them; shared with other files that have the same header."""
        return self.head.header

    @property
    def kind(self) -> str:
        """IMAGE, BINTABLE, TABLE or another XTENSION."""
        return self.head.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy sees it, slowest axis first; (rows,) for a table, () without data."""
        return self.head.shape

    @property
    def size(self) -> int:
        """Bytes of data."""
        return self.head.size

    @property
    def end(self) -> int:
        """Where the next HDU begins."""
        return self.offset + len(self.head.raw) + self.head.padded

    def has(self, *keys: str) -> bool:
        """True when every one of these cards is there, readable or not."""
        return all(key in self.header for key in keys)

    def get(self, key: str, default: Any = None) -> Any:
        """Value of a card (str, bool, int, float), or default when it is absent, undefined or unreadable."""
        with quietly():
            try:
                value = self.header.get(key)
            except (fits.VerifyError, ValueError):  # one card that is no FITS; the spectrum may still be good
                return default
        return default if value is None else value

    def text(self, key: str) -> str:
        """Value of a card as stripped text, "" when absent."""
        return str(self.get(key, "")).strip()

    @property
    def name(self) -> str:
        """EXTNAME in capitals, "" when absent."""
        return self.text("EXTNAME").upper()

    @property
    def compressed(self) -> bool:
        """True for a tile-compressed image, which this project refuses."""
        return self.get("ZIMAGE") is True

    def image(self) -> NDArray[Any]:
        """The image, native byte order, BSCALE, BZERO and BLANK applied. Raises SpectrumError when it is damaged."""
        if 0 in self.shape or not self.shape:
            return np.zeros(self.shape if self.shape else 0)
        with _decoding(self.where):
            kind = fits.ImageHDU if self.offset else fits.PrimaryHDU
            return _native(kind.fromstring(self._bytes()).data)

    @property
    def columns(self) -> dict[str, int]:
        """Column names in capitals -> column number (from 1), in order; from the header, for astropy's columns cost."""
        with quietly():
            return self.head.columns

    def unit(self, column: str) -> str:
        """Unit string of a column, "" when absent."""
        return self.text(f"TUNIT{self.columns[column]}")

    def table(self, *wanted: str) -> dict[str, NDArray[Any]]:
        """The wanted columns that exist, by capital name: (rows,) or (rows, repeat) arrays; text columns are str.

        Complex, empty and variable-length columns are left out: no spectrum we read has them. Raises SpectrumError
        when the table is damaged.
        """
        chosen = {name: i for name, i in self.columns.items() if name in wanted and not self._variable(i)}
        if not chosen:
            return {}
        with _decoding(self.where):
            dtype, plain = self.head.plain
            if all(i in plain for i in chosen.values()):
                rows = np.frombuffer(self._bytes(data_only=True), dtype, self.shape[0])
                return {name: _native(rows[plain[i]]) for name, i in chosen.items()}
            records = fits.BinTableHDU.fromstring(self._bytes(), uint=True, character_as_bytes=True).data
            if records.dtype.itemsize != self.header["NAXIS1"]:
                raise ValueError(f"columns of {records.dtype.itemsize} bytes in rows of {self.header['NAXIS1']}")
            found = {name: _native(records.field(i - 1)) for name, i in chosen.items()}
            return {name: _flat(values) for name, values in found.items() if _used(values)}

    def whole_table(self) -> Table:
        """Every column as an astropy Table, nulls masked. Raises SpectrumError when the table is damaged.

        Variable-length columns are refused: their pointers may ask for any amount of memory.
        """
        from astropy.table import Table  # slow to import, and only catalogues need it

        with _decoding(self.where):
            if any(self._variable(i) for i in range(1, self.get("TFIELDS") + 1)):
                raise ValueError("columns of variable length; write the table without them")
            return Table.read(fits.BinTableHDU.fromstring(self._bytes()))

    def without(self, unwanted: re.Pattern[bytes]) -> bytes:
        """The HDU's bytes, leaving out the cards that match."""
        raw = self.head.raw
        cards = b"".join(raw[at : at + 80] for at in range(0, len(raw), 80) if not unwanted.match(raw, at))
        return cards + b" " * (-len(cards) % _BLOCK) + self._bytes(data_only=True)

    def _variable(self, i: int) -> bool:
        """True for a column of pointers into a heap: many may point to the same bytes, each to be copied."""
        return bool(set("PQ") & set(self.text(f"TFORM{i}").partition("(")[0]))

    def _bytes(self, data_only: bool = False) -> bytes:
        start = self.offset + len(self.head.raw) if data_only else self.offset
        self.stream.seek(start)
        return self.stream.read(self.end - start)


def scan(stream: BinaryIO, size: int, where: str) -> tuple[Hdu, ...]:
    """All HDUs of a FITS file of `size` bytes; no data are read.

    Raises SpectrumError when the file ends before its headers say it should, or a header is damaged.
    """
    hdus: list[Hdu] = []
    offset = 0
    while offset == 0 or _extension(stream, offset):
        if len(hdus) == MAX_HDUS:
            raise SpectrumError(f"{where}: more than {MAX_HDUS} HDUs. Split the file")
        hdu = _hdu(stream, offset, f"{where}: HDU {len(hdus)}")
        needed = hdu.end - -hdu.size % 2880  # the last block may lack its padding
        if needed > size:
            raise SpectrumError(
                f"{where}: truncated: HDU {len(hdus)} {hdu.name} needs {needed:,} bytes, the file has {size:,}. "
                "Download or copy it again"
            )
        hdus.append(hdu)
        offset = hdu.end
    return tuple(hdus)


def _extension(stream: BinaryIO, offset: int) -> bool:
    """False at the end of the file, and for whatever else follows the last HDU, which the standard allows."""
    stream.seek(offset)
    return stream.read(8) == b"XTENSION"


def _hdu(stream: BinaryIO, offset: int, where: str) -> Hdu:
    stream.seek(offset)
    raw = _repeated(stream) if offset else b""
    with _decoding(where):
        if raw:
            return Hdu(where, _kept(raw), stream, offset)
        stream.seek(offset)
        return Hdu(where, _head(stream, offset > 0), stream, offset)


def _repeated(stream: BinaryIO) -> bytes:
    """The header of an extension up to its END card, b"" when it is long or unusual: only to know it again."""
    raw = b""
    while len(raw) < KEPT_HEADER and len(block := stream.read(_BLOCK)) == _BLOCK:
        raw += block
        if any(block[at : at + 80] == _END for at in range(0, _BLOCK, 80)):
            return raw
    return b""


@functools.lru_cache(maxsize=KEPT_HEADERS)
def _kept(raw: bytes) -> Head:
    return _head(io.BytesIO(raw), True)


def _head(stream: BinaryIO, extension: bool) -> Head:
    start = stream.tell()
    header = fits.Header.fromfile(_Beginning(stream, MAX_HEADER))
    length = stream.tell() - start
    kind = str(header["XTENSION"]).strip() if extension else "IMAGE"
    shape = _shape(header)
    if kind in ("BINTABLE", "TABLE"):
        _whole(header, "TFIELDS", MAX_FIELDS)
        shape = shape[:1] if shape[1] else (0,)  # rows of no bytes could be any number
    stream.seek(start)
    return Head(header, kind, shape, stream.read(length), header.data_size, header.data_size_padded)


def _shape(header: fits.Header) -> tuple[int, ...]:
    """Axes, slowest first, once every card that astropy will multiply is known to be a number that makes sense."""
    if type(header["BITPIX"]) is not int or header["BITPIX"] not in fits.BITPIX2DTYPE:
        raise ValueError(f"BITPIX = {header['BITPIX']!r}")
    for key in ("PCOUNT", "GCOUNT"):
        if key in header:
            _whole(header, key)
    return tuple(_whole(header, f"NAXIS{i}") for i in range(_whole(header, "NAXIS", MAX_FIELDS), 0, -1))


def _whole(header: fits.Header, key: str, most: int = sys.maxsize) -> int:
    value = header[key]
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{key} = {value!r}")
    return value


class _Beginning:
    """The next `left` bytes of a file, as if it ended there: a header without END is not sought through gigabytes."""

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self.stream, self.left = stream, left

    def read(self, size: int) -> bytes:
        self.left -= size
        return self.stream.read(size) if self.left >= 0 else b""


@contextmanager
def _decoding(where: str) -> Iterator[None]:
    """astropy at work: its warnings end here, and whatever damaged bytes make it raise becomes a SpectrumError."""
    with quietly():
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split()) or "no reason given"
            raise SpectrumError(
                f"{where}: damaged or truncated ({type(error).__name__}: {reason}). Download or copy the file again"
            ) from error


def _native(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind == "S":
        return np.char.rstrip(np.char.decode(array, "ascii", "replace"), " \0")
    return array.astype(array.dtype.newbyteorder("="))


def _used(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "biufU" and values.dtype.itemsize > 0 and 0 not in values.shape[1:]


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """At most two axes: whatever shape TDIM gives a cell, it is a row of values."""
    return values.reshape(len(values), math.prod(values.shape[1:])) if values.ndim > 2 else values
