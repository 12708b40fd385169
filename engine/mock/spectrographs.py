"""The spectrographs of DESI and 4MOST: linear native pixels, their own noise, and the faults that both share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from engine.grid import LinearGrid
from engine.mock.instrument import TELLURIC, Observed
from engine.mock.templates import Float32Array, FloatArray, load, load_fits

DESI_GRID = LinearGrid(3600.0, 9824.0, 7781)  # .8 A: the common pixels of DESI's coadds
FOURMOST_GRID = LinearGrid(3700.0, 9500.0, 23201)  # .25 A: 4MOST's low-resolution spectrographs
LINE_NOISE, LINE_POWER = 5.0, 1.5  # variance of DESI's sky lines over that between them, of strength 1
ROWS = 32  # spectra at a time; more do not fit the processor's cache


@dataclass(frozen=True)
class Faults:
    """What goes wrong: the amplitudes and rates of the shared flaws. Rates are means per spectrum.

    arms : (A - 1,) wavelengths where arms join, A; arm_step : relative scatter of the flux scale between arms
    tilt : relative scatter of each term of a cubic calibration error; telluric : of the correction's strength
    sky_edges : sky subtraction's error at lines, in sigma; tails : share of pixels with three times the noise
    cosmics : unmasked cosmic rays; runs, run_length, singles : masked pixels; lost_arm : share with one arm missing
    """

    arms: tuple[float, ...]
    arm_step: float = 0.015
    tilt: float = 0.025
    telluric: float = 0.12
    sky_edges: float = 0.8
    tails: float = 0.008
    cosmics: float = 0.7
    runs: float = 3.0
    run_length: tuple[int, int] = (3, 60)
    singles: int = 120
    lost_arm: float = 0.0


class Spectrograph:
    """Turns noise-free spectra into observed ones on linear pixels. A survey says how large its noise is (sigma)."""

    def __init__(self, grid: LinearGrid, faults: Faults, sky: FloatArray, absorbed: FloatArray) -> None:
        self.grid, self.faults = grid, faults
        self.x = np.linspace(-1, 1, grid.n, dtype=np.float32)
        # A line's error after subtraction looks like its derivative, and follows the square root of its strength.
        edges = np.gradient(np.sqrt(sky / sky.max()))
        strong = max(np.percentile(np.abs(edges[grid.wave > 7700]), 99), 0.01 * np.abs(edges).max())
        self.sky_edges = np.clip(edges / strong, -2, 2).astype(np.float32)
        self.absorbed = absorbed.astype(np.float32)
        self.arm_of = np.searchsorted(np.array(faults.arms), grid.wave)

    def sigma(self, flux: Float32Array, snr: FloatArray, rng: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        """Noise (B, n) in the unit of flux for a median SNR per pixel, and the scale (B, 1) to the output's unit."""
        raise NotImplementedError

    def lsf_kms(self, wave: FloatArray) -> FloatArray:
        """Line spread, sigma in km/s, at observed wavelengths (A)."""
        raise NotImplementedError

    def observe(self, clean: Float32Array, snr: FloatArray, rng: np.random.Generator) -> Observed:
        """clean (B, n) noise-free flux in any unit, snr (B,) wanted median SNR per pixel -> flux, ivar (B, n)."""
        flux = np.empty_like(clean, dtype=np.float32)
        ivar = np.empty_like(flux)
        for start in range(0, len(clean), ROWS):
            rows = slice(start, start + ROWS)
            self._expose(clean[rows], snr[rows], flux[rows], ivar[rows], rng)
        return Observed(flux, ivar)

    def _expose(
        self, clean: Float32Array, snr: FloatArray, flux: Float32Array, ivar: Float32Array, rng: np.random.Generator
    ) -> None:
        """One chunk, into flux and ivar."""
        n, faults = len(clean), self.faults
        seen = clean * self._throughput(n, rng)
        sigma, scale = self.sigma(seen, snr, rng)
        noise = rng.standard_normal((n, self.grid.n), dtype=np.float32)
        noise.ravel()[rng.integers(0, noise.size, int(faults.tails * noise.size))] *= 3
        residual = rng.normal(0, faults.sky_edges, n) * np.clip(12 / snr, 0.2, 4)  # faint objects suffer more
        noise += residual.astype(np.float32)[:, None] * self.sky_edges
        self._hit(noise, rng)
        noise *= sigma
        np.multiply(seen + noise, scale, out=flux)
        told = np.exp(rng.normal(0, 0.05, (n, 1))).astype(np.float32)  # the pipeline errs on its errors
        np.divide(1, (sigma * (scale * told)) ** 2, out=ivar)
        self._mask(ivar, rng)

    def _throughput(self, n: int, rng: np.random.Generator) -> Float32Array:
        """(n, grid.n) calibration error, steps between arms, telluric residual."""
        faults = self.faults
        c = rng.normal(0, 1.5 * faults.tilt, (n, 4)).astype(np.float32)
        out = c[:, 3:4] * self.x
        for k in (2, 1):
            out += c[:, k : k + 1]
            out *= self.x
        out += 1 + c[:, :1]
        np.maximum(out, 0.3, out=out)
        out *= 1 + rng.normal(0, faults.telluric, (n, 1)).astype(np.float32) * self.absorbed
        steps = 1 + rng.normal(0, faults.arm_step, (n, len(faults.arms) + 1)).astype(np.float32)
        for arm in range(steps.shape[1]):
            out[:, self.arm_of == arm] *= steps[:, arm : arm + 1]
        return out

    def _hit(self, noise: Float32Array, rng: np.random.Generator) -> None:
        """Cosmic rays that no mask knows of: one to four pixels, in units of the noise, in place."""
        for row in noise:
            for _ in range(rng.poisson(self.faults.cosmics)):
                at = rng.integers(0, row.size)
                row[at : at + rng.integers(1, 5)] += rng.exponential(12)

    def _mask(self, ivar: Float32Array, rng: np.random.Generator) -> None:
        """Runs of bad pixels, single ones, and at times a whole arm, in place."""
        faults = self.faults
        for row in ivar:
            for _ in range(rng.poisson(faults.runs)):
                at = rng.integers(0, row.size)
                row[at : at + rng.integers(*faults.run_length)] = 0
            row[rng.integers(0, row.size, rng.integers(0, faults.singles))] = 0
            if rng.random() < faults.lost_arm:
                row[self.arm_of == rng.integers(0, len(faults.arms) + 1)] = 0


class Desi(Spectrograph):
    """DESI: three arms with joins, noise of the shape that real DESI coadds have (docs/log.md), sky lines.

    DESI's extraction leaves neighbouring pixels uncorrelated (Bolton & Schlegel 2010), so the noise is white.
    """

    JOINS = ((5760.0, 5800.0), (7520.0, 7620.0))
    # Median noise of eight real coadds relative to 6000-6500 A. The blue end is up to eight times noisier, and each
    # arm's first pixels, where the other has ended.
    NOISE = (
        (3600, 9.5), (3650, 8.2), (3750, 5.2), (3900, 3.3), (4150, 2.3), (4450, 1.95), (4800, 1.48), (5250, 1.27),
        (5600, 1.32), (5799, 1.38), (5801, 4.0), (5808, 3.5), (5815, 1.3), (5900, 1.28), (6250, 1.0), (6750, 0.79),
        (7250, 0.74), (7510, 0.89), (7570, 0.79), (7619, 0.85), (7621, 1.25), (7640, 0.8), (7800, 0.69), (8200, 0.57),
        (8600, 0.54), (9000, 0.53), (9350, 0.72), (9700, 0.81), (9824, 1.0),
    )  # fmt: skip

    def __init__(self, folder: Path) -> None:
        wave = DESI_GRID.wave
        lines = load(folder, "desi/spec_sky.npz")
        per_pixel = round((wave[1] - wave[0]) / (lines["wave"][1] - lines["wave"][0]))
        sky = np.interp(wave, lines["wave"], uniform_filter1d(lines["sky"].astype(float), per_pixel))
        sky = np.maximum(gaussian_filter1d(sky, 1.1), 0)  # running sums leave tiny negatives
        absorbed = np.zeros_like(wave)
        for low, high, depth in TELLURIC:
            absorbed += depth * ((wave > low) & (wave < high))
        middles = tuple(0.5 * (low + high) for low, high in self.JOINS)
        faults = Faults(arms=middles, runs=1.0, singles=40, lost_arm=0.01)
        super().__init__(DESI_GRID, faults, sky + 1e-6, uniform_filter1d(absorbed, 20))
        table = np.array(self.NOISE)
        excess = (sky / np.percentile(sky[(wave > 7700) & (wave < 9300)], 90)) ** LINE_POWER
        self.shape = (np.interp(wave, *table.T) * np.sqrt(1 + LINE_NOISE * excess)).astype(np.float32)
        # How the shape differs from spectrum to spectrum: a tilt, and the blue end by itself.
        self.tilt = np.log(wave / 6250).astype(np.float32)
        self.blue = np.clip((4800 - wave) / 1000, 0, 1).astype(np.float32)

    def lsf_kms(self, wave: FloatArray) -> FloatArray:
        """R from 2000 at 3600 A to 5000 at 9800 A."""
        return 299792.458 / 2.355 / np.interp(wave, [3600, 9800], [2000, 5000])

    def sigma(self, flux: Float32Array, snr: FloatArray, rng: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        """See Spectrograph; the object's own photons count where it is bright."""
        n = len(flux)
        tilt, blue = rng.normal(0, 0.2, (2, n, 1)).astype(np.float32)
        sigma = self.shape * np.exp(tilt * self.tilt + blue * self.blue)
        level = np.median(np.abs(flux[:, ::16]), axis=1, keepdims=True) + 1e-12
        photon = (rng.random((n, 1)) * np.clip(snr / 15, 0, 2)[:, None]).astype(np.float32) ** 2
        sigma *= np.sqrt(1 + photon * np.clip(flux / level, 0.05, 8))
        now = np.median(flux[:, ::4] / sigma[:, ::4], axis=1)
        sigma *= (np.maximum(now, 1e-6) / snr)[:, None].astype(np.float32)
        np.maximum(sigma, 1e-9, out=sigma)
        brightness = snr * np.exp(rng.normal(-0.7, 0.5, n))  # in 1e-17 erg/s/cm2/A
        return sigma, (brightness[:, None] / level).astype(np.float32)


class Fourmost(Spectrograph):
    """4MOST's low-resolution spectrographs: photons of object and sky and read-out noise, after 1200 s (paper 2.2).

    Throughput, sky and resolution are the tables of py4most (github.com/jkrogager/py4most). The object is made as
    bright as the wanted SNR asks.
    """

    SECONDS = 1200.0
    READ_NOISE2 = 2.27**2 * 4  # electrons^2 of an extracted pixel: four detector pixels across the trace
    AREA = 1.2e5  # cm^2, VISTA
    HC = 1.98645e-8  # erg A

    def __init__(self, folder: Path) -> None:
        wave = FOURMOST_GRID.wave
        transmission = load_fits(folder, "py4most/etc/data/sky_transmission.fits", 1)
        absorbed = 1 - np.interp(wave, transmission["WAVE"], transmission["TRANS"])
        self.throughput = np.zeros(FOURMOST_GRID.n)
        self.skies = np.zeros((2, FOURMOST_GRID.n))  # dark, grey: electrons per second and native pixel
        for arm in (1, 2, 3):
            table = load_fits(folder, "py4most/etc/data/efficiency_4most.fits", arm)
            self.throughput += np.interp(wave, table["WAVE"], table["MID"], left=0, right=0)
            for k, name in enumerate(("dark", "grey")):
                table = load_fits(folder, f"py4most/etc/data/sky_model_{name}.fits", arm)
                density = table["MID"] / np.gradient(table["WAVE"])
                self.skies[k] += 0.25 * np.interp(wave, table["WAVE"], density, left=0, right=0)
        np.maximum(self.throughput, 2e-3, out=self.throughput)
        faults = Faults(
            arms=(5400.0, 7050.0), arm_step=0.01, telluric=0.06, tails=0.002, cosmics=2.0, runs=8.0,
            run_length=(2, 12), singles=250,
        )  # fmt: skip
        super().__init__(FOURMOST_GRID, faults, self.skies[0] + 1e-6, gaussian_filter1d(absorbed, 2.2))
        # Electrons of 1e-17 erg/s/cm2/A in a native pixel.
        self.gain = (1e-17 * wave / self.HC * self.AREA * self.throughput * self.SECONDS * 0.25).astype(np.float32)
        parts = [load_fits(folder, f"py4most/etc/data/spectral_res/LR_resolution_{a}.fits", 1)
                 for a in ("BLUE", "GREEN", "RED")]  # fmt: skip
        self.resolution = [np.concatenate([part[key] for part in parts]) for key in ("WAVE", "R")]

    def lsf_kms(self, wave: FloatArray) -> FloatArray:
        """R from 3800 to 7700, rising in each arm."""
        return 299792.458 / 2.355 / np.interp(wave, self.resolution[0], self.resolution[1])

    def sigma(self, flux: Float32Array, snr: FloatArray, rng: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        """See Spectrograph; the sky is between dark and grey."""
        n = len(flux)
        level = np.median(np.abs(flux[:, ::64]), axis=1, keepdims=True) + 1e-12
        grey = rng.random((n, 1)).astype(np.float32)
        dark, bright = (self.SECONDS * self.skies).astype(np.float32)
        background = dark + grey * (bright - dark) + np.float32(self.READ_NOISE2)
        unit = np.maximum(flux / level, 0) * self.gain  # electrons if the median flux were 1e-17 erg/s/cm2/A
        brightness = _brightness(unit[:, ::48], background[:, ::48], snr)[:, None].astype(np.float32)
        sigma = np.sqrt(unit * brightness + background) / (self.gain * brightness) * level
        return sigma.astype(np.float32), (brightness / level).astype(np.float32)


def _brightness(unit: Float32Array, background: Float32Array, snr: FloatArray) -> FloatArray:
    """(B,) the factor on `unit` electrons that gives a median SNR, by bisection."""
    low, high = np.full(len(snr), 1e-5), np.full(len(snr), 1e7)
    for _ in range(34):
        middle = np.sqrt(low * high)
        electrons = unit * middle[:, None].astype(np.float32)
        faint = np.median(electrons / np.sqrt(electrons + background), axis=1) < snr
        low, high = np.where(faint, middle, low), np.where(faint, high, middle)
    return np.sqrt(low * high)
