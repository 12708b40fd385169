"""Light before the instrument: galaxies and quasars redshifted onto an observed grid, shared by every survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.grid import LogGrid
from engine.mock.galaxies import Galaxies
from engine.mock.quasars import Quasars
from engine.mock.ratios import Ratios
from engine.mock.templates import Float32Array, FloatArray, load, load_fits, shifted, split_of, to_rest_grid
from engine.survey import Survey, load_survey

GALAXY_TYPES = ("GALAXY", "GALAXY_AGN", "GALAXY_STARBURST", "GALAXY_STARFORMING")


class Light:
    """Pools of galaxies and quasars at rest, and the real objects whose redshifts, SNR and dispersions they follow.

    grid : observed log grid of the pixels of SDSS; lsf_kms : line spread at the middle of the spectrum
    """

    def __init__(self, folder: Path, split: str, grid: LogGrid, n_pool: int, lsf_kms: float) -> None:
        self.grid, self.lsf_kms = grid, lsf_kms
        self.real = load(folder, "sdss_distributions/gasnet2_z_snr_vdisp.npz")
        paper_name = {c.name: c.paper_name for c in load_survey("sdss").classes}
        self.vdisp = {name: self.real[f"{paper_name[name]}_vdisp"].astype(float) for name in GALAXY_TYPES}
        self.galaxies = Galaxies(folder, split, self.vdisp["GALAXY"], 3 * n_pool // 4)
        self.quasars = Quasars(folder, split, n_pool)
        self.ratios = Ratios(folder, split)
        self.well_seen = slice(int(np.searchsorted(grid.wave, 4039)), None, 8)

    def level(self, flux: Float32Array) -> Float32Array:
        """(B, 1) typical flux: the median redward of 4039 A, observed."""
        return np.median(flux[:, self.well_seen], axis=1, keepdims=True) + 1e-9

    def continuum(self, kind: NDArray[np.str_], z: FloatArray, rng: np.random.Generator) -> Float32Array:
        """(B, grid.n) stellar continua of the wanted kinds of galaxy at redshifts z."""
        flux = np.empty((len(z), self.grid.n), dtype=np.float32)
        for name in np.unique(kind):
            here = np.flatnonzero(kind == name)
            pool = self.galaxies.pools[str(name)]
            flux[here] = shifted(pool, rng.integers(0, len(pool), here.size), z[here], self.grid)
        return flux

    def near(self, flux: Float32Array, wave: float, z: FloatArray) -> FloatArray:
        """(B,) continuum of each spectrum at a rest wavelength (A): the median over the next 40 pixels."""
        pixel = (np.log10(wave * (1 + z)) - self.grid.loglam_min) / self.grid.step
        at = np.clip(pixel, 0, self.grid.n - 40).astype(int)
        window = flux[np.arange(len(z))[:, None], at[:, None] + np.arange(0, 40, 4)]
        return np.median(window, axis=1).astype(np.float64)

    def dispersions(self, target: NDArray[np.str_], rng: np.random.Generator) -> FloatArray:
        """(B,) velocity dispersions, km/s, of real objects of each galaxy type of SDSS."""
        return np.clip(np.array([rng.choice(self.vdisp[name]) for name in target]), 40, 350)

    def stack(self, folder: Path, name: str, split: str) -> Float32Array:
        """(m, REST.n) the jackknife stacks of a table of Comparat et al. (2020), where many spectra lie below them,
        and passive galaxies bluer than they reach; median 1 in the optical."""
        table = load_fits(folder, name, 1)
        real = (table["jackknifeSpectra"] > 0).all(axis=1) & (table["NspectraPerPixel"] > 100)
        rows = to_rest_grid(table["wavelength"][real], table["jackknifeSpectra"][real].T)
        return (rows / np.median(rows[:, 5000:8000], axis=1, keepdims=True))[split_of(len(rows), split)]

    def quasar(
        self, weak: NDArray[np.bool_], z: FloatArray, rng: np.random.Generator
    ) -> tuple[Float32Array, NDArray[np.int64], FloatArray]:
        """Quasars with narrow lines, host and absorption: flux (B, grid.n), pool rows (B,), the host's share (B,).

        weak : (B,) whose lines are weak
        """
        rows = self.quasars.rows(weak, rng)
        flux = shifted(self.quasars.flux, rows, z, self.grid)
        self.quasars.add_narrow_lines(flux, self.grid, z, self.lsf_kms, rng)
        level = self.level(flux)
        # Hosts matter below z = 0.9, and dominate many a Seyfert (docs/log.md).
        share = np.clip(rng.beta(1.1, 1.6, len(z)) * np.clip((0.95 - z) / 0.6, 0, 1), 0, 0.8)
        kind = np.where(rng.random(len(z)) < 0.6, "host", "starforming")
        with_host = np.flatnonzero(share > 0.02)
        if with_host.size:
            host = self.continuum(kind[with_host], z[with_host], rng)
            host *= level[with_host] / self.level(host)
            s = share[with_host, None].astype(np.float32)
            flux[with_host] = flux[with_host] * (1 - s) + host * s
        self.quasars.absorb(flux, self.grid, z, rng)
        return flux, rows, share


def survey_rows(light: Light, survey: Survey) -> dict[int, dict[str, NDArray]]:
    """Redshift, SNR and spectrograph of the paper's real test objects of each extragalactic class of SDSS."""
    rows = {}
    for i in survey.extragalactic:
        name = survey.classes[i].paper_name
        rows[i] = {key: light.real[f"{name}_{key}"].astype(float) for key in ("z", "snr")}
        rows[i]["boss"] = light.real[f"{name}_plate"][:, 0] > 3510
    return rows
