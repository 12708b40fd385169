"""One-dimensional FITS images with a linear or logarithmic wavelength axis in the header, as IRAF and others write.

Keywords: FITS Standard 4.0 section 8 (CRVAL1, CDELT1 or CD1_1, CRPIX1, CTYPE1 WAVE, AWAV, -LOG; Greisen et al. 2006,
A&A 446, 747, eq. 5) and IRAF's DC-FLAG (1: log10). Errors come from an image HDU of the same length named IVAR,
ERROR and the like.
"""

from __future__ import annotations

import numpy as np

from engine.readers.clean import check_length, spectrum
from engine.readers.fitsfile import Hdu
from engine.readers.source import Source
from engine.readers.units import to_angstrom, to_flam
from engine.spectrum import FloatArray, Spectrum, SpectrumError

_NOT_WAVELENGTH = ("FREQ", "ENER", "WAVN", "VRAD", "VOPT", "ZOPT", "VELO", "BETA", "PIXEL", "TIME")
# Image extensions that hold errors, and what to do to get ivar.
_ERRORS = {
    "IVAR": "ivar", "INVVAR": "ivar", "VAR": "variance", "VARIANCE": "variance", "STAT": "variance",
    "ERR": "sigma", "ERROR": "sigma", "SIGMA": "sigma", "STDDEV": "sigma", "UNCERT": "sigma", "NOISE": "sigma",
}  # fmt: skip


def is_image(source: Source) -> bool:
    """True when some uncompressed image has one long axis; IRAF's multispec solutions are left to specutils."""
    hdu = _flux_hdu(source)
    return hdu is not None and hdu.text("CTYPE1") != "MULTISPE"


def read_image(source: Source) -> list[Spectrum]:
    """The spectrum of a 1-D image; of IRAF's stacked bands the first, with the fourth (sigma) as error."""
    hdu = _flux_hdu(source)
    assert hdu is not None
    n = hdu.shape[-1]
    check_length(source.name, max(hdu.shape))
    cube = hdu.image().astype(np.float64)
    bands = cube.reshape(-1, n) if n > 1 else cube.reshape(1, -1)
    flux = bands[0]
    wave, air, notes = wavelengths(hdu, flux.size, source)
    factor, unit, said = to_flam(wave, hdu.text("BUNIT"), "BUNIT", source.name)
    ivar = _error(source, hdu, flux.size)
    if ivar is None and len(bands) == 4:
        ivar = ivar_from(bands[3], "sigma")
    first = source.hdus[0]
    meta = {"ra": _degrees(hdu, first, "RA"), "dec": _degrees(hdu, first, "DEC")}
    return [
        spectrum(
            source.name, wave, flux * factor, None if ivar is None else ivar / factor**2, air=air,
            notes=(*notes, *said), object_id=first.text("OBJECT") or source.stem, survey="", flux_unit=unit,
            meta={key: value for key, value in meta.items() if value is not None},
        )
    ]  # fmt: skip


def wavelengths(hdu: Hdu, n: int, source: Source) -> tuple[FloatArray, bool, tuple[str, ...]]:
    """(wave (n,) in A, in air or vacuum as the file has it; True if air; notes) from the header's first axis."""
    where, ctype = source.name, hdu.text("CTYPE1").upper()
    start = hdu.get("CRVAL1", hdu.get("COEFF0"))
    step = hdu.get("CDELT1", hdu.get("CD1_1", hdu.get("COEFF1")))
    if not isinstance(start, int | float) or not isinstance(step, int | float) or step == 0:
        raise SpectrumError(
            f"{where}: the header has no wavelength axis (CRVAL1 and CDELT1 or CD1_1). Give a table with wavelengths"
        )
    if ctype.startswith(_NOT_WAVELENGTH) or ctype.endswith(("-TAB", "-GRI", "-GRA")):
        raise SpectrumError(
            f"{where}: axis CTYPE1 = {ctype!r} is not read as wavelength. Save wavelength and flux in a table"
        )
    offset = np.arange(n) + 1 - float(hdu.get("CRPIX1", 1))
    log = hdu.get("DC-FLAG") == 1 or hdu.has("COEFF0") or ("LOG" in ctype and not ctype.endswith("-LOG"))
    if ctype.endswith("-LOG") and start > 0:
        values = start * np.exp(np.clip(offset * step / start, -50, 50))
    else:
        values = start + step * offset
    column = "loglam" if log else "CRVAL1"
    wave, notes = to_angstrom(values, hdu.text("CUNIT1") or _iraf_unit(hdu), column, where)
    air, said = medium(source, ctype)
    return wave, air, (*notes, *said)


def medium(source: Source, ctype: str = "") -> tuple[bool, tuple[str, ...]]:
    """(True for air, notes) as the headers say: CTYPE1 AWAV, VACUUM, AIRORVAC; vacuum, with a note, if they do not."""
    for hdu in source.hdus:
        said = hdu.text("AIRORVAC").lower()
        vacuum = hdu.get("VACUUM")
        if said in ("air", "vac", "vacuum"):
            return said == "air", ()
        if vacuum is not None:
            return str(vacuum).strip().lower() in ("false", "f", "0", "no", "air"), ()
    if ctype.startswith(("AWAV", "WAVE-LOG", "WAVE-")):
        return ctype.startswith("AWAV"), ()
    if ctype == "WAVE":
        return False, ()
    return False, ("the file does not say air or vacuum: wavelengths taken as vacuum",)


def ivar_from(values: FloatArray, kind: str) -> FloatArray:
    """(n,) ivar from ivar, variance or sigma; 0 where the error is 0, negative or NaN, and negative ivar as it is."""
    if kind == "ivar":
        return values
    variance = values if kind == "variance" else np.where(values > 0, np.abs(values), np.nan) ** 2
    return np.divide(1.0, variance, out=np.zeros(values.shape), where=variance > 0)


def _flux_hdu(source: Source) -> Hdu | None:
    for hdu in source.hdus:
        shape = hdu.shape
        if hdu.kind != "IMAGE" or not shape or 0 in shape:
            continue
        long = [axis for axis in shape if axis > 1]
        bands = len(shape) == 3 and shape[1] == 1 and shape[0] in (2, 3, 4)
        return hdu if len(long) <= 1 or bands else None
    return None


def _error(source: Source, flux: Hdu, n: int) -> FloatArray | None:
    for hdu in source.hdus:
        kind = _ERRORS.get(hdu.name)
        if kind and hdu is not flux and hdu.kind == "IMAGE" and int(np.prod(hdu.shape)) == n:
            return ivar_from(hdu.image().astype(np.float64).ravel(), kind)
    return None


def _iraf_unit(hdu: Hdu) -> str:
    """Unit from IRAF's WAT1_001 = 'wtype=linear label=Wavelength units=angstroms'."""
    words = hdu.text("WAT1_001").split("units=")
    return words[1].split()[0] if len(words) > 1 and words[1].split() else ""


def _degrees(hdu: Hdu, first: Hdu, key: str) -> float | None:
    value = hdu.get(key, first.get(key))
    return float(value) if isinstance(value, int | float) else None
