"""From raw arrays of any survey to a Spectrum: order, air or vacuum, bad pixels, missing errors, refusals.

Whatever is done is said in the Spectrum's notes; whatever cannot be mended is a SpectrumError with a remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.spectrum import FloatArray, Spectrum, SpectrumError

MAX_PIXELS = 1_000_000  # the longest optical spectra known to us have 313,147
MAX_OBJECTS = 10_000
OPTICAL = (4000.0, 9000.0)  # Angstrom: the paper's range (section 2.1); a spectrum must touch it
FLAM = "10**-17 erg/(s cm2 Angstrom)"  # the unit SDSS and DESI write
TOO_LARGE = 1e30  # |flux| beyond this is a fill value, and would overflow float32
MAX_IVAR = 1e30

_SCATTER_BLOCK = 100  # pixels over which the noise is taken as constant when it must be estimated


def air_to_vacuum(wave_air: ArrayLike) -> FloatArray:
    """Vacuum wavelength (A) from air wavelength (A); below 2000 A, where no air is meant, unchanged.

    The inverse of Morton (2000, ApJS 130, 403) by N. Piskunov, as VALD uses it; good to 1e-4 A in 2000-100,000 A.
    """
    air = np.asarray(wave_air, dtype=np.float64)
    s2 = (1e4 / np.maximum(air, 2000.0)) ** 2
    n = 1 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    return np.asarray(np.where(air < 2000.0, air, air * n))


def spectrum(
    where: str,
    wave: ArrayLike,
    flux: ArrayLike,
    ivar: ArrayLike | None,
    *,
    bad: ArrayLike | None = None,
    air: bool = False,
    notes: Iterable[str] = (),
    **fields: Any,
) -> Spectrum:
    """A Spectrum from raw arrays (n,): wave in A (air if `air`), flux, ivar (None: estimated), bad True = do not use.

    fields are passed on to Spectrum; path is set to `where`. Raises SpectrumError, naming `where`.
    """
    said = list(notes)
    wave, flux = _numbers(wave, "wavelength", where), _numbers(flux, "flux", where)
    given = None if ivar is None else _numbers(ivar, "ivar", where)
    unusable = np.zeros(flux.shape, dtype=bool) if bad is None else np.array(bad, dtype=bool)
    lengths = {a.shape for a in (wave, flux, unusable, *(() if given is None else (given,)))}
    if len(lengths) != 1 or wave.ndim != 1:
        raise SpectrumError(f"{where}: wavelength, flux and errors differ in length: {sorted(lengths)}. Check the file")
    check_length(where, wave.size)
    if wave.size > 1 and (wave[1:] < wave[:-1]).all():
        wave, flux, unusable = wave[::-1], flux[::-1], unusable[::-1]
        given = None if given is None else given[::-1]
        said.append("wavelengths ran from red to blue: turned round")
    _check_order(where, wave)
    if air:
        wave = air_to_vacuum(wave)
        said.append("wavelengths converted from air to vacuum")
    _check_range(where, wave)
    unusable |= ~(np.abs(flux) < TOO_LARGE)
    if unusable.all():
        raise SpectrumError(f"{where}: no usable flux (all {flux.size} values are NaN or masked). Nothing to classify")
    if given is None:
        given = estimate_ivar(flux, unusable)
        said.append("ivar estimated from the scatter of neighbouring flux values: the file gives no errors")
    given = _check_ivar(where, given, said)
    given[unusable] = 0.0
    good = given > 0
    if good.any() and np.ptp(flux[good]) == 0:
        raise SpectrumError(f"{where}: flux is constant ({flux[good][0]:g}) in every good pixel. Nothing to classify")
    return Spectrum(wave, flux, given, path=where, notes=tuple(said), **fields)


def estimate_ivar(flux: FloatArray, bad: NDArray[np.bool_], lag: int = 1) -> FloatArray:
    """(n,) inverse variance from the robust scatter of second differences in blocks of 100 pixels.

    Second differences remove a smooth spectrum; their variance is 6 times the noise's. Smoothed flux has correlated
    noise, which neighbours underestimate: there let lag (pixels) reach beyond the smoothing.
    Leading and trailing zeros are padding and get 0.
    """
    ivar = np.zeros(flux.size)
    use = np.flatnonzero(~bad)
    inside = np.flatnonzero(flux[use] != 0)
    use = use[inside[0] : inside[-1] + 1] if inside.size else use
    if use.size < 2 * lag + 2:
        ivar[use] = 1.0
        return ivar
    f = flux[use]
    scatter = np.abs(2 * f[lag:-lag] - f[: -2 * lag] - f[2 * lag :]) / np.sqrt(6.0)
    starts = np.arange(0, max(scatter.size - _SCATTER_BLOCK // 2, 1), _SCATTER_BLOCK)
    blocks = [scatter[s : s + _SCATTER_BLOCK] for s in starts]
    sigma = np.interp(np.arange(f.size), starts + _SCATTER_BLOCK / 2 + lag, [1.4826 * np.median(b) for b in blocks])
    # A noiseless model must not claim an infinite signal-to-noise.
    floor = max(1e-3 * float(np.median(np.abs(f))), 1e-3 * float(np.median(scatter)), 1e-12 * float(np.abs(f).max()))
    ivar[use] = 1 / np.maximum(sigma, floor if floor > 0 else 1.0) ** 2
    return ivar


def check_length(where: str, n: int) -> None:
    """Raise SpectrumError when n pixels are too few or too many; called before arrays are made where possible."""
    if n == 0:
        raise SpectrumError(f"{where}: the table is empty (0 pixels). Check that the file was written completely")
    if n < 2:
        raise SpectrumError(f"{where}: only {n} pixel; a spectrum needs at least 2. Check the file's table")
    if n > MAX_PIXELS:
        raise SpectrumError(f"{where}: {n:,} pixels; at most {MAX_PIXELS:,} are read. Cut or rebin the spectrum")


def gather(where: str, makers: Iterable[tuple[str, Callable[[], Spectrum]]]) -> list[Spectrum]:
    """The spectra of a file with many objects. Objects that cannot be used are left out and named in every note.

    Raises the first object's SpectrumError when none can be used.
    """
    found: list[Spectrum] = []
    failed: list[tuple[str, SpectrumError]] = []
    for object_id, make in makers:
        try:
            found.append(make())
        except SpectrumError as error:
            failed.append((object_id, error))
    if not found and not failed:
        raise SpectrumError(f"{where}: holds no object. Check that the file is complete")
    total = len(failed) + len(found)
    if not found:
        first_id, first = failed[0]
        if total == 1:
            raise first
        raise SpectrumError(
            f"{first} (so for object {first_id}; none of the file's {total} objects can be used)"
        ) from first
    if failed:
        note = f"{len(failed)} of {total} objects of the file left out; first {failed[0][0]}: {failed[0][1]}"
        found = [s.with_(notes=(*s.notes, note)) for s in found]
    return found


def _numbers(values: ArrayLike, what: str, where: str) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SpectrumError(f"{where}: {what} is not a column of numbers ({error}). Check the file") from error


def _check_order(where: str, wave: FloatArray) -> None:
    wrong = ~np.isfinite(wave) | (wave <= 0)
    if wrong.any():
        raise SpectrumError(
            f"{where}: {wrong.sum()} of {wave.size} wavelengths are NaN, zero or negative. Remove those rows"
        )
    back = np.flatnonzero(np.diff(wave) <= 0)
    if back.size:
        k = int(back[0])
        raise SpectrumError(
            f"{where}: wavelengths are not in order: {wave[k]:g} A is followed by {wave[k + 1]:g} A at pixel {k + 1}. "
            "Sort the table by wavelength and merge repeated values"
        )


def _check_range(where: str, wave: FloatArray) -> None:
    low, high = OPTICAL
    if wave[-1] < low or wave[0] > high:
        raise SpectrumError(
            f"{where}: covers {wave[0]:g}-{wave[-1]:g} A, outside {low:g}-{high:g} A. "
            "Check the wavelength unit; other ranges cannot be classified"
        )


def _check_ivar(where: str, ivar: FloatArray, said: list[str]) -> FloatArray:
    finite = np.where(np.isfinite(ivar), ivar, 0.0)
    negative = int((finite < 0).sum())
    if not (finite > 0).any():
        raise SpectrumError(f"{where}: no ivar is above 0, so every pixel is bad. Check the error column")
    if negative:
        said.append(f"{negative} pixels with negative ivar marked bad")
    return np.clip(finite, 0.0, MAX_IVAR)
