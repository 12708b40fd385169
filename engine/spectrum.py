"""Spectrum: one object's one-dimensional spectrum, as every part of the engine and the screen knows it.

Wavelengths are vacuum, observed frame, in Angstrom. A pixel is bad when its ivar is 0. What a survey's own
pipeline said about the object is kept as a Label and never shown to a network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.plain import PlainError, plain

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MOST_NAME = 200  # characters of an object's name


class SpectrumError(PlainError):
    """A spectrum cannot be read or cannot be used. The message says what, where and what to do."""


@dataclass(frozen=True)
class Label:
    """What a catalogue says of an object. Empty strings and NaN mean 'not given'.

    spectype is STAR, GALAXY or QSO; subclass is the pipeline's own spelling; zwarning is 0 when trusted, -1 unknown.
    """

    spectype: str = ""
    subclass: str = ""
    z: float = float("nan")
    zerr: float = float("nan")
    zwarning: int = -1


@dataclass(frozen=True)
class Arm:
    """One camera's spectrum of the same object. Arrays (n_pixels,) as in Spectrum."""

    name: str
    wave: FloatArray
    flux: FloatArray
    ivar: FloatArray


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A spectrum that has checked itself.

    wave : (n,) vacuum wavelength, observed frame, Angstrom, strictly increasing
    flux : (n,) flux density per unit wavelength, in flux_unit; finite where ivar > 0
    ivar : (n,) inverse variance of flux, >= 0; 0 marks a bad pixel
    object_id : the survey's own name of the object (plate-mjd-fiber, TARGETID, file stem ...)
    survey : where the file comes from: SDSS, DESI, LAMOST, ...; empty when unknown
    path : the file, as the user gave it
    flux_unit : a FITS unit string, or "" when the file has none
    notes : what the reader had to do or assume, in words ("ivar estimated from the flux scatter", ...)
    label : the catalogue's answer, if the file carries one
    arms : the single cameras, where the file keeps them apart
    meta : further header facts (ra, dec in degrees, mag_g, ...)

    Raises SpectrumError when arrays do not match, wavelengths do not increase, or no usable pixel is left.
    """

    wave: FloatArray
    flux: FloatArray
    ivar: FloatArray
    object_id: str
    survey: str = ""
    path: str = ""
    flux_unit: str = ""
    notes: tuple[str, ...] = ()
    label: Label | None = None
    arms: tuple[Arm, ...] = ()
    meta: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        where = self.path or self.object_id or "spectrum"
        arrays = {name: np.array(getattr(self, name), dtype=np.float64) for name in ("wave", "flux", "ivar")}
        shapes = {name: a.shape for name, a in arrays.items()}
        if len(set(shapes.values())) != 1 or arrays["wave"].ndim != 1:
            raise SpectrumError(f"{where}: wave, flux and ivar must be 1-D and of one length, got {shapes}")
        wave, flux, ivar = arrays["wave"], arrays["flux"], arrays["ivar"]
        if wave.size < 2:
            raise SpectrumError(f"{where}: only {wave.size} pixel; a spectrum needs at least 2. Check the file's table")
        if not (np.isfinite(wave).all() and (np.diff(wave) > 0).all() and wave[0] > 0):
            raise SpectrumError(
                f"{where}: wavelengths are not positive, finite and strictly increasing. Sort or clean the file"
            )
        bad = ~np.isfinite(flux) | ~np.isfinite(ivar) | (ivar <= 0)
        if bad.all():
            raise SpectrumError(f"{where}: no usable pixel (every flux is NaN or every ivar is 0). Nothing to classify")
        arrays["ivar"] = np.where(bad, 0.0, ivar)
        for name, a in arrays.items():
            a.setflags(write=False)
            object.__setattr__(self, name, a)
        object.__setattr__(self, "object_id", plain(self.object_id, MOST_NAME))
        object.__setattr__(self, "notes", tuple(map(plain, self.notes)))
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    @property
    def good(self) -> BoolArray:
        """(n,) True where the pixel may be used."""
        return np.asarray(self.ivar > 0)

    @cached_property
    def snr(self) -> float:
        """Median of flux * sqrt(ivar) over good pixels: SDSS's SN_MEDIAN_ALL."""
        return float(np.median(self.flux[self.good] * np.sqrt(self.ivar[self.good])))

    def with_(self, **changes: Any) -> Spectrum:
        """A changed copy; the original stays as it was."""
        return replace(self, **changes)
