"""LAMOST low-resolution spectra: the image of rows (to DR7) and the COADD table (DR8 on).

Data model: www.lamost.org/dr8/v2.0/doc/lr-data-production-description. Wavelengths are vacuum, heliocentric; flux is
relative, its unit arbitrary.
Mask bits: 0 bad CCD pixel, 1 bad profile, 2 no sky, 3 bright sky, 4 off the CCD, 5 no data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.readers.clean import check_length, spectrum
from engine.readers.fitsfile import Hdu
from engine.readers.source import Source
from engine.spectrum import Label, Spectrum

# Bits of the and-mask that make a pixel unusable; bad CCD pixels and profiles are in ivar already.
NOSKY = 1 << 2
BRIGHTSKY = 1 << 3
OFFCCD = 1 << 4
NODATA = 1 << 5
BAD_BITS = NOSKY | BRIGHTSKY | OFFCCD | NODATA

_COLUMNS = ("FLUX", "IVAR", "WAVELENGTH", "ANDMASK")
_SPECTYPES = ("STAR", "GALAXY", "QSO")


def is_image(source: Source) -> bool:
    """True for the older files: an image of 5 rows (flux, ivar, wavelength, and-mask, or-mask) from LAMOST."""
    first = source.hdus[0] if source.hdus else None
    return first is not None and _from_lamost(first) and len(first.shape) == 2 and first.shape[0] in (3, 4, 5)


def read_image(source: Source) -> list[Spectrum]:
    """The spectrum of a row image."""
    hdu = source.hdus[0]
    check_length(source.name, hdu.shape[1])
    image = hdu.image().astype(np.float64)
    mask = image[3] if image.shape[0] > 3 else np.zeros(image.shape[1])
    flux, ivar, wave = image[:3]
    return [_spectrum(source, flux, ivar, wave, mask)]


def is_table(source: Source) -> bool:
    """True for the newer files: a one-row table with vector columns FLUX, IVAR, WAVELENGTH, from LAMOST."""
    return (
        len(source.hdus) > 1
        and _from_lamost(source.hdus[0])
        and {"FLUX", "IVAR", "WAVELENGTH"} <= source.hdus[1].columns.keys()
    )


def read_table(source: Source) -> list[Spectrum]:
    """The coadded spectrum of a COADD table."""
    columns = {name: np.ravel(values) for name, values in source.hdus[1].table(*_COLUMNS).items()}
    check_length(source.name, columns["FLUX"].size)
    mask = columns.get("ANDMASK", np.zeros(columns["FLUX"].size))
    return [_spectrum(source, columns["FLUX"], columns["IVAR"], columns["WAVELENGTH"], mask)]


def _from_lamost(header: Hdu) -> bool:
    return header.text("TELESCOP") == "LAMOST" or header.text("ORIGIN").endswith("LAMOST")


def _spectrum(
    source: Source, flux: NDArray[Any], ivar: NDArray[Any], wave: NDArray[Any], mask: NDArray[Any]
) -> Spectrum:
    header = source.hdus[0]
    bits = np.nan_to_num(mask, nan=0.0, posinf=0.0, neginf=0.0).astype(np.int64)
    spid, fiber = header.get("SPID"), header.get("FIBERID")
    ids = (header.text("PLANID"), header.get("MJD"), f"sp{spid}", fiber)
    meta = {
        "ra": header.get("RA"), "dec": header.get("DEC"), "obsid": header.get("OBSID"), "planid": ids[0] or None,
        "mjd": ids[1], "fiber": fiber, "mag_g": _mag_g(header),
    }  # fmt: skip
    return spectrum(
        source.name, wave, flux, ivar, bad=(bits & BAD_BITS) != 0, air=header.get("VACUUM") is False,
        object_id="-".join(map(str, ids)) if all(ids) and spid else source.stem, survey="LAMOST", label=_label(header),
        meta={key: value for key, value in meta.items() if value is not None},
    )  # fmt: skip


def _label(header: Hdu) -> Label | None:
    spectype = header.text("CLASS").upper()
    if spectype not in _SPECTYPES:
        return None
    z, zerr = header.get("Z", np.nan), header.get("Z_ERR", np.nan)
    return Label(spectype, header.text("SUBCLASS"), _number(z), _number(zerr))


def _number(value: Any) -> float:
    """LAMOST writes -9999 for what it does not know."""
    return float(value) if isinstance(value, int | float) and value > -9990 else float("nan")


def _mag_g(header: Hdu) -> float | None:
    """The input catalogue's g magnitude: the letter g of MAGTYPE says which MAGn holds it."""
    at = header.text("MAGTYPE").find("g")
    mag = _number(header.get(f"MAG{at + 1}")) if at >= 0 else float("nan")
    return mag if 0 < mag < 40 else None
