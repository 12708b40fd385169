"""Quasars: a parametric spectrum with diverse lines, host, reddening, broad absorption, and the Lyman-alpha forest.

Emission line shapes are the templates of Temple, Hewett & Banerji (2021, MNRAS 508, 737; their qsogen data tables).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engine.grid import LogGrid
from engine.mock.templates import (
    PIXEL_KMS,
    REST,
    Float32Array,
    FloatArray,
    add_lines,
    load_table,
    split_of,
)
from engine.prediction import C_KMS

LYA = 1215.67
BROAD = {
    "Lya": LYA,
    "SiIV": 1398.0,
    "CIV": 1549.48,
    "CIII": 1908.73,
    "MgII": 2799.1,
    "Hg": 4341.68,
    "Hb": 4862.69,
    "Ha": 6564.61,
}
BROAD_EW = {"Lya": 40, "SiIV": 5, "CIV": 18, "CIII": 9, "MgII": 16, "Hg": 8, "Hb": 28, "Ha": 130}
NARROW = {
    "OII": 3728.5, "NeIII": 3870.16, "Hb": 4862.69, "OIII_4960": 4960.30, "OIII": 5008.24, "NII": 6585.27,
    "Ha": 6564.61, "NeV": 3426.85, "SII_6718": 6718.29, "SII_6733": 6732.67,
}  # fmt: skip
NARROW_RATIO = {
    "OII": 0.25, "NeIII": 0.1, "Hb": 0.1, "OIII_4960": 0.336, "OIII": 1.0, "NII": 0.35, "Ha": 0.35, "NeV": 0.05,
    "SII_6718": 0.12, "SII_6733": 0.1,
}  # fmt: skip
BAL_SHARE, DLA_SHARE = 0.12, 0.15
# Gas at the quasar's own redshift, falling in at up to 1000 km/s or thrown out at up to 3000, that eats into Ly-alpha,
# N V, Si IV and C IV: Vestergaard (2003) finds C IV of .5 A and more in a quarter of quasars. Strengths are guesses.
ASSOCIATED_SHARE = 0.2
ASSOCIATED = {LYA: 2.0, 1238.8: 0.8, 1242.8: 0.6, 1393.8: 0.5, 1402.8: 0.4, 1548.2: 1.0, 1550.8: 0.8}
# Shares of quasars whose broad lines are moved as a whole against the narrow ones, and whose lines have two shoulders:
# guesses, on purpose more than nature has, so that a network meets them.
OFFSET_SHARE, SHOULDER_SHARE = 0.12, 0.06
LOW_IONISATION = ("MgII", "Hg", "Hb", "Ha")
FOREST_PIXELS, FOREST_LSF = 1.3, 1.1  # sigma in SDSS's pixels of the gas's own coherence and of the line spread
REDDENED = 0.15  # of the quasars have several times the usual dust
# Absorption by gas in between: rest wavelengths (A, vacuum) and equivalent widths relative to the strongest line.
METALS = {
    1260.4: 0.5, 1334.5: 0.5, 1393.8: 0.4, 1402.8: 0.25, 1526.7: 0.4, 1548.2: 1.0, 1550.8: 0.6, 1670.8: 0.5,
    2344.2: 0.4, 2382.8: 0.6, 2600.2: 0.55, 2796.35: 1.0, 2803.5: 0.75, 2853.0: 0.2,
}  # fmt: skip
# Detection of the strongest broad line at which half of the quasars are called BROADLINE by the SDSS pipeline, and
# the width of the transition in ln: chosen so that the SNR of both mock classes follows that of the real ones.
BROADLINE_SIGNIFICANCE, BROADLINE_WIDTH = 16.0, 0.35


class Quasars:
    """A pool of unabsorbed quasar spectra at rest; row i is normal or weak-lined by `weak`."""

    def __init__(self, folder: Path, split: str, n_pool: int = 1600) -> None:
        rng = np.random.default_rng(23)
        table = load_table(folder, "qsogen/qsosed_emlines_20210625.dat")
        shapes = np.stack([np.interp(REST.wave, table[:, 0], table[:, k] / table[:, 2]) for k in (1, 3, 4)])
        self.balmer = _balmer_continuum()
        kept = split_of(n_pool, split)
        rows = [self._one(shapes, rng, weak=bool(k % 3 == 0)) for k in range(n_pool)]
        self.flux = np.stack([flux for flux, _ in rows])[kept]
        self.strength = np.array([strength for _, strength in rows])[kept]  # (m, lines of BROAD)
        self.weak = (np.arange(n_pool) % 3 == 0)[kept]
        sigma, (nodes, weights) = 1.6, np.polynomial.hermite_e.hermegauss(60)
        self._log_a = np.linspace(-9, 6, 400)
        mean = (np.exp(-np.exp(self._log_a[:, None] + sigma * nodes)) * weights).sum(1) / weights.sum()
        self._mean_transmission, self._forest_sigma = mean, sigma

    def _one(self, shapes: FloatArray, rng: np.random.Generator, weak: bool) -> tuple[Float32Array, FloatArray]:
        """One spectrum on REST and the sum over pixels of (line / total)^2 of each broad line."""
        wave = REST.wave
        kind = rng.uniform(-1, 0.2) if weak else rng.uniform(-0.6, 1.2)
        median, peaky, windy = shapes
        other = peaky if kind > 0 else windy
        ratio = median + abs(kind) * (other - median)
        # Line strengths vary from line to line by a smooth factor, and all together.
        knots = np.linspace(REST.loglam_min, np.log10(wave[-1]), 14)
        ratio = ratio * np.exp(np.interp(np.log10(wave), knots, rng.normal(0, 0.3, 14)) + rng.normal(0, 0.25))
        width = rng.uniform(0, 1500)
        ratio = gaussian_filter1d(ratio, max(width / PIXEL_KMS, 0.5), mode="nearest")
        strength = np.exp(rng.normal(-0.3, 0.6)) * (0.35 if weak else 1.0)
        ratio, extra = _broad_lines(ratio, strength, rng)
        ratio = np.maximum(ratio + extra, -0.3)
        ratio = ratio + 0.15 * np.exp(rng.normal(0, 0.5)) * self.balmer
        blue, red = rng.normal(-1.85, 0.35), rng.normal(-1.4, 0.35)
        continuum = np.where(wave < 3880, (wave / 3880) ** blue, (wave / 3880) ** red)
        ebv = rng.exponential(0.15 if rng.random() < REDDENED else 0.02)
        continuum = continuum * 10.0 ** (-0.4 * ebv * 1.39 * (wave / 1e4) ** -1.2)  # SMC-like (Prevot et al. 1984)
        flux = continuum * (1 + ratio)
        flux /= np.median(flux[(wave > 2900) & (wave < 3300)])
        seen = np.empty(len(BROAD))
        for k, centre in enumerate(BROAD.values()):
            near = np.abs(np.log(wave / centre)) * C_KMS < 6000
            excess = ratio[near] - min(ratio[near][0], ratio[near][-1])
            seen[k] = (np.maximum(excess, 0) ** 2 / (1 + ratio[near]) ** 2).sum()
        return flux.astype(np.float32), seen

    def rows(self, weak: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
        """A pool row (B,) for each wanted object."""
        weak_rows, strong_rows = np.flatnonzero(self.weak), np.flatnonzero(~self.weak)
        return np.where(weak, rng.choice(weak_rows, len(weak)), rng.choice(strong_rows, len(weak)))

    def is_broadline(
        self,
        rows: NDArray[np.int64],
        z: FloatArray,
        snr: FloatArray,
        share: FloatArray,
        wave_range: tuple[float, float],
        rng: np.random.Generator,
    ) -> NDArray[np.bool_]:
        """(B,) whether the SDSS pipeline would find a line at 10 sigma. share: quasar's part of the light."""
        centres = np.array(list(BROAD.values())) * (1 + z[:, None])
        inside = (centres > wave_range[0] * 1.01) & (centres < wave_range[1] * 0.99)
        significance = snr[:, None] * share[:, None] * np.sqrt(self.strength[rows]) * inside
        noise = rng.logistic(0, BROADLINE_WIDTH / 1.7, len(rows))
        return np.log(np.maximum(significance.max(axis=1), 1e-3) / BROADLINE_SIGNIFICANCE) + noise > 0

    def add_narrow_lines(
        self, flux: Float32Array, grid: LogGrid, z: FloatArray, lsf_kms: float, rng: np.random.Generator
    ) -> None:
        """[O III] and its companions from the narrow-line region, in place; EW([O III]) is lognormal around 13 A."""
        n = len(z)
        ew = np.exp(rng.normal(np.log(13), 1.1, n)) * (rng.random(n) < 0.85)
        sigma = np.hypot(np.exp(rng.normal(np.log(170), 0.35, n)), lsf_kms)
        pixel = (np.log10(5030 * (1 + z)) - grid.loglam_min) / grid.step
        level = flux[np.arange(n), np.clip(pixel, 0, grid.n - 1).astype(int)]
        for name, centre in NARROW.items():
            amount = ew * NARROW_RATIO[name] * np.exp(rng.normal(0, 0.4, n)) * level * (1 + z)
            add_lines(flux, grid, centre, z, sigma, np.where(z < 1.6, amount, 0.0))

    def absorb(self, flux: Float32Array, grid: LogGrid, z: FloatArray, rng: np.random.Generator) -> None:
        """Broad troughs, associated and intervening gas, damped systems and the Lyman-alpha forest, in place."""
        for k in np.flatnonzero((rng.random(len(z)) < BAL_SHARE) & (z > 0.7)):
            self._trough(flux[k], grid, z[k], rng)
        self._metals(flux, grid, z, rng)
        self._associated(flux, grid, z, rng)
        blue_limit = grid.wave[0] * 1.01
        for k in np.flatnonzero((1 + z) * LYA > blue_limit):
            self._forest(flux[k], grid, z[k], rng)

    def _trough(self, flux: Float32Array, grid: LogGrid, z: float, rng: np.random.Generator) -> None:
        low = bool(rng.random() < 0.15)  # LoBAL: Mg II and Al III as well
        centre, width = -rng.uniform(3000, 20000), rng.uniform(1000, 5000)
        depth = rng.uniform(0.3, 0.98)
        lines = {1548.2: 1.0, 1393.8: 0.6, 1240.8: 0.8, LYA: 0.4} | ({2796.4: 0.6, 1860.0: 0.5} if low else {})
        tau = np.zeros(grid.n)
        ripple = 1 + 0.4 * np.sin(rng.uniform(0, 6.28) + np.arange(grid.n) / rng.uniform(4, 20))
        for rest, weight in lines.items():
            v = np.log(grid.wave / (rest * (1 + z))) * C_KMS
            tau += -np.log(1 - depth * 0.99) * weight * np.exp(-(np.abs((v - centre) / width) ** 4)) * ripple
        flux *= np.exp(-np.maximum(tau, 0)).astype(np.float32)

    def _metals(self, flux: Float32Array, grid: LogGrid, z: FloatArray, rng: np.random.Generator) -> None:
        """An absorber in every third quasar beyond z = 0.5, of rest equivalent width .2-3 A in its strongest lines."""
        with_gas = np.flatnonzero((z > 0.5) & (rng.random(len(z)) < 0.35))
        z_gas = z[with_gas] * rng.uniform(0.4, 1.0, with_gas.size)
        width = np.exp(rng.normal(np.log(0.5), 0.6, with_gas.size))
        sigma = np.hypot(rng.uniform(20, 90, with_gas.size), 65.0)
        depth = np.zeros((with_gas.size, grid.n), dtype=np.float32)
        for rest, relative in METALS.items():
            add_lines(depth, grid, rest, z_gas, sigma, relative * width * (1 + z_gas))
        flux[with_gas] *= np.exp(-depth)

    def _associated(self, flux: Float32Array, grid: LogGrid, z: FloatArray, rng: np.random.Generator) -> None:
        """Absorbers within 3000 km/s of every fifth quasar beyond z = 1.2; saturated in Ly-alpha where strong."""
        here = np.flatnonzero((z > 1.2) & (rng.random(len(z)) < ASSOCIATED_SHARE))
        z_gas = z[here] + rng.uniform(-3000, 1000, here.size) / C_KMS * (1 + z[here])
        width = np.exp(rng.normal(np.log(1.2), 0.7, here.size))
        sigma = np.hypot(np.exp(rng.normal(np.log(200), 0.6, here.size)), 65.0)
        depth = np.zeros((here.size, grid.n), dtype=np.float32)
        for rest, relative in ASSOCIATED.items():
            add_lines(depth, grid, rest, z_gas, sigma, relative * width * (1 + z_gas))
        flux[here] *= np.exp(-depth)

    def _forest(self, flux: Float32Array, grid: LogGrid, z: float, rng: np.random.Generator) -> None:
        end = min(int((np.log10(LYA * (1 + z)) - grid.loglam_min) / grid.step), grid.n)
        if end <= 2:
            return
        wave = grid.wave[:end]
        z_abs = wave / LYA - 1
        depth = np.maximum(0.751 * ((1 + z_abs) / 4.5) ** 2.9 - 0.132, 0.02)  # Becker et al. (2013)
        near = np.exp(-(C_KMS * np.log((1 + z) / (1 + z_abs))) / 800.0)  # the proximity of the quasar
        target = np.exp(-depth * (1 - 0.6 * near))
        log_a = np.interp(-target, -self._mean_transmission, self._log_a)
        field = gaussian_filter1d(rng.standard_normal(end), FOREST_PIXELS) * np.sqrt(2 * np.sqrt(np.pi) * FOREST_PIXELS)
        transmission = np.exp(-np.exp(log_a + self._forest_sigma * field))
        beta = wave < 1025.72 * (1 + z)
        transmission[beta] *= np.exp(-0.4 * depth[beta])
        continuum = wave < 911.75 * (1 + z)
        transmission[continuum] *= np.exp(-6 * np.log(911.75 * (1 + z) / wave[continuum]) - 0.3)
        if rng.random() < DLA_SHARE:
            column = 10.0 ** rng.uniform(20.0, 21.6)
            absorber = LYA * (1 + rng.uniform(max(2.0, 0.75 * z), z)) if z > 2.05 else 0.0
            rest_offset = (wave - absorber) / (absorber / LYA) if absorber else np.full(end, np.inf)
            transmission *= np.exp(-(column / 1e20) * (2.6 / np.maximum(np.abs(rest_offset), 0.5)) ** 2)
        flux[:end] *= gaussian_filter1d(transmission, FOREST_LSF).astype(np.float32)


def _broad_lines(ratio: FloatArray, strength: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """The templates' lines (line over continuum, on REST), and broad components of their own over them.

    Most are where the redshift says; some of Mg II and the Balmer lines are shifted as a whole or double-shouldered,
    and there the templates' lines, which are not, are fainter.
    """
    wave, extra = REST.wave, np.zeros(REST.n)
    sigma_kms = np.exp(rng.normal(np.log(1700), 0.5))
    skew = rng.normal(0, 0.25)  # how much wider the red half of every line is than the blue one
    moved = rng.normal(-400, 1600) if rng.random() < OFFSET_SHARE else 0.0  # km/s
    apart = rng.uniform(2500, 6000) if rng.random() < SHOULDER_SHARE else 0.0
    if moved or apart:
        ratio = np.where(wave > 2700, ratio * rng.uniform(0.1, 0.6), ratio)
        strength *= 1.6
    for name, centre in BROAD.items():
        ew = BROAD_EW[name] * strength * np.exp(rng.normal(0, 0.4))
        s = np.clip(sigma_kms * rng.uniform(0.8, 1.3), 500, 6000)
        middle = rng.normal(0, 90) + (moved if name in LOW_IONISATION else 0.3 * moved)
        parts = [(middle, 1.0)]
        if apart and name in LOW_IONISATION:  # the blue shoulder is the brighter one, by beaming
            blue = rng.uniform(0.5, 0.7)
            parts = [(middle - apart / 2, blue), (middle + apart / 2, 1 - blue)]
        velocity = np.log(wave / centre) * C_KMS
        for v, share in parts:
            near = np.abs(velocity - v) < 6 * s
            off = velocity[near] - v
            width = s * np.where(off > 0, np.exp(skew / 2), np.exp(-skew / 2))
            extra[near] += share * ew / (np.sqrt(2 * np.pi) * s / C_KMS * centre) * np.exp(-0.5 * (off / width) ** 2)
    return ratio, extra


def _balmer_continuum() -> FloatArray:
    """(REST.n,) Balmer continuum relative to its peak over a power law: Grandi (1982), 15,000 K, optical depth 1 at
    the edge, smoothed by 4000 km/s, with the blended high-order lines redward of the edge as a tail."""
    wave = REST.wave
    planck = wave**-5.0 / np.expm1(1.4388e8 / (wave * 15000.0))
    shape = np.where(wave < 3646, planck * -np.expm1(-((wave / 3646) ** 3)), 0)
    shape /= shape.max()
    shape = shape + np.where(wave >= 3646, np.exp(-(wave - 3646) / 90), 0)
    return np.asarray(gaussian_filter1d(shape, 4000 / PIXEL_KMS) * (wave / 3646) ** 1.5)
