"""Whatever the own readers do not know is offered to specutils' loaders, imported only then (it takes seconds).

specutils (astropy's package for spectra) knows JWST, HST, 2dFGRS, GAMA, OzDES, APOGEE, MUSCLES and others.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from engine.readers.clean import check_length, gather, spectrum
from engine.readers.quiet import quietly
from engine.readers.source import Source
from engine.readers.units import to_flam
from engine.spectrum import Spectrum, SpectrumError

# Cards that specutils hands to wcslib and no one-dimensional spectrum needs: wcslib has written beyond its buffers for
# some headers (astropy/astropy#20349). Left are CTYPE, CUNIT, CRVAL, CRPIX, CDELT, CD and PC of an image.
_WCS = re.compile(
    rb"(WCSAXES|WCSNAME|CNAME|CROTA|CRDER|CSYER|CPERI|CZPHS|P[SV]\d|[AB]P?_|C[PQ]DIS|D[PQ]\d|D2IM|LON|LAT|RADE|EQUINOX"
    rb"|EPOCH|REST|SPECSYS|SSYS|VEL|ZSOURCE|OBSGEO|OBSORBIT|MJD|DATE|TIME|JEPOCH|BEPOCH|TELAPSE|XPOSURE"
    rb"|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CD|PC)\d+(_\d+)?[A-Z]|CTYPE\d+ *= *'[^']*-TAB"
    rb"|T(CTY|CUN|CRV|CRP|CDE|CDL)[A-Z]*\d|T(PC|CD|P|S|V)\d|\d+(CTY|CUN|CRV|CRP|CDE|PC|CD|P|S|V))"
)


def is_fits(source: Source) -> bool:
    """True for any FITS file."""
    return bool(source.hdus)


def read_fits(source: Source) -> list[Spectrum]:
    """The spectra that specutils finds. Raises SpectrumError, saying what the file holds, when it finds none."""
    where = source.name
    compressed = next((hdu for hdu in source.hdus if hdu.compressed), None)
    if compressed is not None:
        raise SpectrumError(f"{where}: holds a compressed image ({compressed.name}). Unpack it with funpack")
    filled = [hdu for hdu in source.hdus if hdu.shape and hdu.size]
    if not filled:
        empty = [hdu for hdu in source.hdus if hdu.kind == "BINTABLE"]
        what = "its table is empty" if empty else "it holds headers only"
        raise SpectrumError(f"{where}: no data: {what}. Check that the file was written completely")
    for hdu in filled:
        check_length(where, max(hdu.shape))
    found = _ask_specutils(source)
    if not found:
        raise SpectrumError(f"{where}: {_contents(source)}; no reader knows it. {_remedy(source)}")
    makers = ((f"{i}", lambda s=s, i=i: _convert(where, s, source.stem, i, len(found))) for i, s in enumerate(found))
    return gather(where, makers)


def _ask_specutils(source: Source) -> list[Any]:
    if len(source.hdus) == 1 and len(source.hdus[0].shape) == 2 and not source.hdus[0].has("CTYPE1"):
        return []  # a picture; spares the import
    from astropy.io.registry import IORegistryError

    with quietly():
        import specutils

        for kind in (specutils.Spectrum, specutils.SpectrumList):
            try:
                found = kind.read(io.BytesIO(b"".join(hdu.without(_WCS) for hdu in source.hdus)))
            except IORegistryError:
                continue
            except Exception as error:  # third-party loaders raise anything
                raise SpectrumError(
                    f"{source.name}: specutils recognised the file but could not read it ({error}). {_remedy(source)}"
                ) from error
            return list(found) if isinstance(found, list) else [found]
    return []


def _convert(where: str, found: Any, stem: str, i: int, n: int) -> Spectrum:
    from astropy import units as u

    flux = np.asarray(found.flux.value)
    if flux.ndim != 1:
        raise SpectrumError(f"{where}: holds an image of shape {flux.shape}, not a spectrum. Extract one first")
    axis = found.spectral_axis
    if not axis.unit.is_equivalent(u.AA, u.spectral()):
        raise SpectrumError(f"{where}: spectral axis in {axis.unit}, no wavelength. Convert it to Angstrom")
    wave = np.asarray(axis.to_value(u.AA, u.spectral()))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor, unit, notes = to_flam(wave, str(found.flux.unit), "flux", where)
    ivar = None
    if found.uncertainty is not None:
        from astropy.nddata import InverseVariance

        ivar = np.asarray(found.uncertainty.represent_as(InverseVariance).array, dtype=np.float64) / factor**2
    return spectrum(
        where, wave, flux * factor, ivar, object_id=stem if n == 1 else f"{stem}-{i}", flux_unit=unit,
        notes=("read by specutils; wavelengths taken as vacuum", *notes),
    )  # fmt: skip


def _contents(source: Source) -> str:
    parts = []
    for hdu in source.hdus:
        if hdu.kind == "IMAGE" and hdu.shape:
            parts.append(f"an image of shape {hdu.shape}")
        elif hdu.kind in ("BINTABLE", "TABLE"):
            parts.append(f"a table of {hdu.shape[0]} rows with columns {', '.join(list(hdu.columns)[:6])}")
    more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
    return "the FITS file holds " + "; ".join(parts[:3]) + more


def _remedy(source: Source) -> str:
    if any(hdu.kind == "BINTABLE" for hdu in source.hdus):
        return "Name the table's columns wave (in A, nm or um), flux and ivar"
    return "Extract a 1-D spectrum and save wavelength, flux and ivar as a table"
