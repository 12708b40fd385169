"""explain: what an answer rests on and how firm it is, in words. The screen and Python callers say the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from engine.gradients import Saliency
from engine.lines import Line
from engine.prediction import C_KMS, Prediction
from engine.spectrum import Spectrum

APART_KMS = 1000.0  # nearer redshifts are the same redshift (redrock's rule)
STRONG = ("Lyα", "C IV", "C III]", "Mg II", "[O II]", "Hβ", "[O III]", "Hα")
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(n: int) -> str:
    """Small numbers in words."""
    return _COUNTS[n] if n < len(_COUNTS) else str(n)


def same_z(first: float, second: float) -> bool:
    """True when two redshifts lie within 1000 km/s."""
    return abs(math.log1p(first) - math.log1p(second)) * C_KMS < APART_KMS


def standing(prediction: Prediction, lines: Sequence[Line]) -> str:
    """Robust or unstable, and why, in one sentence or two."""
    row = prediction.row(prediction.best)
    members = len(prediction.p_members)
    if row is None:
        types = [prediction.survey.classes[int(i)].spectype for i in prediction.survey.choose(prediction.p_members)]
        agree = types.count(prediction.spectype)
        who = f"all {count(members)} members" if agree == members else f"{count(agree)} of {count(members)} members"
        return f"{_flag(prediction)}: {who} call it a star. Stars have z = 0."
    zerr, mae = prediction.zerr[row], prediction.mae[row]
    limit = f"σ {zerr:.1g} against {mae:.2g}, the mean error of this class in validation"
    others = [m for m in prediction.z_members[:, row] if not same_z(m, float(np.median(prediction.z_members[:, row])))]
    if others:
        rival = others[0]
        n = sum(same_z(m, rival) for m in others)
        reading = confusion(float(np.median(prediction.z_members[:, row])), rival, lines)
        put = "puts" if n == 1 else "put"
        return (
            f"{_flag(prediction)}: {count(n)} of {count(members)} members {put} it at z = {rival:.3f}"
            f"{f' ({reading})' if reading else ''}; {limit}."
        )
    return f"{_flag(prediction)}: {count(members)} members agree; {limit}."


def _flag(prediction: Prediction) -> str:
    return "Robust" if prediction.robust else "Unstable"


def confusion(z: float, rival: float, lines: Sequence[Line]) -> str:
    """The one mistaken line that would turn z into rival: "Hα read as [O III] 5008"; empty when none does."""
    strong = [line for line in lines if line.major and line.name in STRONG]
    best, words = 0.004, ""
    for true in strong:
        for taken in strong:
            off = abs(math.log(true.wave * (1 + z) / (taken.wave * (1 + rival))))
            if true.name != taken.name and off < best:
                best, words = off, f"{true.label} read as {taken.label}"
    return words


@dataclass(frozen=True)
class Solution:
    """One redshift that p(z) leaves open: its peak, the probability within 1000 km/s, how many members put it there,
    and, for all but the first, which mistaken line would lead from the first to it."""

    z: float
    weight: float
    members: int
    words: str


def solutions(prediction: Prediction, lines: Sequence[Line], most: int = 5) -> tuple[Solution, ...]:
    """The redshifts of the best class's p(z), best first; none for a star."""
    row = prediction.row(prediction.best)
    if row is None:
        return ()
    found: list[Solution] = []
    for peak in prediction.peaks(row, most):
        members = sum(same_z(float(z), peak.z) for z in prediction.z_members[:, row])
        reading = confusion(found[0].z, peak.z, lines) if found else ""
        words = reading or ("no one line mistaken for another gives it" if found else "")
        found.append(Solution(peak.z, peak.weight, members, words))
    return tuple(found)


def pull(spectrum: Spectrum, wave: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """(n,) what each pixel contributes to an answer: its gradient times how far its flux stands off the continuum.

    A gradient alone is large where flux would matter, also where nothing is there; a feature counts when it is there.
    Continuum: running median over 151 pixels; of the height above it, one sigma is taken for noise.
    """
    good = spectrum.good
    flux = np.interp(spectrum.wave, spectrum.wave[good], spectrum.flux[good])
    sigma = np.divide(1.0, np.sqrt(spectrum.ivar), out=np.full(good.size, np.inf), where=good)
    height = np.maximum(np.abs(flux - median_filter(flux, 151)) - sigma, 0.0)
    return np.asarray(gradient * np.interp(wave, spectrum.wave, height, left=0.0, right=0.0))


def strongest(
    saliency_wave: np.ndarray, weight: np.ndarray, z: float, lines: Sequence[Line], most: int = 3
) -> list[tuple[float, str]]:
    """The strongest features of a curve as (observed wavelength, A; name of the nearest line or "").

    Peaks are taken on the curve smoothed over 7 pixels, each at least 1500 km/s from the last; a line within
    1500 km/s of the peak gives its name, a major line before a minor one.
    """
    smooth = np.convolve(np.nan_to_num(weight), np.ones(7) / 7, mode="same")
    left = smooth.copy()
    found: list[tuple[float, str]] = []
    named: set[str] = set()
    while len(found) < most and left.max() > 0.15 * smooth.max() > 0:
        top = int(left.argmax())
        wave = float(saliency_wave[top])
        name = _nearest(wave, z, lines)
        if not name or name not in named:
            found.append((wave, name))
            named.add(name)
        left[np.abs(np.log(saliency_wave / wave)) * C_KMS < 3000] = 0.0
    return found


def _nearest(wave: float, z: float, lines: Sequence[Line]) -> str:
    near = [(abs(math.log(wave / (line.wave * (1 + z)))) * C_KMS, line) for line in lines]
    near = [(kms + (0 if line.major else 1000), line) for kms, line in near if kms < 1500]
    return min(near, key=lambda pair: pair[0])[1].label if near else ""


def why(spectrum: Spectrum, prediction: Prediction, found: Saliency, lines: Sequence[Line]) -> str:
    """What the answer rests on: "z rests on Hα, [O III] 5008"."""
    subject = "The class" if found.dz is None else "z"
    features = strongest(found.wave, pull(spectrum, found.wave, found.main), prediction.best_z, lines)
    if not features:
        return f"{subject} rests on no single feature."
    named = ", ".join(dict.fromkeys(name for _, name in features if name))
    other = " and ".join(f"{wave:.0f} Å" for wave, name in features if not name)
    if not other:
        return f"{subject} rests on {named}."
    return f"{subject} rests on {f'{named}; also on ' if named else ''}{other}, where no listed line falls."
