"""Calibrated redshift PDFs: a smooth core in place of the main peak, all other peaks as they are, a small floor.

Networks answer on redshift bins (4e-4 dex, 276 km/s) and learn a target .6 bins wide, while a galaxy's redshift is
right to a tenth of a bin. So the main peak of the members' mean PDF is replaced by a Student t in log(1 + z) around its
centre, whose width follows from the peak's own variance less the target's, from the members' scatter and from the SNR.
The core's weight is that of the peak, tempered. Lengths are in redshift bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtr, stdtrit

from engine.grid import ZGrid
from engine.prediction import LEVELS
from engine.survey import Survey

FloatArray = NDArray[np.float64]
FLOOR = 0.002  # probability that the redshift is anywhere in the class's range
_WEIGHT_LIMITS = (1e-6, 1 - 1e-6)


@dataclass(frozen=True)
class Core:
    """How the main peak of one class becomes a core: sigma^2 = (width^2 + spread max(v - blur, 0) + scatter s^2)
    (SNR / 10)^(2 slope), with v the peak's variance and s the scatter of the members' points within it.

    tail : degrees of freedom of the Student t; shift : of its centre, in sigma
    temper, lean : logit of the core's weight = temper logit(weight of the peak) + lean
    """

    width: float = 0.15
    spread: float = 1.0
    blur: float = 0.36
    scatter: float = 0.4
    slope: float = 0.0
    tail: float = 20.0
    shift: float = 0.0
    temper: float = 1.0
    lean: float = 0.0


@dataclass(frozen=True)
class Window:
    """Sizes of one class, in bins. half_point : half the window that finds the main peak; half : of what belongs to it;
    low, high : the class's redshift range; step : of a bin in ln(1 + z)."""

    half_point: int
    half: int
    low: float
    high: float
    step: float


@dataclass(frozen=True, eq=False)
class Peaks:
    """The main peak of N PDFs: top (N,) its bin; centre, variance (N,) of the mean PDF within the window; weight (N,)
    its probability; scatter (N,) variance of the members' points within the window."""

    top: NDArray[np.int64]
    centre: FloatArray
    variance: FloatArray
    weight: FloatArray
    scatter: FloatArray


def windows(survey: Survey, zgrid: ZGrid) -> tuple[Window, ...]:
    """One Window per extragalactic class: a peak is as wide as its good-fraction window and a few bins."""
    step = zgrid.step * np.log(10)
    made = []
    for i in survey.extragalactic:
        good, z_range = survey.classes[i].good or 0.0, survey.classes[i].z_range or (0.0, 1.0)
        low, high = np.log1p(z_range[0]) / step, np.log1p(z_range[1]) / step
        half = min(4 + int(2 * good / step), (zgrid.n - 1) // 2)
        made.append(Window(max(2, round(good / step / 2)), half, float(low), float(high), float(step)))
    return tuple(made)


def find_peaks(mass: FloatArray, z_members: FloatArray, window: Window) -> Peaks:
    """The main peak of each PDF. mass : (N, Z) probability of each bin; z_members : (M, N)."""
    n, size = mass.shape
    total = np.concatenate([np.zeros((n, 1)), np.cumsum(mass, axis=1)], axis=1)
    bins = np.arange(size)
    low, high = np.maximum(bins - window.half_point, 0), np.minimum(bins + window.half_point + 1, size)
    top = (total[:, high] - total[:, low]).argmax(axis=1)
    index = top[:, None] + np.arange(-window.half, window.half + 1)
    near = np.take_along_axis(mass, np.clip(index, 0, size - 1), axis=1) * ((index >= 0) & (index < size))
    weight = near.sum(axis=1)
    share = near / np.maximum(weight, 1e-12)[:, None]
    centre = (share * index).sum(axis=1)
    variance = (share * (index - centre[:, None]) ** 2).sum(axis=1)
    points = np.log1p(np.maximum(z_members, -0.5)) / window.step
    inside = np.abs(points - centre) <= window.half + 0.5
    count = inside.sum(axis=0)
    mean = np.where(inside, points, 0).sum(axis=0) / np.maximum(count, 1)
    scatter = np.where(inside, (points - mean) ** 2, 0).sum(axis=0) / np.maximum(count - 1, 1)
    return Peaks(top, centre, variance, weight, np.where(count > 1, scatter, variance))


def widths(core: Core, peaks: Peaks, snr: FloatArray) -> FloatArray:
    """(N,) sigma of the core, in bins."""
    square = core.width**2 + core.spread * np.maximum(peaks.variance - core.blur, 1e-4) + core.scatter * peaks.scatter
    return np.asarray(np.sqrt(square) * relative_snr(snr) ** core.slope)


def weights(core: Core, peaks: Peaks) -> FloatArray:
    """(N,) probability of the core."""
    return np.asarray(expit(core.temper * logit(np.clip(peaks.weight, *_WEIGHT_LIMITS)) + core.lean))


def relative_snr(snr: FloatArray) -> FloatArray:
    """SNR / 10, within what mock spectra have; 1 where it is unknown."""
    return np.clip(np.nan_to_num(np.asarray(snr, dtype=np.float64), nan=10.0), 0.4, 100) / 10


def apply(core: Core, window: Window, mass: FloatArray, peaks: Peaks, snr: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Calibrated probability of each bin (N, Z), and the redshifts (N, levels) at cumulative probabilities LEVELS."""
    n, size = mass.shape
    sigma, weight = widths(core, peaks, snr), weights(core, peaks)
    centre = peaks.centre + core.shift * sigma
    first = np.maximum(peaks.top - window.half, 0)
    last = np.minimum(peaks.top + window.half, size - 1)
    bins = np.arange(size)
    near = (bins >= first[:, None]) & (bins <= last[:, None])
    rest = np.where(near, 0.0, mass)
    rest /= np.maximum(rest.sum(axis=1, keepdims=True), 1e-12)

    # The core's cumulative distribution, cut at the window's edges.
    units = stdtrit(core.tail, np.linspace(5e-4, 1 - 5e-4, 65))
    units = np.r_[40 * units[0], 8 * units[0], 2 * units[0], units, 2 * units[-1], 8 * units[-1], 40 * units[-1]]
    table = stdtr(core.tail, units)
    edges = np.clip(peaks.top[:, None] - window.half - 0.5 + np.arange(2 * window.half + 2), -0.5, size - 0.5)
    below = np.interp((edges - centre[:, None]) / sigma[:, None], units, table)
    start, span = below[:, :1], np.maximum(below[:, -1:] - below[:, :1], 1e-12)
    in_core = np.diff((below - start) / span, axis=1)

    out = (1 - weight)[:, None] * rest
    index = peaks.top[:, None] + np.arange(-window.half, window.half + 1)
    inside = (index >= 0) & (index < size)
    row = np.broadcast_to(np.arange(n)[:, None], index.shape)
    out[row[inside], index[inside]] += (weight[:, None] * in_core)[inside]
    flat = ((bins >= window.low - 0.5) & (bins <= window.high + 0.5)).astype(np.float64)
    out = (1 - FLOOR) * out + FLOOR * flat / flat.sum()
    norm = out.sum(axis=1, keepdims=True)
    out /= norm

    fine = np.clip(centre[:, None] + sigma[:, None] * units, edges[:, :1], edges[:, -1:])
    in_fine = (np.interp((fine - centre[:, None]) / sigma[:, None], units, table) - start) / span
    quantiles = np.empty((n, LEVELS.size))
    for k in range(n):
        cumulative = np.concatenate([[0.0], np.cumsum(out[k])])
        a, b = first[k], last[k] + 1  # the window's edges
        ground = (1 - FLOOR) * weight[k] / norm[k, 0]
        slope = (cumulative[b] - cumulative[a] - ground) / (b - a)  # of all but the core
        knots = np.concatenate([bins[: a + 1] - 0.5, fine[k], np.arange(b, size + 1) - 0.5])
        inner = cumulative[a] + ground * np.clip(in_fine[k], 0, 1) + slope * (fine[k] - (a - 0.5))
        quantiles[k] = np.interp(LEVELS, np.concatenate([cumulative[: a + 1], inner, cumulative[b:]]), knots)
    return out, np.expm1(quantiles * window.step)
