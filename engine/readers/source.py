"""Source: what the user gave (a path, bytes, an open file), opened, unzipped if need be, and looked at once.

Readers decide by what is inside, never by the file's name; the name is kept for errors and for the user.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import BinaryIO

from engine.readers.fitsfile import Hdu, scan
from engine.spectrum import SpectrumError

MAX_UNZIPPED = 512 * 2**20  # bytes; a gzipped file that grows beyond this is refused,
MAX_RATIO = 20  # and so is one that grows more than this (spectra shrink 2 to 10 times) beyond
SMALL = 64 * 2**20  # bytes
MAX_TEXT = 128 * 2**20  # bytes; a million rows of three columns take about 60 MB

_PIECE = 2**20  # bytes unzipped at a time

# First bytes of what people give us by mistake, and what it is.
_MISTAKES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP or NumPy .npz archive; unpack it and give the spectra inside"),
    (b"\x93NUMPY", "a NumPy array; save wavelength, flux and ivar as a FITS, ECSV or CSV table"),
    (b"\x89HDF", "an HDF5 file; save the spectrum as a FITS, ECSV or CSV table"),
    (b"\x89PNG", "a PNG picture; give the FITS or table file behind it"),
    (b"\xff\xd8\xff", "a JPEG picture; give the FITS or table file behind it"),
    (b"%PDF", "a PDF document; give the FITS or table file behind it"),
    (b"\x80", "a Python pickle, which is never loaded for it can run code; save a FITS, ECSV or CSV table"),
    (b"BZh", "a bzip2 archive; unpack it (bunzip2) and give the file inside"),
    (b"\xfd7zXZ", "an xz archive; unpack it (unxz) and give the file inside"),
    (b"ustar", "a tar archive; unpack it and give the spectra inside"),
)

FileSource = str | os.PathLike[str] | bytes | BinaryIO


@dataclass(frozen=True, eq=False)
class Source:
    """An opened file. `hdus` is empty unless it is FITS; `text` is empty unless it is text.

    catalogue : whether the pipeline's answers are wanted too (see `engine.read`)
    """

    name: str
    stream: BinaryIO
    size: int
    hdus: tuple[Hdu, ...]
    catalogue: bool = True

    @property
    def stem(self) -> str:
        """File name without folder, .gz and extension: the object's name when the file gives none."""
        stem = PurePath(self.name.replace("\\", "/")).name
        stem = stem[:-3] if stem.lower().endswith(".gz") else stem
        return PurePath(stem).stem or stem

    @cached_property
    def text(self) -> str:
        """The whole file as text, "" when it is FITS or no text. Raises SpectrumError when too long."""
        if self.hdus:
            return ""
        self.stream.seek(0)
        if b"\0" in self.stream.read(4096):
            return ""
        if self.size > MAX_TEXT:
            raise SpectrumError(
                f"{self.name}: {self.size:,} bytes of text; at most {MAX_TEXT:,} are read. Save it as a FITS table"
            )
        self.stream.seek(0)
        try:
            return self.stream.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            return ""


@contextmanager
def opened(source: FileSource, name: str | None = None, catalogue: bool = True) -> Iterator[Source]:
    """Open a path, bytes or a binary file object. A path's file is closed at the end; a given file object is not.

    Raises SpectrumError for what is missing, a directory, empty, no spectrum file at all, or a truncated FITS file.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        where = name or os.fspath(source)
        try:
            if path.is_dir():
                raise SpectrumError(f"{where}: is a directory. Give a file; `gasnet classify` walks directories")
            with path.open("rb") as stream:
                yield _look(stream, where, catalogue)
        except (OSError, ValueError) as error:
            if isinstance(error, SpectrumError):
                raise
            reason = getattr(error, "strerror", None) or error
            raise SpectrumError(f"{where}: cannot be opened: {reason}. Check the path and its permissions") from error
    elif isinstance(source, bytes | bytearray | memoryview):
        yield _look(io.BytesIO(source), name or "uploaded file", catalogue)
    elif hasattr(source, "read"):
        where = name or str(getattr(source, "name", "uploaded file"))
        yield _look(_seekable(source, where), where, catalogue)
    else:
        raise SpectrumError(f"cannot read a spectrum from {type(source).__name__}. Give a path, bytes or a binary file")


def _seekable(stream: BinaryIO, where: str) -> BinaryIO:
    if isinstance(stream.read(0), str):
        raise SpectrumError(f"{where}: opened as text. Open it in binary mode, open(path, 'rb')")
    if stream.seekable():
        return stream
    return io.BytesIO(stream.read())


def _look(stream: BinaryIO, where: str, catalogue: bool) -> Source:
    stream.seek(0)
    if stream.read(2) == b"\x1f\x8b":
        stream = _unzip(stream, where)
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(512)
    if not head:
        raise SpectrumError(f"{where}: is empty (0 bytes). Download or copy it again")
    if head.startswith(b"SIMPLE  ="):
        return Source(where, stream, size, scan(stream, size, where), catalogue)
    for start, mistake in _MISTAKES:
        if head.startswith(start) or (start == b"ustar" and head[257:262] == start):
            raise SpectrumError(f"{where}: is {mistake}")
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise SpectrumError(f"{where}: is a web page, not a spectrum. The download gave an error page; fetch it again")
    return Source(where, stream, size, (), catalogue)


def _unzip(stream: BinaryIO, where: str) -> BinaryIO:
    limit = min(MAX_UNZIPPED, max(SMALL, MAX_RATIO * stream.seek(0, os.SEEK_END)))
    stream.seek(0)
    data = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=stream) as unzipper:
            # Piece by piece: read whole, it would lie in memory twice before it is found too large.
            while data.tell() <= limit and (piece := unzipper.read(_PIECE)):
                data.write(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise SpectrumError(f"{where}: damaged or truncated gzip: {error}. Download or copy it again") from error
    if data.tell() > limit:
        raise SpectrumError(
            f"{where}: grows beyond {limit:,} bytes when unzipped: refused. If it is genuine, gunzip it"
        )
    return data
