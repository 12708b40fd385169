"""The instrument of SDSS: what a spectrograph, the sky and the pipeline do to a spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from engine.grid import LogGrid
from engine.mock.templates import Float32Array, FloatArray, load

SDSS_GRID = LogGrid()  # SDSS's own pixels; mock spectra need no resampling before the network
# What real spectra show that their ivar does not say (docs/log.md, 2026-11-25), as (SDSS-I/II, BOSS): the true scatter
# in units of the pipeline's sigma, and the weights of the first and second neighbour that correlate coadded pixels.
TRUE_SIGMA, NEIGHBOUR, SECOND = (1.0, 0.92), (0.075, 0.10), (-0.01, -0.07)
HEAVY_TAIL = (0.008, 0.003)  # of the pixels deviate with four times the noise
SHAPE_SCATTER = 0.5  # of the tabulated noise shapes' scatter, as they mix two spectrographs and their objects' photons
COSMICS = 0.7  # hits that no mask knows, per spectrum
SKY_COUNTS = 120.0  # photons of the sky in a pixel, typically: an object of that brightness has SNR 8
LINE_CONTRAST = 1.25  # power of the red sky lines' excess: the table's 1 A steps smear what SDSS's pixels resolve
BAD_RUNS = 0.08  # of the spectra have runs of bad pixels; real ones fewer, but a network should know them
MASKED_SKY = 2.4  # excess of a sky line over its surroundings beyond which half of faint objects' pixels are masked
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
    """Turns noise-free spectra into observed ones. Noise shapes and sky lines are those of real SDSS spectra."""

    def __init__(self, folder: Path) -> None:
        noise = load(folder, "noise/noise_shape_1A.npz")
        wave = SDSS_GRID.wave
        faint = noise["snr"] <= np.quantile(noise["snr"], 0.5)  # the sky's noise, not an object's
        shapes = np.stack([np.interp(wave, noise["wave"], np.clip(row, 0.2, 12)) for row in noise["sigma_rel"][faint]])
        blue = 1 + np.clip((4000 - wave) / 200, 0, 3)  # beyond the tabulated 4000-9000 A the noise rises
        red = 1 + np.clip((wave - 9000) / 500, 0, 2)
        self.shapes = (shapes * blue * red).astype(np.float32)
        # Between sky lines the noise is the continuum's; the squared ratio is the lines' excess over it.
        self.smooth = median_filter(self.shapes, (1, 151))
        typical = np.median(self.smooth, axis=0)
        excess = (self.shapes / self.smooth) ** np.interp(wave, [6800, 7500], [1.0, LINE_CONTRAST]).astype(np.float32)
        self.smooth = typical * (self.smooth / typical) ** np.float32(SHAPE_SCATTER)
        self.shapes = self.smooth * excess
        self.sky = np.maximum(np.median((self.shapes / self.smooth) ** 2, axis=0) - 1, 0).astype(np.float32)
        self.sky *= np.interp(wave, [5499, 5500, 5600, 5601, 6500, 6501], [0, 0.15, 0.15, 0.25, 0.25, 1]).astype(
            np.float32
        )
        strong = np.sqrt(np.minimum(self.sky, 30.0))
        self.sky_edges = (np.roll(strong, 1) - np.roll(strong, -1)) / 4
        absorbed = np.zeros_like(wave)
        for low, high, depth in TELLURIC:
            absorbed += depth * ((wave > low) & (wave < high))
        self.telluric = np.convolve(absorbed, np.hanning(25) / np.hanning(25).sum(), "same").astype(np.float32)
        self.x = np.linspace(-1, 1, SDSS_GRID.n, dtype=np.float32)
        self.extinction = galactic_extinction(wave).astype(np.float32)
        self.joint = np.exp(-0.5 * ((wave - 5980) / 70) ** 2).astype(np.float32)  # of the arms
        # The noise shapes are of BOSS, mostly; SDSS-I/II is worse at the red end and better around the joint.
        knots = [3900, 4500, 5400, 5950, 6400, 7150, 7850, 8600, 9200]
        arms = (
            [1.05, 1.0, 0.98, 0.82, 0.76, 0.87, 0.965, 1.36, 1.57],
            [1.0, 1.015, 1.035, 1.02, 1.04, 1.035, 0.985, 1.0, 1.0],
        )
        self.arms = np.stack([np.interp(wave, knots, values) for values in arms]).astype(np.float32)
        # Between lines the red sky holds their wings and the blue noise that of reading: less than the object's.
        self.photons = np.interp(wave, [3800, 4600, 6500, 9000], [0.8, 1.0, 1.0, 0.6]).astype(np.float32)
        true = ([1.12, 1.06, 1.0, 1.0, 1.0], [1.12, 1.06, 0.99, 0.94, 0.93])
        self.true = np.stack([np.interp(wave, [3600, 4400, 5200, 6000, 7000], t) for t in true]).astype(np.float32)
        self.ripple = np.interp(wave, [4400, 5200, 6500], [0.85, 1.0, 1.2]).astype(np.float32)
        # Single exposures are resampled most where the arms begin, least at the red end of SDSS-I/II.
        self.correlated = np.interp(
            wave, [3800, 5000, 5900, 6200, 7000, 7800, 9000], [1.6, 1.3, 1.3, 1.7, 1.2, 0.5, 0.15]
        ).astype(np.float32)

    def observe(
        self, clean: Float32Array, snr: FloatArray, boss: NDArray[np.bool_], rng: np.random.Generator
    ) -> Observed:
        """clean (B, n) noise-free flux in any unit, snr (B,) wanted median SNR, boss (B,) which spectrograph."""
        n = len(clean)
        flux = clean * self._throughput(n, rng)
        covered = self._coverage(n, boss, rng)
        sigma, brightness = self._sigma(flux, snr, boss, rng)
        ratio = np.where(covered, flux / sigma, np.nan)[:, ::3]
        sigma *= (np.nanmedian(ratio, axis=1) / snr)[:, None].astype(np.float32)
        np.maximum(sigma, 1e-9, out=sigma)
        noise = self._noise(boss, brightness, rng)
        scale = np.exp(rng.uniform(-1, 4, (n, 1))).astype(np.float32)
        observed = (flux + noise * sigma) * scale
        sigma *= scale * np.exp(self._ripple(boss, brightness, rng))
        ivar = np.asarray(covered / sigma**2, dtype=np.float32)
        self._drop_pixels(ivar, brightness, rng)
        return Observed(np.where(covered, observed, 0).astype(np.float32), ivar.astype(np.float32))

    def _sigma(
        self, flux: Float32Array, snr: FloatArray, boss: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Float32Array, FloatArray]:
        """Noise (B, n) of the sky and of the object's own photons, in any unit, and the object's brightness (B,) in
        units of the sky's continuum: where SNR = f / sqrt(f + sky), f and sky in photons."""
        rows = rng.integers(0, len(self.shapes), len(flux))
        sky = SKY_COUNTS * np.exp(rng.normal(0, 0.5, len(flux)))
        brightness = (snr**2 + snr * np.sqrt(snr**2 + 4 * sky)) / (2 * sky)
        level = np.median(np.abs(flux[:, 800:5200:4]), axis=1, keepdims=True) + 1e-12
        photons = brightness[:, None].astype(np.float32) * np.clip(flux / level, 0.02, 10)
        sigma = np.sqrt(self.shapes[rows] ** 2 + photons * self.photons * self.smooth[rows] ** 2)
        sigma *= 1 - (0.09 * np.log1p(brightness)).astype(np.float32)[:, None] * self.joint
        sigma *= self.arms[boss.astype(int)]
        return sigma, brightness

    def _throughput(self, n: int, rng: np.random.Generator) -> Float32Array:
        """(n, grid) calibration error, arm step, telluric residual and Galactic extinction."""
        c = rng.normal(0, 0.025, (n, 4)).astype(np.float32)
        tilt = c[:, :1] + self.x * (c[:, 1:2] + self.x * (c[:, 2:3] + self.x * c[:, 3:4]))
        ebv = np.minimum(rng.exponential(0.03, (n, 1)), 0.3).astype(np.float32)
        out = np.exp(1.5 * tilt - ebv * self.extinction)
        split = np.searchsorted(SDSS_GRID.wave, 6000)
        out[:, split:] *= 1 + rng.normal(0, 0.015, (n, 1)).astype(np.float32)
        out *= 1 + rng.normal(0, 0.06, (n, 1)).astype(np.float32) * self.telluric
        return out

    def _coverage(self, n: int, boss: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
        start = np.where(boss, rng.uniform(3545, 3620, n), rng.uniform(3788, 3832, n))
        end = np.where(boss, 10400.0, rng.uniform(9180, 9240, n))
        wave = SDSS_GRID.wave
        return (wave >= start[:, None]) & (wave <= end[:, None])

    def _noise(self, boss: NDArray[np.bool_], brightness: FloatArray, rng: np.random.Generator) -> Float32Array:
        """(B, n) deviations in units of the pipeline's sigma: correlated, heavy-tailed, with residuals of the sky, more
        scatter at the arms' joint, and cosmic-ray hits. brightness as in `_sigma`."""
        n, which = len(boss), boss.astype(int)

        def per_object(values: tuple[float, float], scatter: float) -> Float32Array:
            return (np.array(values)[which] + rng.normal(0, scatter, n)).astype(np.float32)[:, None]

        white = rng.standard_normal((n, SDSS_GRID.n + 4), dtype=np.float32)
        tails = rng.integers(0, white.size, int(max(HEAVY_TAIL) * white.size))
        share = np.array(HEAVY_TAIL)[which[tails // white.shape[1]]] / max(HEAVY_TAIL)
        white.ravel()[tails[rng.random(tails.size) < share]] *= 4
        first = per_object(NEIGHBOUR, 0.035) * np.where(boss[:, None], np.float32(1), self.correlated)
        second = per_object(SECOND, 0.02)
        noise = white[:, 2:-2] + first * (white[:, 1:-3] + white[:, 3:-1]) + second * (white[:, :-4] + white[:, 4:])
        # Bright objects' errors are overestimated most.
        bright = np.maximum(np.log1p(brightness) - 0.8, 0).astype(np.float32)[:, None]
        noise *= (per_object(TRUE_SIGMA, 0.06) - 0.1 * bright) / np.sqrt(1 + 2 * first**2 + 2 * second**2)
        noise *= self.true[which]
        noise *= 1 + 0.06 * np.abs(per_object((0.0, 0.0), 1.0)) ** 3 * self.joint
        residual = per_object((0.0, 0.0), 1.5) / (1 + brightness).astype(np.float32)[:, None]
        noise += residual * self.sky_edges
        count = rng.poisson(COSMICS * n)
        row, pixel = rng.integers(0, n, count), rng.integers(0, SDSS_GRID.n - 1, count)
        height = np.exp(rng.normal(np.log(6), 0.6, count))
        noise[row, pixel] += height
        noise[row, pixel + 1] += height * rng.uniform(0, 0.8, count)
        return noise

    def _ripple(self, boss: NDArray[np.bool_], brightness: FloatArray, rng: np.random.Generator) -> Float32Array:
        """(B, n) ln of the pipeline's sigma from pixel to pixel, cut from one long random row."""
        row = rng.standard_normal(SDSS_GRID.n + 4096, dtype=np.float32)
        start = rng.integers(0, 4096, len(boss))
        size = np.where(boss, 0.029, 0.025) * np.exp(rng.normal(0, 0.15, len(boss))) / (1 + brightness) ** 0.3
        return row[start[:, None] + np.arange(SDSS_GRID.n)] * self.ripple * size.astype(np.float32)[:, None]

    def _drop_pixels(self, ivar: Float32Array, brightness: FloatArray, rng: np.random.Generator) -> None:
        """Bad pixels, in place: strong sky lines as the pipeline masks them (BRIGHTSKY: where the sky outshines the
        object); in some spectra also runs, more at the arms' joint, and single ones; 0 to 8 % in all."""
        n = len(ivar)
        limit = MASKED_SKY * np.exp(rng.normal(0, 0.7, n)) + 0.8 * np.maximum(brightness - 3, 0)
        limit[rng.random(n) < 0.12] = np.inf
        ivar[self.sky > limit[:, None]] = 0
        for k in np.flatnonzero(rng.random(n) < BAD_RUNS):
            row = ivar[k]  # a view
            for _ in range(rng.poisson(1.5)):
                at = rng.integers(2050, 2250) if rng.random() < 0.3 else rng.integers(0, row.size)
                row[at : at + rng.integers(3, 60)] = 0
            row[rng.integers(0, row.size, rng.integers(0, 60))] = 0


def galactic_extinction(wave: FloatArray) -> FloatArray:
    """0.921 A(lambda) / E(B-V) for R_V = 3.1: Cardelli, Clayton & Mathis (1989), optical; exp(-E(B-V) x this)."""
    y = 1e4 / wave - 1.82
    a = 1 + y * (
        0.17699 + y * (-0.50447 + y * (-0.02427 + y * (0.72085 + y * (0.01979 + y * (-0.7753 + y * 0.32999)))))
    )
    b = y * (1.41338 + y * (2.28305 + y * (1.07233 + y * (-5.38434 + y * (-0.62251 + y * (5.3026 - y * 2.09002))))))
    return 0.921 * (3.1 * a + b)
