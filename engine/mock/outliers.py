"""Spectra that belong to none of a survey's classes: to test the outlier score with, never to train anything on.

engine.mock.strange makes those that teach it, which are of no type here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engine.mock import MockBatch, Simulator
from engine.mock.templates import (
    REST,
    Float32Array,
    FloatArray,
    add_lines,
    find_templates,
    load,
    shifted,
    to_rest_grid,
)
from engine.prediction import C_KMS
from engine.survey import Survey

LSF_KMS = 65.0
CV_LINES = (4102.89, 4341.68, 4472.7, 4687.0, 4862.68, 5017.1, 5877.2, 6564.61, 6680.0, 7067.2)  # H, He I, He II
Arrays = tuple[Float32Array, Float32Array]


class Outliers:
    """Outliers as a survey would observe them, by type (TYPES), reproducible from the seed.

    simulator : whose instrument observes and whose mock spectra are blended, reversed, misread
    templates : the folder its stars come from; else $GASNET_TEMPLATES

    Raises TemplateError naming a missing file.
    """

    def __init__(self, simulator: Simulator, templates: str | Path | None = None) -> None:
        self.simulator, self.folder = simulator, find_templates(templates)

    def batch(self, kind: str, n: int, seed: int | list[int]) -> MockBatch:
        """n outliers of one type; label is -1 and z NaN, for neither exists. SNRs are those of the survey's objects."""
        rng = np.random.default_rng(seed)
        host = self.simulator.batch(n, int(rng.integers(2**31)))
        flux, ivar = _MAKERS[kind](self, host, rng)
        nothing = np.full(n, np.nan)
        return MockBatch(flux.astype(np.float32), ivar.astype(np.float32), np.full(n, -1), nothing, host.snr, host.grid)

    def observed(self, rest: Float32Array, snr: FloatArray, rng: np.random.Generator) -> Arrays:
        """Stars on the rest grid, with radial velocities, through the simulator's instrument."""
        rest = np.maximum(rest, 1e-3 * np.abs(rest).mean(axis=1, keepdims=True))
        velocity = rng.normal(0, 120, len(rest)) / C_KMS
        clean = shifted(rest, np.arange(len(rest)), velocity, self.simulator.scene.light_grid)
        seen = self.simulator.scene.observe(clean, snr, rng)
        return seen.flux, seen.ivar


def _from_basis(name: str) -> Callable[[Outliers, MockBatch, np.random.Generator], Arrays]:
    def make(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
        star = load(outliers.folder, f"redrock-templates/{name}.npz")
        pick = rng.integers(0, len(star["coeff"]), len(host.snr))
        basis = to_rest_grid(star["wave"].astype(float), star["basis"], LSF_KMS)
        return outliers.observed(star["coeff"][pick] @ basis, host.snr, rng)

    return make


def _carbon(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    """SDSS's own carbon stars, each with a random reddening and, in part, strength of its bands."""
    found = []
    for name in ("idlspec2d/spEigenStar-53724.npz", "idlspec2d/spEigenStar-55734.npz"):
        star = load(outliers.folder, name)
        of_carbon = np.char.startswith(star["names"].astype(str), "Carbon")
        found.append(to_rest_grid(star["wave"].astype(float), star["flux"][of_carbon]))
    flux = np.concatenate(found)
    flux = flux / np.abs(flux).mean(axis=1, keepdims=True)
    smooth = np.maximum(gaussian_filter1d(flux, 400, axis=1, mode="nearest"), 1e-3)
    pick = rng.integers(0, len(flux), len(host.snr))
    chosen, smooth = flux[pick], smooth[pick]
    strength, slope = rng.uniform(0.7, 1.2, (len(chosen), 1)), rng.normal(0, 0.3, (len(chosen), 1))
    reddening = np.linspace(-1, 1, flux.shape[1]) * slope
    return outliers.observed(
        (smooth * np.clip(chosen / smooth, 0, 9) ** strength * np.exp(reddening)).astype(np.float32), host.snr, rng
    )


def _cv(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    """Cataclysmic variables: a disc, redrock's mean CV, and emission lines of random width and strength."""
    n = len(host.snr)
    star = load(outliers.folder, "redrock-templates/star_CV.npz")
    basis = to_rest_grid(star["wave"].astype(float), star["basis"])
    mean = basis[0] / basis[0].mean()
    disc = (REST.wave / 5500) ** rng.uniform(-2.3, -0.5, (n, 1))
    flux = (mean * rng.uniform(0.3, 1, (n, 1)) + disc * rng.uniform(0, 1, (n, 1))).astype(np.float32)
    width = rng.uniform(300, 1000, n)
    for line in CV_LINES:
        add_lines(flux, REST, line, np.zeros(n), width, rng.exponential(20 if line in CV_LINES[-3:] else 12, n))
    return outliers.observed(flux, host.snr, rng)


def _noise(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    sigma = np.where(host.ivar > 0, host.ivar, 1) ** -0.5 * (host.ivar > 0)
    return (sigma * rng.standard_normal(sigma.shape)).astype(np.float32), host.ivar


def _sky(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    """Night sky left in, or taken out too much: lines, and a continuum, over the noise."""
    sky = load(outliers.folder, "desi/spec_sky.npz")
    widths = np.interp(host.wave, sky["wave"], gaussian_filter1d(sky["sky"].astype(float), 15))
    lines = widths / widths.std()
    flux, ivar = _noise(outliers, host, rng)
    sigma = np.where(ivar > 0, ivar, 1) ** -0.5 * (ivar > 0)
    strength = rng.choice([-1, 1], (len(flux), 1), p=[0.3, 0.7]) * rng.lognormal(1.0, 0.8, (len(flux), 1))
    return flux + sigma * strength * (lines + rng.uniform(0, 0.5, (len(flux), 1))), ivar


def blended(first: MockBatch, second: MockBatch, share: FloatArray) -> Arrays:
    """The sum of two spectra, of mean flux 1 - share and share; noise adds."""
    arrays = []
    for batch, part in ((first, 1 - share), (second, share)):
        good = batch.ivar > 0
        scale = part[:, None] * good.sum(1, keepdims=True) / (np.abs(batch.flux) * good).sum(1, keepdims=True)
        variance = np.divide(scale**2, batch.ivar, out=np.full(batch.flux.shape, np.inf), where=good)
        arrays.append((batch.flux * scale, variance))
    (flux_1, variance_1), (flux_2, variance_2) = arrays
    ivar = 1 / (variance_1 + variance_2)
    return np.where(ivar > 0, flux_1 + flux_2, 0).astype(np.float32), ivar.astype(np.float32)


def _pairs(first_type: str | None) -> Callable[[Outliers, MockBatch, np.random.Generator], Arrays]:
    """Two objects on one fibre, of similar brightness; the first a star when first_type says so, else two types or
    redshifts."""

    def make(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
        n = len(host.snr)
        types = np.array([c.spectype for c in outliers.simulator.survey.classes])
        many = outliers.simulator.batch(max(8 * n, 256), int(rng.integers(2**31)))
        kind = types[many.label]
        if first_type:
            first = rng.choice(np.flatnonzero(kind == first_type), n)
            second = rng.choice(np.flatnonzero(kind == "GALAXY"), n)
        else:
            first, second = rng.integers(0, len(kind), (2, n))
            for k in range(n):  # two stars are nearly a star
                while kind[first[k]] == "STAR" or abs(many.z[first[k]] - many.z[second[k]]) < 0.02:
                    first[k], second[k] = rng.integers(0, len(kind), 2)
        return blended(_rows(many, first), _rows(many, second), rng.uniform(0.35, 0.65, n))

    return make


def _rows(batch: MockBatch, rows: NDArray[np.int64]) -> MockBatch:
    return MockBatch(batch.flux[rows], batch.ivar[rows], batch.label[rows], batch.z[rows], batch.snr[rows], batch.grid)


def _f_nu(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    """Flux per frequency read as flux per wavelength."""
    factor = ((host.wave / 6000) ** 2).astype(np.float32)
    return host.flux * factor, host.ivar / factor**2


def _linear_as_log(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    """Pixels of constant width in wave read as pixels of constant width in log wave."""
    n, wave = host.flux.shape[1], host.wave
    pixel = np.clip(np.rint(np.interp(np.linspace(wave[0], wave[-1], n), wave, np.arange(n))).astype(int), 0, n - 1)
    return host.flux[:, pixel], host.ivar[:, pixel]


def _reversed(outliers: Outliers, host: MockBatch, rng: np.random.Generator) -> Arrays:
    return host.flux[:, ::-1], host.ivar[:, ::-1]


_MAKERS: dict[str, Callable[[Outliers, MockBatch, np.random.Generator], Arrays]] = {
    "M dwarf": _from_basis("star_M"),
    "carbon star": _carbon,
    "white dwarf": _from_basis("star_WD"),
    "CV": _cv,
    "pure sky": _sky,
    "pure noise": _noise,
    "star + galaxy": _pairs("STAR"),
    "two spectra added": _pairs(None),
    "flux in f_nu": _f_nu,
    "linear read as log": _linear_as_log,
    "reversed": _reversed,
}
TYPES = tuple(_MAKERS)
# Types that are no outliers to a survey: objects of a class (its templates are in the training of that class), and a
# misreading that changes nothing where pixels are linear.
KNOWN_TYPES = dict.fromkeys(("4most", "desi"), ("white dwarf", "M dwarf", "linear read as log"))


def outlier_types(survey: Survey) -> tuple[str, ...]:
    """The types that are outliers to a survey's classes."""
    return tuple(kind for kind in TYPES if kind not in KNOWN_TYPES.get(survey.name, ()))
