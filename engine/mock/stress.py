"""Stressed spectra: mock spectra of a survey's classes with the faults of real ones, larger than the simulation has.

They are what the outlier score must let pass (engine.outliers). The faults are those that surveys report of themselves;
their sizes were set from that before any real spectrum was looked at, and lie above the typical: SDSS's fluxes are good
to 4-6 % and those of BOSS's quasars wrong by up to a fifth in the blue, for their fibres stood where blue light falls
(Adelman-McCarthy et al. 2008, Margala et al. 2016); pipelines misjudge their errors by 10 % and those of sky lines by
more; masks, extinction, and lines stronger or weaker than a template's are everywhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.mock.batch import MockBatch
from engine.mock.instrument import TELLURIC, galactic_extinction
from engine.mock.strange import smoothed
from engine.mock.templates import Float32Array, FloatArray

# One standard deviation of a fault in a spectrum of usual severity; what is relative is ln.
SEVERITY = 0.5  # scatter of ln severity: a bad night is bad in everything
WAVES, ORDERS = 0.04, 6  # of the flux scale: each of so many cosines over the spectrum, the higher the weaker
TILT, BLUE_FALL = 0.10, 0.1  # of the flux scale: from the middle to either end; at the blue end alone
ARM_STEP, JOINT = 0.03, 6000.0  # of the flux scale, at a wavelength (A) near that of every survey's arms
REDDENING = 0.04  # mean E(B-V) on top of the simulation's
WATER = 0.25  # of the telluric correction's strength
LINES = 0.12  # of the strength of lines, which changes along the spectrum
ERRORS, ERRORS_TILT = 0.10, 0.08  # of the pipeline's sigma
SKY_RESIDUAL = 0.7  # scatter that the pipeline does not know of at a strong sky line, in its sigma
SHARPNESS = 0.08  # of each pixel's flux that its neighbours share at most: resolution, wavelength calibration
RUNS, LOST_END = 2.0, 0.1  # masked runs in a spectrum; share of spectra that lack up to an eighth of the blue or red


def stressed(batch: MockBatch, rng: np.random.Generator) -> MockBatch:
    """The same objects with larger faults; labels and redshifts stay. Reproducible from rng's seed."""
    n = len(batch.flux)
    severity = np.exp(rng.normal(0, SEVERITY, (n, 1)))
    flux, ivar = _other_lines(batch.flux, batch.ivar, severity, rng)
    flux = _blurred(flux, rng)
    scale = np.exp(_miscalibration(batch.wave, severity, rng)).astype(np.float32)
    flux, ivar = flux * scale, ivar / scale**2
    flux = flux + _sky(ivar, severity, rng)
    ivar = ivar * np.exp(-2 * severity * _errors(batch.wave.size, n, rng)).astype(np.float32)
    _mask(ivar, rng)
    return replace(batch, flux=flux.astype(np.float32), ivar=ivar.astype(np.float32))


def _series(pixels: int, n: int, orders: int, rng: np.random.Generator) -> FloatArray:
    """(n, pixels) smooth random curves: cosines of falling amplitude, the first of 1."""
    x = np.linspace(0, np.pi, pixels)
    order = np.arange(1, orders + 1)
    amplitude = rng.standard_normal((n, orders)) / order**0.7
    return np.asarray(amplitude @ np.cos(order[:, None] * x))


def _miscalibration(wave: FloatArray, severity: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(n, pixels) ln of what a wrong flux scale multiplies a spectrum by."""
    n, x = len(severity), np.linspace(-1, 1, wave.size)

    def size(scatter: float) -> FloatArray:
        return severity * rng.normal(0, scatter, (n, 1))

    blue = np.clip((4500 - wave) / (4500 - min(wave[0], 3800)), 0, 1) ** 1.5
    absorbed = np.zeros(wave.size)
    for low, high, depth in TELLURIC:
        absorbed += depth * ((wave > low) & (wave < high))
    absorbed = np.convolve(absorbed, np.ones(15) / 15, "same")
    out = severity * WAVES * _series(wave.size, n, ORDERS, rng) + size(TILT) * x + size(BLUE_FALL) * blue
    out += size(ARM_STEP) * (wave > JOINT) + size(WATER) * absorbed
    return np.asarray(out - rng.exponential(REDDENING, (n, 1)) * galactic_extinction(wave))


def _other_lines(
    flux: Float32Array, ivar: Float32Array, severity: FloatArray, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Lines stronger here and weaker there than the template's, on the same continuum."""
    strength = np.exp(severity * LINES * (rng.normal(0, 1, severity.shape) + _series(flux.shape[1], len(flux), 3, rng)))
    continuum = smoothed(flux, ivar, 40)
    changed = continuum + strength * (flux - continuum)
    return np.where(ivar > 0, changed, flux).astype(np.float32), (ivar / strength**2).astype(np.float32)


def _blurred(flux: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Light shared with either neighbour, unevenly: another resolution, a small shift in wavelength."""
    left, right = rng.uniform(0, SHARPNESS, (2, len(flux), 1)).astype(np.float32)
    out = flux.copy()
    out[:, 1:-1] = (1 - left - right) * flux[:, 1:-1] + left * flux[:, :-2] + right * flux[:, 2:]
    return out


def _sky(ivar: Float32Array, severity: FloatArray, rng: np.random.Generator) -> Float32Array:
    """(n, pixels) residuals where sigma stands out of its surroundings: at sky lines."""
    good = ivar > 0
    weight = np.sqrt(ivar)
    usual = smoothed(weight, ivar, 40)
    excess = np.clip(1 - (weight / np.maximum(usual, 1e-20)) ** 2, 0, 1)
    sigma = np.divide(1, weight, out=np.zeros_like(weight), where=good)
    residual = rng.standard_normal(ivar.shape, dtype=np.float32) + rng.standard_normal((len(ivar), 1)).astype(
        np.float32
    )
    return np.asarray(SKY_RESIDUAL * severity.astype(np.float32) * excess * sigma * residual)


def _errors(pixels: int, n: int, rng: np.random.Generator) -> FloatArray:
    """(n, pixels) ln of how much too large the pipeline's sigma is."""
    return rng.normal(0, ERRORS, (n, 1)) + rng.normal(0, ERRORS_TILT, (n, 1)) * np.linspace(-1, 1, pixels)


def _mask(ivar: Float32Array, rng: np.random.Generator) -> None:
    """Runs of bad pixels, and at times an end of the spectrum, in place."""
    pixels = ivar.shape[1]
    for row in ivar:
        for _ in range(rng.poisson(RUNS)):
            at, length = rng.integers(0, pixels), np.exp(rng.uniform(np.log(5), np.log(pixels / 30)))
            row[at : at + int(length)] = 0
        lost, from_blue, share = rng.random(3)
        if lost < LOST_END:
            pixel = np.flatnonzero(row > 0)
            edge = pixel[: pixel.size // 8] if from_blue < 0.5 else pixel[-(pixel.size // 8) :]
            row[edge[: int(share * edge.size)] if from_blue < 0.5 else edge[int((1 - share) * edge.size) :]] = 0
