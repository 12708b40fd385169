"""Naming a feature: which line it could be, and the redshift that follows.

Wavelengths are vacuum, Angstrom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from engine.explain import APART_KMS, STRONG, same_z
from engine.lines import Line
from engine.prediction import C_KMS, Prediction
from engine.spectrum import Spectrum

REACH_KMS = 1500.0  # a click is meant for a feature that near
SIGNIFICANT = 3.0  # sigma of a pixel smoothed over 5
LOWEST_Z = -0.005


@dataclass(frozen=True)
class Naming:
    """A feature taken for one line. z : the redshift that follows; p : what the answer gives to redshifts within
    1000 km/s of it, 0 to 1."""

    line: Line
    z: float
    p: float


def feature_at(spectrum: Spectrum, wave: float) -> float:
    """Observed wavelength of the feature nearest to a click: its centroid above or below a running median.

    The click itself where nothing within 1500 km/s stands out by three sigma.
    """
    good = spectrum.good
    flux = np.interp(spectrum.wave, spectrum.wave[good], spectrum.flux[good])
    height = flux - median_filter(flux, 151)
    box = np.ones(5)
    weight = np.convolve(spectrum.ivar, box, mode="same")
    smooth = np.divide(np.convolve(spectrum.ivar * height, box, mode="same"), weight,
                       out=np.zeros(good.size), where=weight > 0)  # fmt: skip
    near = np.abs(np.log(spectrum.wave / wave)) * C_KMS < REACH_KMS
    strength = np.where(near, np.abs(smooth) * np.sqrt(weight), 0.0)
    top = int(strength.argmax())
    if strength[top] < SIGNIFICANT:
        return float(wave)
    level = 0.5 * smooth[top]
    inside = smooth > level if level > 0 else smooth < level
    left = right = top
    while left > 0 and inside[left - 1]:
        left -= 1
    while right < good.size - 1 and inside[right + 1]:
        right += 1
    part = slice(left, right + 1)
    mass = np.abs(smooth[part])
    return float((spectrum.wave[part] * mass).sum() / mass.sum())


def namings(wave: float, prediction: Prediction | None, lines: Sequence[Line], z_max: float) -> tuple[Naming, ...]:
    """What a feature at an observed wavelength could be, likeliest first.

    By the probability that the answer gives to the redshift that follows; where that says nothing, strong lines first.
    Lines of one name that give one redshift ([O II] 3727 and 3730) stand apart, the later one after all others.
    """
    found = []
    for line in lines:
        z = wave / line.wave - 1
        if LOWEST_Z <= z <= z_max:
            found.append(Naming(line, z, 0.0 if prediction is None else probability_near(prediction, z)))
    found.sort(key=lambda n: (-round(n.p, 3), n.line.name not in STRONG, not n.line.major, n.z))
    first: list[Naming] = []
    for naming in found:
        if not any(naming.line.name == other.line.name and same_z(naming.z, other.z) for other in first):
            first.append(naming)
    return (*first, *(naming for naming in found if naming not in first))


def probability_near(prediction: Prediction, z: float) -> float:
    """What the answer gives to redshifts within 1000 km/s of z, over all classes; stars have z = 0."""
    reach = APART_KMS / C_KMS
    low, high = (math.expm1(math.log1p(z) + side) for side in (-reach, reach))
    total = 0.0
    for index, p in enumerate(prediction.p):
        row = prediction.row(index)
        if row is None:
            total += float(p) * same_z(z, 0.0)
        else:
            total += float(p) * (prediction.cdf(row, high) - prediction.cdf(row, low))
    return total
