"""Where DESI keeps a target: the coadd files of healpix pixels, and how to take one row out of them.

A coadd is a gigabyte, so it is never downloaded: FIBERMAP and one row of each arm are read by HTTP ranges. Layout:
desidatamodel.readthedocs.io, SPECPROD/healpix. Bricks: desiutil.brick, the .25 degree tiling of the Legacy Surveys.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, BinaryIO

import numpy as np
from astropy import units
from astropy.io import fits
from astropy_healpix import HEALPix
from fsspec.spec import AbstractBufferedFile
from numpy.typing import NDArray

from engine.archive.web import BadAnswer, NotFound, Web
from engine.identifiers import DesiRef

RELEASES = {"dr1": "dr1/spectro/redux/iron", "edr": "edr/spectro/redux/fuji"}
SURVEYS = {
    "main": ("dark", "bright", "backup"),
    "sv3": ("dark", "bright", "backup"),
    "sv1": ("dark", "bright", "backup", "other"),
    "sv2": ("dark", "bright", "backup"),
    "special": ("dark", "bright", "backup", "other"),
    "cmx": ("other",),
}
NSIDE = 64
BRICK = 0.25  # degrees
MOST_READ = 64 * 2**20  # bytes of one coadd; FIBERMAP takes a few million, the rest less
_BLOCK = 1 << 16  # bytes read ahead: a header, or one row of an arm with room to spare


@cache
def _columns() -> NDArray[np.int64]:
    """(721,) bricks in each row of declination, from the south pole: an even number, one at the poles."""
    dec = np.abs(-90 + BRICK * np.arange(721)) - BRICK / 2
    n = np.ceil(360 / BRICK * np.cos(np.radians(dec))).astype(np.int64)
    n += n % 2
    n[[0, -1]] = 1
    return n


def pixels(brick: int) -> list[int]:
    """Healpix pixels (nside 64, nested) that a brick reaches into: one to four. Empty when there is no such brick."""
    columns = _columns()
    first = 1 + np.concatenate([[0], np.cumsum(columns)])
    row = int(np.searchsorted(first, brick, side="right")) - 1
    if not 0 <= row < columns.size:
        return []
    width = 360 / columns[row]
    ra = width * (brick - first[row] + np.linspace(0, 1, 9))
    dec = np.clip(-90 + BRICK * (row + np.linspace(-0.5, 0.5, 9)), -90, 90)
    where = np.array(list(product(ra, dec))) * units.deg
    found = HEALPix(NSIDE, order="nested").lonlat_to_healpix(where[:, 0], where[:, 1])
    pixel, times = np.unique(found, return_counts=True)
    return [int(p) for p in pixel[np.argsort(-times, kind="stable")]]


def coadds(ref: DesiRef) -> Iterator[DesiRef]:
    """The ref with each release, survey, program and healpix it may be in, the likeliest first."""
    releases = (ref.release,) if ref.release else tuple(RELEASES)
    at = (ref.healpix,) if ref.healpix is not None else tuple(pixels(ref.brick))
    for release in releases:
        for survey in (ref.desi_survey,) if ref.desi_survey else SURVEYS:
            for program in (ref.program,) if ref.program else SURVEYS[survey]:
                for pixel in at:
                    yield DesiRef(ref.targetid, survey, program, pixel, release=release)


def path(full: DesiRef) -> str:
    """Relative path of the coadd file of a ref that has everything."""
    assert full.release is not None
    assert full.healpix is not None
    name = f"coadd-{full.desi_survey}-{full.program}-{full.healpix}.fits"
    folder = f"{full.desi_survey}/{full.program}/{full.healpix // 100}/{full.healpix}"
    return f"{RELEASES[full.release]}/healpix/{folder}/{name}"


class RangeFile(AbstractBufferedFile):
    """A remote file that is read in parts, as astropy asks for them. Raises ArchiveErrors of Web.part."""

    def __init__(self, web: Web, url: str) -> None:
        self.web, self.url = web, url
        head, size = web.part(url, 0, _BLOCK)
        self.bytes_read = len(head)
        self._head = head
        super().__init__(None, url, "rb", block_size=_BLOCK, cache_type="readahead", size=size)

    def _fetch_range(self, start: int, end: int) -> bytes:
        if end <= len(self._head):
            return self._head[start:end]
        self.bytes_read += end - start
        if self.bytes_read > MOST_READ:
            raise BadAnswer(f"{self.url}: more than {MOST_READ:,} bytes would have to be read for one target")
        return self.web.part(self.url, start, end)[0]


def take(stream: BinaryIO | AbstractBufferedFile, ref: DesiRef) -> bytes:
    """A FITS file, in DESI's layout, of one target of the coadd in a stream. Raises NotFound when it is not in it.

    A compressed mask is left out: the coadd's ivar is 0 already where all input was masked.
    """
    with fits.open(stream, memmap=False, lazy_load_hdus=True, disable_image_compression=True) as hdus:
        fibermap = hdus["FIBERMAP"]
        at = np.flatnonzero(fibermap.data["TARGETID"] == ref.targetid)
        if at.size == 0:
            raise NotFound(f"TARGETID {ref.targetid} is not in the coadd of its pixel")
        row = int(at[0])
        taken: list[Any] = [fits.PrimaryHDU(), fits.BinTableHDU(fibermap.data[row : row + 1], name="FIBERMAP")]
        for hdu in _after(hdus):
            part = hdu.name.partition("_")[2]
            if part == "WAVELENGTH":
                taken.append(fits.ImageHDU(hdu.data, name=hdu.name))
            elif part in ("FLUX", "IVAR", "MASK") and isinstance(hdu, fits.ImageHDU):
                taken.append(fits.ImageHDU(hdu.section[row : row + 1, :], name=hdu.name))
    header = taken[0].header
    header["SURVEY"], header["PROGRAM"], header["HPXPIXEL"] = ref.desi_survey, ref.program, ref.healpix
    header["ORIGIN"] = ("DESI", f"one row of {path(ref).rsplit('/', 1)[-1]}")
    out = io.BytesIO()
    fits.HDUList(taken).writeto(out)
    return out.getvalue()


def _after(hdus: fits.HDUList) -> Iterator[Any]:
    """HDUs one after another, each header read when its turn comes; SCORES ends the arms."""
    i = 0
    while True:
        try:
            hdu = hdus[i]
        except IndexError:
            return
        if hdu.name == "SCORES":
            return
        yield hdu
        i += 1
