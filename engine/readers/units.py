"""Units as files spell them: wavelengths to Angstrom, flux densities to 1e-17 erg/s/cm2/A."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from astropy import units as u

from engine.readers.clean import FLAM, OPTICAL
from engine.readers.quiet import quietly
from engine.spectrum import FloatArray, SpectrumError

_FLAM = 1e-17 * u.erg / u.s / u.cm**2 / u.AA
_FNU = u.erg / u.s / u.cm**2 / u.Hz
_C_ANGSTROM = 2.99792458e18  # A/s
_RELATIVE = (u.dimensionless_unscaled, u.ct, u.adu, u.electron, u.photon, u.DN)
_HUGE_POWER = re.compile(r"(\*\*|\^)\W*\d{4}|(\*\*|\^).*(\*\*|\^)\W*\d{3}")
_LOG = re.compile(r"(?:log10|log|dex)\s*\(?\s*([a-z]+)?\s*\)?$|\[([a-z]+)\]$", re.IGNORECASE)


def to_angstrom(values: FloatArray, unit: str, column: str, where: str) -> tuple[FloatArray, tuple[str, ...]]:
    """Wavelengths (n,) in A, and notes. `column` decides for log10 when it says so (loglam), as may the unit.

    Without a unit, A is assumed if that touches 4000-9000 A. Raises SpectrumError for any other unit or range.
    """
    log = _LOG.match(unit.strip())
    if log:
        unit = next((g for g in log.groups() if g), "")
    if log or "log" in column.lower():
        if not (np.abs(values) < 10).all():
            raise SpectrumError(f"{where}: column {column} should be log10 of wavelength, but holds {values[0]:g}")
        values = 10.0**values
    if not unit.strip():
        return values, (_assume_angstrom(values, column, where),)
    parsed = _parse(unit)
    if parsed is None or not parsed.is_equivalent(u.AA):
        raise SpectrumError(
            f"{where}: column {column} has the unit {unit!r}, which is no wavelength. Convert it to Angstrom, nm or um"
        )
    factor = float(parsed.to(u.AA))
    return values * factor, () if factor == 1 else (f"wavelengths converted from {unit.strip()} to Angstrom",)


def to_flam(wave: FloatArray, unit: str, column: str, where: str) -> tuple[FloatArray, str, tuple[str, ...]]:
    """(factor (n,) to multiply flux with, the resulting unit, notes) for flux in `unit` at wave (A).

    F_lambda and F_nu become 1e-17 erg/s/cm2/A; counts and relative flux stay; what is no flux raises SpectrumError.
    """
    ones = np.ones(wave.size)
    if not unit.strip():
        return ones, "", ()
    parsed = _parse(unit, ampere_is_angstrom=True)
    if parsed is None:
        return ones, unit.strip(), (f"flux unit {unit.strip()!r} not understood: flux kept as it is",)
    if parsed.is_equivalent(_FLAM):
        factor = float(parsed.to(_FLAM))
        same = np.isclose(factor, 1.0, rtol=1e-9)
        return ones * factor, FLAM, () if same else (f"flux converted from {unit.strip()} to 1e-17 erg/s/cm2/A",)
    if parsed.is_equivalent(_FNU):
        per_pixel = float(parsed.to(_FNU)) * 1e17 * _C_ANGSTROM / wave**2
        return per_pixel, FLAM, (f"flux converted from {unit.strip()} (per frequency) to 1e-17 erg/s/cm2/A",)
    for relative in _RELATIVE:
        if any(parsed.is_equivalent(relative / per) for per in (1, u.s, u.AA, u.s * u.AA)):
            return ones, unit.strip(), ()
    raise SpectrumError(
        f"{where}: column {column} has the unit {unit.strip()!r}, which is no flux. "
        "Give flux per wavelength or per frequency"
    )


def _assume_angstrom(values: FloatArray, column: str, where: str) -> str:
    finite = values[np.isfinite(values)]
    if finite.size and (finite.max() < OPTICAL[0] or finite.min() > OPTICAL[1]):
        raise SpectrumError(
            f"{where}: column {column} has no unit and runs over {finite.min():g}-{finite.max():g}, which is no "
            "optical light in Angstrom (4000-9000). Give the unit (Angstrom, nm, um) in the file"
        )
    return "wavelengths have no unit in the file: taken as Angstrom"


def _parse(text: str, ampere_is_angstrom: bool = False) -> Any:
    """astropy unit of a spelling found in files, or None."""
    if len(text) > 100 or _HUGE_POWER.search(text):  # astropy would work at 10**9999999999 for ever
        return None
    text = text.strip().strip("'\"").replace("Å", "Angstrom").replace("µ", "u").replace("μ", "u")
    text = re.sub(r"\bang(strom)?s?\b", "Angstrom", text, flags=re.IGNORECASE)
    text = re.sub(r"\bmicrons?\b|\bmicromet(er|re)s?\b", "um", text, flags=re.IGNORECASE)
    text = re.sub(r"\bnanomet(er|re)s?\b", "nm", text, flags=re.IGNORECASE)
    text = re.sub(r"\bcounts?\b", "ct", re.sub(r"\bergs\b", "erg", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
    if ampere_is_angstrom or text == "A":
        text = re.sub(r"\bA(?=$|[\s)*/^-]|\d)", "Angstrom", text)  # nobody measures spectra per ampere
    text = re.sub(r"\bADU\b", "adu", text)
    try:
        with quietly():  # "erg/s/cm2/A" warns of its slashes, and is what everybody writes
            unit = u.Unit(text, parse_strict="silent")
    except (ValueError, TypeError, ArithmeticError):
        return None
    return None if isinstance(unit, u.UnrecognizedUnit) else unit
