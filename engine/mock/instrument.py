"""The instrument of SDSS: what a spectrograph, the sky and the pipeline do to a spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.grid import LogGrid
from engine.mock.templates import Float32Array, FloatArray, load

SDSS_GRID = LogGrid()  # SDSS's own pixels; mock spectra need no resampling before the network
NOISE_KERNEL = np.array([0.08, 1.0, 0.08]) / np.sqrt(1.0128)  # lag-1 correlation of real coadds, about .15
HEAVY_TAIL = 0.015  # of the pixels deviate with three times the noise, as in real residuals
# Strong night-sky lines, vacuum, observed frame, A.
SKY_LINES = (
    5578.9, 5891.6, 6302.0, 6365.5, 7246.0, 7278.0, 7342.0, 7718.0, 7753.0, 7796.0, 7823.0, 7915.0, 7967.0, 7995.0,
    8027.0, 8346.0, 8401.0, 8432.0, 8467.0, 8506.0, 8778.0, 8793.0, 8829.0, 8888.0, 8922.0, 8961.0,
)  # fmt: skip
TELLURIC = ((6867, 6944, 0.12), (7160, 7340, 0.05), (7594, 7700, 0.3), (8100, 8400, 0.06), (8930, 9200, 0.12))


def lsf_kms(wave: float) -> float:
    """Line spread of SDSS, sigma in km/s at an observed wavelength in A (wdisp of real spectra)."""
    return float(np.interp(wave, [4000, 5000, 5900, 6300, 7000, 8000, 8900], [84, 68, 63, 68, 63, 58, 53]))


@dataclass(frozen=True)
class Observed:
    """B observed spectra on SDSS_GRID. flux, ivar (B, n) float32; ivar is 0 where masked or not covered, flux only
    where not covered, as in real files."""

    flux: Float32Array
    ivar: Float32Array


class Instrument:
    """Turns noise-free spectra into observed ones. Noise shapes are those of real SDSS spectra."""

    def __init__(self, folder: Path) -> None:
        noise = load(folder, "noise/noise_shape_1A.npz")
        wave = SDSS_GRID.wave
        shapes = np.stack([np.interp(wave, noise["wave"], np.clip(row, 0.2, 12)) for row in noise["sigma_rel"]])
        blue = 1 + np.clip((4000 - wave) / 200, 0, 3)  # beyond the tabulated 4000-9000 A the noise rises
        red = 1 + np.clip((wave - 9000) / 500, 0, 2)
        self.shapes = (shapes * blue * red).astype(np.float32)
        bumps = [np.exp(-0.5 * ((wave - line) / 2.0) ** 2) for line in SKY_LINES]
        self.sky: Float32Array = np.sum(bumps, axis=0).astype(np.float32)
        self.sky_edges = np.roll(self.sky, 1) - np.roll(self.sky, -1)
        self.airglow = np.exp(-0.5 * ((wave - SKY_LINES[0]) / 2.0) ** 2).astype(np.float32) * 3  # [O I] 5578.9
        absorbed = np.zeros_like(wave)
        for low, high, depth in TELLURIC:
            absorbed += depth * ((wave > low) & (wave < high))
        self.telluric = np.convolve(absorbed, np.ones(9) / 9, "same").astype(np.float32)
        self.x = np.linspace(-1, 1, SDSS_GRID.n, dtype=np.float32)
        self.extinction = _galactic_extinction(wave).astype(np.float32)

    def observe(
        self, clean: Float32Array, snr: FloatArray, boss: NDArray[np.bool_], rng: np.random.Generator
    ) -> Observed:
        """clean (B, n) noise-free flux in any unit, snr (B,) wanted median SNR, boss (B,) which spectrograph."""
        n = len(clean)
        flux = clean * self._throughput(n, rng)
        covered = self._coverage(n, boss, rng)
        sigma = self.shapes[rng.integers(0, len(self.shapes), n)]
        # The object's own photons count where it outshines the sky.
        level = np.median(np.abs(flux[:, 800:5200:4]), axis=1, keepdims=True) + 1e-12
        photon = (rng.random((n, 1), dtype=np.float32) * np.clip(snr / 15, 0, 2).astype(np.float32)[:, None]) ** 2
        sigma = sigma * np.sqrt(1 + photon * np.clip(flux / level, 0.05, 8))
        ratio = np.where(covered, flux / sigma, np.nan)[:, ::3]
        sigma *= (np.nanmedian(ratio, axis=1) / snr)[:, None].astype(np.float32)
        np.maximum(sigma, 1e-9, out=sigma)
        noise = self._noise(n, rng)
        residual = rng.normal(0, 1, (n, 1)).astype(np.float32) * rng.uniform(0, 1.5, (n, 1)).astype(np.float32)
        residual *= np.clip(12 / snr, 0.2, 4).astype(np.float32)[:, None]  # faint objects suffer more from the sky
        noise += residual * self.sky_edges
        noise += (rng.standard_normal((n, 1), dtype=np.float32) ** 3) * self.airglow
        scale = np.exp(rng.uniform(-1, 4, (n, 1))).astype(np.float32)
        ivar = (1 / (sigma * scale * np.exp(rng.normal(0, 0.05, (n, 1)).astype(np.float32))) ** 2) * covered
        observed = (flux + noise * sigma) * scale
        self._drop_pixels(ivar, rng)
        return Observed(np.where(covered, observed, 0).astype(np.float32), ivar.astype(np.float32))

    def _throughput(self, n: int, rng: np.random.Generator) -> Float32Array:
        """(n, grid) calibration error, arm step, telluric residual and Galactic extinction."""
        c = rng.normal(0, 0.025, (n, 4)).astype(np.float32)
        tilt = c[:, :1] + self.x * (c[:, 1:2] + self.x * (c[:, 2:3] + self.x * c[:, 3:4]))
        ebv = np.minimum(rng.exponential(0.03, (n, 1)), 0.3).astype(np.float32)
        out = np.exp(1.5 * tilt - ebv * self.extinction)
        split = np.searchsorted(SDSS_GRID.wave, 6000)
        out[:, split:] *= 1 + rng.normal(0, 0.02, (n, 1)).astype(np.float32)
        out *= 1 + rng.normal(0, 0.12, (n, 1)).astype(np.float32) * self.telluric
        return out

    def _coverage(self, n: int, boss: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
        start = np.where(boss, rng.uniform(3560, 3660, n), rng.uniform(3790, 3850, n))
        end = np.where(boss, 10400.0, rng.uniform(9180, 9240, n))
        wave = SDSS_GRID.wave
        return (wave >= start[:, None]) & (wave <= end[:, None])

    def _noise(self, n: int, rng: np.random.Generator) -> Float32Array:
        white = rng.standard_normal((n, SDSS_GRID.n + 2), dtype=np.float32)
        count = int(HEAVY_TAIL * white.size)
        outliers = rng.integers(0, white.size, count)
        white.ravel()[outliers] *= 3
        a, b, c = NOISE_KERNEL.astype(np.float32)
        return a * white[:, :-2] + b * white[:, 1:-1] + c * white[:, 2:]

    def _drop_pixels(self, ivar: Float32Array, rng: np.random.Generator) -> None:
        """Runs of bad pixels, more at the arms' joint, and single ones; between 0 and about 8 % in all, in place."""
        for row in ivar:
            for _ in range(rng.poisson(1.2)):
                at = rng.integers(2050, 2250) if rng.random() < 0.3 else rng.integers(0, row.size)
                row[at : at + rng.integers(3, 60)] = 0
            row[rng.integers(0, row.size, rng.integers(0, 60))] = 0


def _galactic_extinction(wave: FloatArray) -> FloatArray:
    """0.921 A(lambda) / E(B-V) for R_V = 3.1: Cardelli, Clayton & Mathis (1989), optical; exp(-E(B-V) x this)."""
    y = 1e4 / wave - 1.82
    a = 1 + y * (
        0.17699 + y * (-0.50447 + y * (-0.02427 + y * (0.72085 + y * (0.01979 + y * (-0.7753 + y * 0.32999)))))
    )
    b = y * (1.41338 + y * (2.28305 + y * (1.07233 + y * (-5.38434 + y * (-0.62251 + y * (5.3026 - y * 2.09002))))))
    return 0.921 * (3.1 * a + b)
