"""Fitting a Calibration to spectra of known truth, by maximum likelihood with a weak prior on the identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from engine.calibration import Calibration
from engine.calibration.classes import FloatArray, fit_scaling
from engine.calibration.redshifts import FLOOR, Core, Peaks, Window, find_peaks, weights, widths, windows
from engine.grid import ZGrid
from engine.survey import Survey

FEWEST = 12  # objects of a class from which its redshifts are fitted
HOLD = 20.0  # how much more firmly a fit is held near another calibration than near the identity (docs/log.md)
_LOG = ("width", "spread", "blur", "scatter", "temper")  # positive numbers, fitted as logarithms
_BOUNDS = {"width": (-5.0, 4.0), "spread": (-5, 3), "blur": (-4, 2), "scatter": (-4, 3), "slope": (-1, 1),
           "tail": (-1, 4.5), "shift": (-1, 1), "temper": (-1.5, 1.5), "lean": (-4, 4)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """What the ensemble said of N spectra, and the truth.

    p : (N, C) mean class probabilities; mass : (N, E, Z) mean PDFs in bins, half precision; z_members : (M, N, E)
    label, z : (N,) truth; snr : (N,) measured median
    """

    p: FloatArray
    mass: NDArray[np.float16]
    z_members: NDArray[np.float32]
    label: NDArray[np.int64]
    z: FloatArray
    snr: FloatArray

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Known:
        """The answers to some spectra."""
        return Known(
            self.p[rows], self.mass[rows], self.z_members[:, rows], self.label[rows], self.z[rows], self.snr[rows]
        )


def joined_answers(parts: Sequence[Known]) -> Known:
    """Several batches as one."""
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(Known)}
    return Known(**{name: np.concatenate(a, axis=1 if name == "z_members" else 0) for name, a in columns.items()})


def fit(known: Known, survey: Survey, zgrid: ZGrid, start: Calibration | None = None) -> Calibration:
    """The calibration that makes the truth most probable, held near `start` (else the identity) where spectra are few.
    A class of fewer than FEWEST objects keeps the core that it started with."""
    begin = start or Calibration.identity(survey)
    scale, bias = fit_scaling(known.p, known.label, begin.scale, begin.bias, HOLD if start else 1.0)
    cores = []
    for k, (i, window) in enumerate(zip(survey.extragalactic, windows(survey, zgrid), strict=True)):
        own, core = known.take(known.label == i), begin.cores[k]
        cores.append(fit_core(own, k, window, core if start else None) if len(own) >= FEWEST else core)
    return Calibration(scale, bias, tuple(cores), begin.confident)


def fit_core(known: Known, row: int, window: Window, start: Core | None = None) -> Core:
    """The core of one class, the row-th with a redshift, from spectra of that class only. Without a start, that of the
    width which the errors have."""
    mass = _normalised(known.mass[:, row])
    peaks = find_peaks(mass, known.z_members[:, :, row].astype(np.float64), window)
    truth = np.log1p(known.z) / window.step
    rest = _beside(mass, peaks, truth, window)
    error = np.abs(truth - peaks.centre)
    near = error[error < window.half]
    rough = Core(width=float(np.clip(1.4826 * np.median(near), 0.03, 20)) if near.size else Core.width)
    origin, hold = _numbers(start or rough), HOLD if start else 1.0

    def loss(theta: FloatArray) -> float:
        core = _core(theta)
        sigma, weight = widths(core, peaks, known.snr), weights(core, peaks)
        density = weight * _student((truth - peaks.centre) / sigma - core.shift, core.tail) / sigma
        density = (1 - FLOOR) * (density + (1 - weight) * rest) + FLOOR / (window.high - window.low + 1)
        return float(-np.log(density).mean() + 0.5 * hold * ((theta - origin) ** 2).sum() / len(truth))

    found = minimize(loss, origin, method="L-BFGS-B", bounds=list(_BOUNDS.values()), options={"maxiter": 200})
    return _core(found.x)


def _normalised(mass: NDArray[np.float16]) -> FloatArray:
    wide = mass.astype(np.float64)
    return np.asarray(wide / np.maximum(wide.sum(axis=-1, keepdims=True), 1e-12))


def _student(x: FloatArray, tail: float) -> FloatArray:
    norm = gammaln((tail + 1) / 2) - gammaln(tail / 2) - 0.5 * np.log(np.pi * tail)
    return np.asarray(np.exp(norm - (tail + 1) / 2 * np.log1p(x**2 / tail)))


def _beside(mass: FloatArray, peaks: Peaks, truth: FloatArray, window: Window) -> FloatArray:
    """(N,) density at the truth of what is not the main peak, normalised."""
    bins = np.arange(mass.shape[1])
    away = np.abs(bins - peaks.top[:, None]) > window.half
    rest = np.where(away, mass, 0)
    own = np.clip(np.rint(truth).astype(int), 0, bins[-1])
    return np.asarray(rest[np.arange(len(truth)), own] / np.maximum(rest.sum(axis=1), 1e-12))


def _numbers(core: Core) -> FloatArray:
    values = {name: getattr(core, name) for name in _BOUNDS}
    return np.array(
        [np.log(v) if name in _LOG else np.log(v - 2) if name == "tail" else v for name, v in values.items()]
    )


def _core(theta: FloatArray) -> Core:
    named = dict(zip(_BOUNDS, map(float, theta), strict=True))
    return Core(**{n: float(np.exp(v)) if n in _LOG else 2 + float(np.exp(v)) if n == "tail" else v
                   for n, v in named.items()})  # fmt: skip
