"""What if: the same spectrum with a region taken away, or with more noise, and what becomes of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.ensemble import Ensemble
from engine.explain import same_z
from engine.prediction import Prediction
from engine.spectrum import Spectrum, SpectrumError

RUNGS = 9
FAINT = 0.7  # SNR that a ladder goes down to, where it can
LEAST, MOST = 4.0, 128.0  # times the noise, at the end of a ladder


@dataclass(frozen=True, eq=False)
class Rung:
    """One step of a ladder of noise: sigma `factor` times that of the file, the median SNR there, and the answer."""

    factor: float
    snr: float
    prediction: Prediction


def occlude(spectrum: Spectrum, regions: Sequence[tuple[float, float]]) -> Spectrum:
    """The spectrum with ivar 0 in regions of observed wavelength (low, high; vacuum, A; the order does not matter).

    Raises SpectrumError when nothing would be left to look at.
    """
    hidden = np.zeros(spectrum.wave.size, dtype=bool)
    for first, last in regions:
        hidden |= (spectrum.wave >= min(first, last)) & (spectrum.wave <= max(first, last))
    if not hidden.any():
        return spectrum
    if (hidden | ~spectrum.good).all():
        raise SpectrumError(f"{spectrum.object_id}: the regions hide every usable pixel. Take one of them back")
    return spectrum.with_(ivar=np.where(hidden, 0.0, spectrum.ivar))


def degrade(spectrum: Spectrum, factor: float, seed: int = 0) -> Spectrum:
    """The spectrum with noise added until sigma is `factor` (>= 1) times the file's: the SNR falls by that factor.

    The added noise is Gaussian and has the same shape for every factor of one seed, so that answers change smoothly.
    Raises ValueError for a factor below 1.
    """
    if not factor >= 1.0:
        raise ValueError(f"factor {factor}: noise can be added, not taken away; give 1 or more")
    if factor == 1.0:
        return spectrum
    draw = np.random.default_rng(seed).standard_normal(spectrum.wave.size)
    sigma = np.divide(1.0, np.sqrt(spectrum.ivar), out=np.zeros(spectrum.wave.size), where=spectrum.good)
    flux = spectrum.flux + np.sqrt(factor**2 - 1.0) * sigma * draw
    return spectrum.with_(flux=flux, ivar=spectrum.ivar / factor**2)


def rungs(snr: float) -> tuple[float, ...]:
    """RUNGS factors of the noise, evenly spaced in their logarithm, from 1 to where an SNR has fallen to FAINT."""
    last = min(max(snr / FAINT, LEAST), MOST) if math.isfinite(snr) else LEAST
    return tuple(last ** (k / (RUNGS - 1)) for k in range(RUNGS))


def noise_ladder(
    ensemble: Ensemble, spectrum: Spectrum, factors: Sequence[float] = (), seed: int = 0
) -> tuple[Rung, ...]:
    """The answer at each factor of the noise, the least first; one seed, one batch. factors : those of rungs(snr)
    where none are given."""
    factors = factors or rungs(spectrum.snr)
    steps = [degrade(spectrum, factor, seed) for factor in sorted(factors)]
    found = ensemble.predict(steps, keep_members=False)
    return tuple(
        Rung(factor, step.snr, answer) for factor, step, answer in zip(sorted(factors), steps, found, strict=True)
    )


def flips(ladder: Sequence[Rung]) -> str:
    """Where the flag, the type and the redshift of a ladder change first, in words."""
    first, last = ladder[0].prediction, ladder[-1]
    told = []
    flag = next((k for k, rung in enumerate(ladder) if rung.prediction.robust != first.robust), None)
    names = {True: "Robust", False: "Unstable"}
    if flag is None:
        told.append(f"{names[first.robust]} up to {last.factor:.2g} times the noise (SNR {last.snr:.1f})")
    else:
        before, after = ladder[flag - 1], ladder[flag]
        told.append(
            f"{names[first.robust]} up to {before.factor:.2g} times the noise (SNR {before.snr:.1f}), "
            f"{names[not first.robust].lower()} at {after.factor:.2g} (SNR {after.snr:.1f})"
        )
    other = next((rung for rung in ladder if rung.prediction.spectype != first.spectype), None)
    if other is not None:
        told.append(f"called {other.prediction.spectype} at {other.factor:.2g}")
    moved = next((r for r in ladder if not same_z(r.prediction.best_z, first.best_z) and r is not other), None)
    if moved is not None and (other is None or moved.factor < other.factor):
        told.append(f"z = {moved.prediction.best_z:.3f} at {moved.factor:.2g}")
    return "; ".join(told) + "."


def changed(before: Prediction, after: Prediction) -> str:
    """What of an answer another look at the spectrum changes, in words: class, redshift, flag."""
    told = []
    name, p = before.class_name, before.p[before.best]
    if after.class_name != name:
        told.append(f"{name} {p:.2f} → {after.class_name} {after.p[after.best]:.2f}")
    elif abs(after.p[after.best] - p) >= 0.05:
        told.append(f"{name} {p:.2f} → {after.p[after.best]:.2f}")
    if not same_z(before.best_z, after.best_z):
        told.append(f"z {before.best_z:.4f} → {after.best_z:.4f}")
    if before.robust != after.robust:
        told.append("robust → unstable" if before.robust else "unstable → robust")
    return "; ".join(told) or "nothing changes"
