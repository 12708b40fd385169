"""Strange spectra: mock spectra torn apart until they are no object's. They teach the outlier score what to look for.

None of them is of a type that the score is tested with (engine.mock.outliers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.ndimage import uniform_filter1d

from engine.mock.batch import MockBatch
from engine.mock.templates import Float32Array, FloatArray

Arrays = tuple[Float32Array, Float32Array]
Maker = Callable[[Float32Array, Float32Array, np.random.Generator], Arrays]


def strange(batch: MockBatch, rng: np.random.Generator) -> MockBatch:
    """Every spectrum of a batch made strange, the KINDS in turn; label is -1 and z NaN."""
    flux, ivar = batch.flux.copy(), batch.ivar.copy()
    for k, make in enumerate(KINDS.values()):
        here = slice(k, None, len(KINDS))
        if len(flux[here]):
            flux[here], ivar[here] = make(batch.flux[here], batch.ivar[here], rng)
    n = len(flux)
    return replace(batch, flux=flux, ivar=ivar, label=np.full(n, -1), z=np.full(n, np.nan))


def smoothed(flux: Float32Array, ivar: Float32Array, parts: int) -> Float32Array:
    """Running mean over a part of the spectrum."""
    size, good = max(3, flux.shape[1] // parts), (ivar > 0).astype(np.float32)
    total = uniform_filter1d(flux * good, size, axis=1, mode="nearest")
    return np.asarray(total / np.maximum(uniform_filter1d(good, size, axis=1, mode="nearest"), 1e-3))


def _noisy(clean: FloatArray, flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    sigma = np.where(ivar > 0, np.where(ivar > 0, ivar, 1) ** -0.5, 0)
    return np.where(ivar > 0, clean + sigma * rng.standard_normal(flux.shape), flux).astype(np.float32), ivar


def _level(flux: Float32Array, ivar: Float32Array) -> Float32Array:
    return np.abs(smoothed(flux, ivar, 40)).mean(axis=1, keepdims=True) + 1e-12


def _permuted(flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    """Cut into pieces, and the pieces put together in another order."""
    flux, ivar = flux.copy(), ivar.copy()
    for row, weight in zip(flux, ivar, strict=True):
        good = np.flatnonzero(weight > 0)
        low, high = (good[0], good[-1] + 1) if good.size else (0, row.size)
        pieces = np.array_split(np.arange(low, high), np.sort(rng.integers(1, max(2, high - low), rng.integers(2, 6))))
        order = np.concatenate([pieces[k] for k in rng.permutation(len(pieces))])
        row[low:high], weight[low:high] = row[order], weight[order]
    return flux, ivar


def _inverted(flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    """Absorption for emission and the other way round."""
    return np.where(ivar > 0, 2 * smoothed(flux, ivar, 40) - flux, flux).astype(np.float32), ivar


def _swapped(flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    """The lines of one object on the continuum of another."""
    own, level = smoothed(flux, ivar, 14), _level(flux, ivar)
    other = np.roll(own / level, 1 + int(rng.integers(0, max(1, len(flux) - 1))), axis=0) * level
    return np.where(ivar > 0, flux - own + other, flux).astype(np.float32), ivar


def _stretched(flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    """Line ratios of no redshift: the pixels drawn apart or together by 8 to 65 %."""
    flux, ivar, n = flux.copy(), ivar.copy(), flux.shape[1]
    for k in range(len(flux)):
        factor, centre = np.exp(rng.choice([-1, 1]) * rng.uniform(0.08, 0.5)), rng.uniform(0.3, 0.7) * n
        pixel = np.rint(centre + (np.arange(n) - centre) * factor).astype(int)
        inside = (pixel >= 0) & (pixel < n)
        pixel = np.clip(pixel, 0, n - 1)
        flux[k], ivar[k] = flux[k, pixel], np.where(inside, ivar[k, pixel], 0)
    return flux, ivar


def _forest(flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    """Lines of random place, width and strength on a smooth continuum."""
    clean, level, n = smoothed(flux, ivar, 14).astype(np.float64), _level(flux, ivar), flux.shape[1]
    pixel = np.arange(n)
    for k in range(len(flux)):
        emission = rng.random()
        for _ in range(rng.integers(8, 50)):
            centre, width = rng.uniform(0, n), n / 4096 * np.exp(rng.uniform(0.4, 3.7))
            near = slice(int(max(0, centre - 5 * width)), int(min(n, centre + 5 * width + 1)))
            height = level[k, 0] * rng.exponential(0.5) * (1 if rng.random() < emission else -0.6)
            clean[k, near] += height * np.exp(-0.5 * ((pixel[near] - centre) / width) ** 2)
    return _noisy(clean, flux, ivar, rng)


def _waves(flux: Float32Array, ivar: Float32Array, rng: np.random.Generator) -> Arrays:
    """A smooth random continuum without lines."""
    phase = np.pi / 2 * (np.linspace(-1, 1, flux.shape[1]) + 1)
    log_flux = np.zeros(flux.shape)
    for order in range(1, 9):
        a, b = rng.normal(0, 0.5 / order**0.7, (2, len(flux), 1))
        log_flux += a * np.cos(order * phase) + b * np.sin(order * phase)
    return _noisy(np.asarray(_level(flux, ivar) * np.exp(log_flux), np.float64), flux, ivar, rng)


KINDS: dict[str, Maker] = {
    "permuted": _permuted,
    "inverted": _inverted,
    "swapped": _swapped,
    "stretched": _stretched,
    "forest": _forest,
    "waves": _waves,
}
