"""A scene from a table: how each class of a survey is made, for surveys whose classes are populations.

Each class is one recipe: which pools its light comes from, how its redshifts, velocities, reddening and SNR are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.mock.batch import Depth, MockBatch, Redshifts, free_redshifts
from engine.mock.galaxies import HA, lines_for
from engine.mock.galaxies import LINES as GALAXY_LINES
from engine.mock.instrument import Observed, galactic_extinction
from engine.mock.light import Light
from engine.mock.spectrographs import Spectrograph
from engine.mock.starpool import StarPool
from engine.mock.templates import Float32Array, FloatArray, add_lines, shifted
from engine.prediction import C_KMS
from engine.resample import resample
from engine.survey import Survey

# Kind of continuum -> the type of SDSS whose emission lines it has (engine.mock.galaxies.lines_for).
LINES_OF = {
    "passive": "GALAXY", "elg": "GALAXY", "starforming": "GALAXY_STARFORMING", "starburst": "GALAXY_STARBURST",
    "host": "GALAXY_AGN", "stack": "GALAXY",
}  # fmt: skip
FLAT_SCATTER = 0.8  # of ln SNR of the objects whose redshifts are free
MEAN_REDDENING, MAX_REDDENING = 0.03, 0.3  # Galactic E(B-V)


@dataclass(frozen=True)
class StarRecipe:
    """A stellar class: shares of populations (engine.mock.starpool), radial velocity, reddening, SNR.

    velocity : (share, mean, sigma) of Gaussians, km/s; reddening : (lowest, highest) E(B-V), flat, else exponential
    """

    pools: Mapping[str, float]
    velocity: tuple[tuple[float, float, float], ...]
    snr_scatter: float
    reddening: tuple[float, float] | None = None


@dataclass(frozen=True)
class GalaxyRecipe:
    """A class of galaxies: shares of kinds (LINES_OF) by redshift, redshifts, SNR.

    kinds : shares below z_split; kinds_far : above
    """

    kinds: Mapping[str, float]
    redshifts: Redshifts
    snr_scatter: float
    snr_slope: float = 0.0
    lowest_snr: float = 0.4
    kinds_far: Mapping[str, float] | None = None
    z_split: float = 0.57
    scatter: float = 0.0  # of the label's z / (1 + z)


@dataclass(frozen=True)
class QuasarRecipe:
    """A class of quasars: share with weak lines, share of stacked real spectra, redshifts, SNR."""

    redshifts: Redshifts
    snr_scatter: float
    snr_slope: float = 0.0
    lowest_snr: float = 0.4
    weak: float = 0.33
    stacks: float = 0.0
    scatter: float = 0.0


Recipe = StarRecipe | GalaxyRecipe | QuasarRecipe


class TableScene:
    """A survey made from recipes, one for each class, seen by a spectrograph with linear pixels.

    stacks : real stacked spectra at rest (m, REST.n), by spectral type
    """

    def __init__(
        self, survey: Survey, recipes: Mapping[str, Recipe], light: Light, stars: StarPool,
        instrument: Spectrograph, stacks: Mapping[str, Float32Array], flat_share: float,
    ) -> None:  # fmt: skip
        self.survey, self.light, self.stars, self.instrument = survey, light, stars, instrument
        self.recipes = [recipes[name] for name in survey.names]
        self.stacks, self.flat_share = stacks, flat_share
        self.grid, self.light_grid = instrument.grid, light.grid
        self.extinction = galactic_extinction(light.grid.wave).astype(np.float32)
        self.depths = []
        for klass, recipe in zip(survey.classes, self.recipes, strict=True):
            mean = klass.mean_snr or 10.0
            if isinstance(recipe, StarRecipe):
                self.depths.append(Depth(mean, recipe.snr_scatter))
            else:
                depth = Depth(mean, recipe.snr_scatter, recipe.snr_slope, recipe.lowest_snr, recipe.redshifts)
                self.depths.append(depth)

    def make(self, wanted: NDArray[np.int64], rng: np.random.Generator) -> MockBatch:
        """Spectra of the wanted classes (B,), which they all are."""
        n = len(wanted)
        z, snr, told = np.zeros(n), np.empty(n), np.zeros(n)
        clean = np.empty((n, self.light.grid.n), dtype=np.float32)
        ebv = np.minimum(rng.exponential(MEAN_REDDENING, n), MAX_REDDENING)
        later = []
        for i, recipe in enumerate(self.recipes):
            here = np.flatnonzero(wanted == i)
            if not here.size:
                continue
            if isinstance(recipe, StarRecipe):
                snr[here] = self.depths[i].draw(z[here], rng)
                clean[here] = self._stars(recipe, here.size, rng)
                if recipe.reddening:
                    ebv[here] = rng.uniform(*recipe.reddening, here.size)
                continue
            z[here], snr[here] = self._redshifts(i, here.size, rng)
            told[here] = z[here] + rng.normal(0, 1, here.size) * recipe.scatter * (1 + z[here])
            if isinstance(recipe, QuasarRecipe):
                clean[here] = self._quasars(recipe, z[here], rng)
            else:
                clean[here], lines = self._galaxies(recipe, z[here], rng)
                later.append((here, lines))
        dust = np.exp(-ebv.astype(np.float32)[:, None] * self.extinction)
        native = self._to_pixels(clean * dust)
        for here, lines in later:
            self._add_lines(native, here, z[here], lines)
        seen = self.instrument.observe(native, snr, rng)
        return MockBatch(seen.flux, seen.ivar, wanted.astype(np.int64), told, snr, self.grid)

    def observe(self, clean: Float32Array, snr: FloatArray, rng: np.random.Generator) -> Observed:
        """Any noise-free spectra (B, light_grid.n) as this survey's spectrograph sees them."""
        return self.instrument.observe(self._to_pixels(clean), snr, rng)

    def _to_pixels(self, flux: Float32Array) -> Float32Array:
        return resample(flux, flux, self.light_grid, self.grid)[0]

    def _redshifts(self, i: int, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Redshifts and SNR of a class: most as in the paper's table, the rest free."""
        recipe, low_high = self.recipes[i], self.survey.classes[i].z_range or (0.0, 0.0)
        assert not isinstance(recipe, StarRecipe)
        z = recipe.redshifts.draw(n, rng)
        snr = self.depths[i].draw(z, rng)
        flat = rng.random(n) < self.flat_share
        z = np.where(flat, free_redshifts(low_high, n, rng), z)
        typical = np.log(self.survey.classes[i].mean_snr or 10.0)
        snr = np.where(flat, np.exp(rng.normal(typical, FLAT_SCATTER, n)), snr)
        return np.clip(z, low_high[0] + 3e-4, low_high[1]), np.clip(snr, 0.4, 300)

    def _stars(self, recipe: StarRecipe, n: int, rng: np.random.Generator) -> Float32Array:
        names, shares = list(recipe.pools), np.array(list(recipe.pools.values()))
        which = rng.choice(len(names), n, p=shares / shares.sum())
        rest = np.empty((n, self.stars.populations[names[0]].shape[1]), dtype=np.float32)
        for k, name in enumerate(names):
            here = np.flatnonzero(which == k)
            rest[here] = self.stars.draw(name, here.size, rng)
        table = np.array(recipe.velocity)
        group = rng.choice(len(table), n, p=table[:, 0] / table[:, 0].sum())
        velocity = rng.normal(table[group, 1], table[group, 2])
        return shifted(rest, np.arange(n), velocity / C_KMS, self.light.grid)

    def _galaxies(
        self, recipe: GalaxyRecipe, z: FloatArray, rng: np.random.Generator
    ) -> tuple[Float32Array, tuple[dict[str, FloatArray], FloatArray]]:
        """Continua on the log grid; fluxes (observed frame) and dispersions of the lines, to be added to pixels."""
        kind = _choice(recipe.kinds, len(z), rng)
        if recipe.kinds_far:
            kind = np.where(z > recipe.z_split, _choice(recipe.kinds_far, len(z), rng), kind)
        flux = self.light.continuum(np.where(kind == "stack", "passive", kind), z, rng)
        stack = np.flatnonzero(kind == "stack")
        if stack.size:
            pool = self.stacks["GALAXY"]
            mean = shifted(pool, rng.integers(0, len(pool), stack.size), z[stack], self.light.grid)
            weight = rng.uniform(0, 0.5, (stack.size, 1)).astype(np.float32)
            flux[stack] = weight * flux[stack] / self.light.level(flux[stack]) + (1 - weight) * mean
        target = np.array([LINES_OF[name] for name in kind])
        vdisp = self.light.dispersions(target, rng)
        lines = lines_for(target, kind, self.light.near(flux, HA, z), vdisp, self.light.ratios, rng)
        return flux, ({name: amount * (1 + z) for name, amount in lines.flux.items()}, lines.sigma_kms)

    def _quasars(self, recipe: QuasarRecipe, z: FloatArray, rng: np.random.Generator) -> Float32Array:
        flux, _, _ = self.light.quasar(rng.random(len(z)) < recipe.weak, z, rng)
        stack = np.flatnonzero(rng.random(len(z)) < recipe.stacks)
        if stack.size:
            pool = self.stacks["QSO"]
            mean = shifted(pool, rng.integers(0, len(pool), stack.size), z[stack], self.light.grid)
            mean *= ((self.light.grid.wave / 6000) ** rng.normal(0, 0.4, (stack.size, 1))).astype(np.float32)
            self.light.quasars.absorb(mean, self.light.grid, z[stack], rng)
            flux[stack] = mean
        return flux

    def _add_lines(
        self, native: Float32Array, here: NDArray[np.int64], z: FloatArray,
        lines: tuple[dict[str, FloatArray], FloatArray],
    ) -> None:  # fmt: skip
        """Emission lines at the spectrograph's resolution, onto its pixels, in place."""
        amounts, sigma_kms = lines
        flux = native[here]
        for name, wave in GALAXY_LINES.items():
            sigma = np.hypot(sigma_kms, self.instrument.lsf_kms(wave * (1 + z)))
            add_lines(flux, self.grid, wave, z, sigma, amounts[name])
        native[here] = flux


def _choice(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    weights = np.array(list(shares.values()))
    return rng.choice(np.array(list(shares)), n, p=weights / weights.sum())
