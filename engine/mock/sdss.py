"""SDSS: the paper's 13 classes with the redshifts and SNR of real objects, labelled by the rules of SDSS's pipeline.

The coarse survey is the same sky with the classes collapsed (paper Appendix B).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.grid import LogGrid
from engine.mock.batch import MockBatch, free_redshifts
from engine.mock.galaxies import HA, HB, NII, OIII, Lines, kinds, lines_for, relabel
from engine.mock.galaxies import LINES as GALAXY_LINES
from engine.mock.instrument import SDSS_GRID, Instrument, Observed, lsf_kms
from engine.mock.light import Light, survey_rows
from engine.mock.stars import SDSS_TYPES, Stars
from engine.mock.templates import Float32Array, FloatArray, add_lines, shifted
from engine.prediction import C_KMS
from engine.survey import Survey, load_survey

STAR_SNR, STAR_SCATTER = 31.5, 0.75  # mean, where the paper has none, and scatter in ln
LABEL_SCATTER = {"GALAXY": 3e-5, "QSO": 1.2e-3}  # of z / (1 + z): the pipeline's own error in real labels
# Noise-free flux, label, z, velocity dispersion (NaN where there is none).
Drawn = tuple[Float32Array, NDArray[np.int64], FloatArray, FloatArray]


class SdssScene:
    """The 13 classes of SDSS, as its two spectrographs see them."""

    grid: LogGrid = SDSS_GRID
    light_grid: LogGrid = SDSS_GRID

    def __init__(self, survey: Survey, folder: Path, split: str, flat_share: float, n_pool: int) -> None:
        self.survey, self.flat_share = survey, flat_share
        self.light = Light(folder, split, self.grid, n_pool, lsf_kms(6000))
        self.rows = survey_rows(self.light, survey)
        self.stars = Stars(folder, split)
        self.instrument = Instrument(folder)

    def make(self, wanted: NDArray[np.int64], rng: np.random.Generator) -> MockBatch:
        """Spectra of the wanted classes (B,). Labels follow the SDSS rules applied to what was simulated, so a class
        may come out a little rarer or more often than wanted."""
        n = len(wanted)
        z, snr, boss = self._redshifts(wanted, rng)
        clean = np.empty((n, self.grid.n), dtype=np.float32)
        label, vdisp = wanted.astype(np.int64), np.full(n, np.nan)
        types = np.array([c.spectype for c in self.survey.classes])[wanted]
        for spectype, simulate in (("STAR", self._stars), ("GALAXY", self._galaxies), ("QSO", self._quasars)):
            here = np.flatnonzero(types == spectype)
            if here.size:
                drawn = simulate(wanted[here], z[here], snr[here], boss[here], rng)
                clean[here], label[here], z[here], vdisp[here] = drawn
        observed = self.instrument.observe(clean, snr, boss, rng)
        z = np.where(types == "STAR", 0.0, z)
        return MockBatch(observed.flux, observed.ivar, label, z, snr, self.grid, vdisp)

    def observe(self, clean: Float32Array, snr: FloatArray, rng: np.random.Generator) -> Observed:
        """Any noise-free spectra (B, grid.n) as either of the spectrographs sees them."""
        return self.instrument.observe(clean, snr, rng.random(len(clean)) < 0.4, rng)

    def _redshifts(
        self, wanted: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """z, SNR and spectrograph: most from jittered rows of real objects, the rest flat in log(1 + z)."""
        n = len(wanted)
        mean = np.array([c.mean_snr or STAR_SNR for c in self.survey.classes])[wanted]
        snr = np.exp(rng.normal(np.log(mean) - STAR_SCATTER**2 / 2, STAR_SCATTER, n))  # of stars: the paper's means
        z, snr, boss = np.zeros(n), np.clip(snr, 3, 120), rng.random(n) < 0.4
        for i, rows in self.rows.items():
            here = np.flatnonzero(wanted == i)
            low, high = self.survey.classes[i].z_range or (0.0, 0.0)
            pick = rng.integers(0, len(rows["z"]), here.size)
            z_row = rows["z"][pick]
            z_real = z_row + rng.normal(0, 0.01, here.size) * np.minimum(1 + z_row, 20 * z_row + 0.05)
            z_flat = free_redshifts((low, high), here.size, rng)
            typical = np.log(np.median(rows["snr"]) * 1.5)
            flat = rng.random(here.size) < self.flat_share
            z[here] = np.clip(np.where(flat, z_flat, z_real), low + 3e-4, high)
            real_snr = np.maximum(rows["snr"][pick], 0.4) * np.exp(rng.normal(0, 0.15, here.size))
            snr[here] = np.where(flat, np.exp(rng.normal(typical, 0.8, here.size)), real_snr)
            either = flat | (rng.random(here.size) < 0.2)  # nearby quasars, rare in the rows, are SDSS-I/II's mostly
            boss[here] = np.where(either, rng.random(here.size) < 0.5, rows["boss"][pick])
        return z, np.clip(snr, 0.4, 120), boss

    def _stars(
        self, wanted: NDArray[np.int64], z: FloatArray, snr: FloatArray, boss: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> Drawn:  # fmt: skip
        type_index = np.array([SDSS_TYPES.index(self.survey.names[i].removeprefix("STAR_")) for i in wanted])
        flux, velocity = self.stars.draw(type_index, rng)
        none = np.full(len(wanted), np.nan)
        return shifted(flux, np.arange(len(flux)), velocity, self.grid), wanted, np.zeros(len(wanted)), none

    def _galaxies(
        self, wanted: NDArray[np.int64], z: FloatArray, snr: FloatArray, boss: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> Drawn:  # fmt: skip
        target = np.array(self.survey.names)[wanted]
        kind = kinds(target, z, rng)
        flux = self.light.continuum(kind, z, rng)
        continuum = self.light.near(flux, HA, z)
        vdisp = self.light.dispersions(target, rng)
        lines = lines_for(target, kind, continuum, vdisp, self.light.ratios, rng)
        sigma = np.hypot(lines.sigma_kms, np.interp(6500 * (1 + z), [4000, 9000], [84, 55]))
        for name, wave in GALAXY_LINES.items():
            # Rest-frame EW times observed continuum times (1 + z) is the observed integrated flux.
            add_lines(flux, self.grid, wave, z, sigma, lines.flux[name] * (1 + z))
        red_end = np.where(boss, 10300.0, 9200.0)
        label_name = relabel(_significance(flux, continuum, lines, sigma, z, snr), lines, z, red_end)
        label = np.array([self.survey.index(name) for name in label_name])
        ranges = np.array([c.z_range or (0, 0) for c in self.survey.classes])[label]
        label = np.where(z > ranges[:, 1], self.survey.index("GALAXY"), label)
        return flux, label, z + rng.normal(0, LABEL_SCATTER["GALAXY"], len(z)) * (1 + z), vdisp

    def _quasars(
        self, wanted: NDArray[np.int64], z: FloatArray, snr: FloatArray, boss: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> Drawn:  # fmt: skip
        broad, plain = self.survey.index("QSO_BROADLINE"), self.survey.index("QSO")
        flux, rows, share = self.light.quasar((wanted == plain) & (rng.random(len(z)) < 0.6), z, rng)
        found = self.light.quasars.is_broadline(rows, z, snr, 1 - share, (3800, 9200), rng)
        z_min, z_max = self.survey.classes[broad].z_range or (0.0, 0.0)
        label = np.where(found & (z >= z_min) & (z <= z_max), broad, plain)
        told = z + rng.normal(0, LABEL_SCATTER["QSO"], len(z)) * (1 + z)
        return flux, label, told, np.full(len(z), np.nan)


class CoarseScene:
    """SDSS's sky with its 13 classes collapsed into star, galaxy and quasar, equally often each (Appendix B)."""

    def __init__(self, survey: Survey, folder: Path, split: str, flat_share: float, n_pool: int) -> None:
        fine = load_survey("sdss")
        self.fine = SdssScene(fine, folder, split, flat_share, n_pool)
        self.grid, self.light_grid, self.instrument = self.fine.grid, self.fine.light_grid, self.fine.instrument
        self.observe = self.fine.observe
        self.coarse = np.array([survey.names.index(c.spectype) for c in fine.classes])
        self.members = [np.flatnonzero(self.coarse == i) for i in range(len(survey.classes))]

    def make(self, wanted: NDArray[np.int64], rng: np.random.Generator) -> MockBatch:
        """Spectra of the wanted coarse classes (B,); within one, its fine classes are equally often wanted."""
        batch = self.fine.make(np.array([rng.choice(self.members[i]) for i in wanted]), rng)
        return replace(batch, label=self.coarse[batch.label])


def _significance(
    flux: Float32Array, continuum: FloatArray, lines: Lines, sigma_kms: FloatArray, z: FloatArray, snr: FloatArray
) -> dict[str, FloatArray]:
    """How many sigma each BPT line is detected at: matched filter of a Gaussian in noise of the median SNR."""
    level = np.median(flux[:, 500:5200:8], axis=1)
    out = {}
    for name, wave in (("Ha", HA), ("Hb", HB), ("OIII", OIII), ("NII", NII)):
        sigma_a = sigma_kms / C_KMS * wave * (1 + z)
        pixel_a = wave * (1 + z) * SDSS_GRID.step * np.log(10)
        noise = level / snr * np.sqrt(np.clip(continuum / np.maximum(level, 1e-9), 0.3, 3))
        out[name] = lines.flux[name] * (1 + z) / (noise * np.sqrt(2 * np.sqrt(np.pi) * sigma_a * pixel_a))
    return out
