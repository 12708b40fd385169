"""6dFGS: images of 3 or 4 rows (counts, variance, sky, and in some versions wavelength), alone or in the VR extension.

Data model: docs.datacentral.org.au/6dfgs. Counts are not flux-calibrated and wavelengths are in air (the [O I]
sky line lies at 5577 A). Copies shifted to the rest frame by IRAF's dopcor keep their redshift in DOPCOR01: undone
here, for a Spectrum is in the observed frame.
"""

from __future__ import annotations

import numpy as np

from engine.readers.clean import check_length, spectrum
from engine.readers.fitsfile import Hdu
from engine.readers.source import Source
from engine.spectrum import Label, Spectrum, SpectrumError

_KEYS = ("OBSRA", "OBSDEC", "Z_HELIO", "QUALITY")


def is_sixdf(source: Source) -> bool:
    """True when some image of 3 or 4 rows carries the 6dFGS redshift keywords."""
    return _hdu(source) is not None


def read_sixdf(source: Source) -> list[Spectrum]:
    """The spectrum, in the observed frame. The last such image is taken: V and R come before the combined VR."""
    hdu = _hdu(source)
    assert hdu is not None
    check_length(source.name, hdu.shape[1])
    rows = hdu.image().astype(np.float64)
    flux, variance = rows[0], rows[1]
    notes = ["counts are not flux-calibrated", "variance taken from the image's second row"]
    wave = rows[3] if len(rows) == 4 and (np.diff(rows[3]) > 0).all() else _header_wave(source, hdu, flux.size, notes)
    ivar = np.divide(1.0, variance, out=np.zeros(flux.size), where=(variance > 0) & (flux != 0))
    quality, z = hdu.get("QUALITY"), hdu.get("Z_HELIO", hdu.get("Z", np.nan))
    label = Label(z=float(z), zwarning=0 if quality in (3, 4) else -1)
    return [
        spectrum(
            source.name, wave, flux, ivar, air=True, notes=notes, survey="6dFGS", flux_unit="count", label=label,
            object_id=hdu.text("TARGET") or source.stem,
            meta={"ra": hdu.get("OBSRA"), "dec": hdu.get("OBSDEC"), "quality": quality},
        )
    ]  # fmt: skip


def _hdu(source: Source) -> Hdu | None:
    fit = [h for h in source.hdus if h.has(*_KEYS) and len(h.shape) == 2 and h.shape[0] in (3, 4)]
    return fit[-1] if fit else None


def _header_wave(source: Source, hdu: Hdu, n: int, notes: list[str]) -> np.ndarray:
    start, step = hdu.get("CRVAL1"), hdu.get("CDELT1", hdu.get("CD1_1"))
    if not start or not step:
        raise SpectrumError(f"{source.name}: no CRVAL1 and CDELT1, so no wavelengths. Fetch the file again")
    wave = start + step * (np.arange(n) + 1 - hdu.get("CRPIX1", 1))
    shift = float(str(hdu.get("DOPCOR01", "0")).split()[0])
    if shift:
        notes.append(f"file was in the rest frame: wavelengths multiplied by 1 + {shift:g}")
    return np.asarray(wave * (1 + shift))
