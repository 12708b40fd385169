"""What the page says in words: redshifts with the digits they earn, the object in short."""

from __future__ import annotations

import math

from engine import CrossCheck, Spectrum


def z_text(z: float, zerr: float = float("nan")) -> str:
    """z with the digits its sigma earns: one of sigma's, two when it begins with 1."""
    if not (math.isfinite(zerr) and zerr > 0):
        return f"{z:.5f}"
    leading = math.floor(math.log10(zerr))
    digits = min(max(-leading + (zerr / 10.0**leading < 1.95), 1), 6)
    return f"{z:.{digits}f} ± {max(zerr, 10.0**-digits):.{digits}f}"


def fit_words(check: CrossCheck) -> str:
    """The template fit in one phrase: its redshift with formal error, and its verdict."""
    if not math.isfinite(check.fit.z):
        return f"template fit: {check.verdict}"
    return f"template fit z = {z_text(check.fit.z, check.fit.zerr)}, {check.verdict}"


def short_class(name: str) -> str:
    """A class without its spectral type, where that stands beside it: STARFORMING. GALAXY, QSO and stars stay whole."""
    return name.removeprefix("GALAXY_").removeprefix("QSO_")


def headline(spectrum: Spectrum) -> list[str]:
    """The object in short: id, survey, SNR, and what else the file says: magnitude, catalogue class and z."""
    parts = [spectrum.object_id, spectrum.survey, f"SNR {spectrum.snr:.1f}"]
    if math.isfinite(float(spectrum.meta.get("mag_g") or math.nan)):
        parts.append(f"g {float(spectrum.meta['mag_g']):.1f}")
    if spectrum.label is not None and spectrum.label.spectype:
        known = f"z {spectrum.label.z:.4f}" if math.isfinite(spectrum.label.z) else ""
        parts.append(" ".join(["catalogue", spectrum.label.spectype, spectrum.label.subclass, known]))
    return [part for part in parts if part]
