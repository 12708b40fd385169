"""Mock spectra: labelled SDSS spectra simulated from published templates (docs/simulation.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.mock.galaxies import HA, HB, NII, OIII, Galaxies, Lines, kinds, lines_for, relabel
from engine.mock.galaxies import LINES as GALAXY_LINES
from engine.mock.instrument import SDSS_GRID, Instrument, lsf_kms
from engine.mock.quasars import Quasars
from engine.mock.stars import SDSS_TYPES, Stars
from engine.mock.templates import Float32Array, FloatArray, add_lines, find_templates, load, shifted
from engine.prediction import C_KMS
from engine.survey import Survey, SurveyError

FLAT_SHARE = 0.4  # of the objects have other redshifts than real samples: rare ones are learned too (docs/log.md)
NEARBY_SHARE, NEARBY_Z = 0.6, 1.0  # of those, the part that is flat in log z up to this z; the rest in log(1 + z)
LABEL_SCATTER = {"GALAXY": 3e-5, "QSO": 1.2e-3}  # of z / (1 + z): the pipeline's own error in real labels


@dataclass(frozen=True, eq=False)
class MockBatch:
    """B mock spectra on the survey's native grid with their truth.

    flux, ivar : (B, n) float32; ivar is 0 at bad pixels, flux too where nothing was observed
    label : (B,) class index; z : (B,) redshift, 0 for stars; snr : (B,) the median SNR asked for
    """

    flux: Float32Array
    ivar: Float32Array
    label: NDArray[np.int64]
    z: FloatArray
    snr: FloatArray


class Simulator:
    """Simulates SDSS's 13 classes from a template folder.

    split : which templates may be used: train, validation or test
    flat_share : part of the objects whose redshift does not follow the real distribution
    n_pool : continua prepared per kind; more are more diverse and take longer to prepare

    Raises TemplateError naming what is missing, SurveyError for a survey it cannot simulate.
    """

    def __init__(
        self,
        survey: Survey,
        templates: str | Path | None = None,
        split: str = "train",
        flat_share: float = FLAT_SHARE,
        n_pool: int = 1600,
    ) -> None:
        if survey.name != "sdss":
            raise SurveyError(f"no simulation of survey {survey.name!r} yet; only 'sdss' can be simulated")
        folder = find_templates(templates)
        self.survey, self.grid, self.flat_share = survey, SDSS_GRID, flat_share
        rows = load(folder, "sdss_distributions/gasnet2_z_snr_vdisp.npz")
        self.rows = {}
        for i in survey.extragalactic:
            name = survey.classes[i].paper_name
            self.rows[i] = {key: rows[f"{name}_{key}"].astype(float) for key in ("z", "snr")}
            self.rows[i]["boss"] = rows[f"{name}_plate"][:, 0] > 3510
        self.vdisp = {
            survey.classes[i].name: rows[f"{survey.classes[i].paper_name}_vdisp"].astype(float)
            for i in survey.extragalactic
            if survey.classes[i].spectype == "GALAXY"
        }
        self.stars = Stars(folder, split)
        self.galaxies = Galaxies(folder, split, self.vdisp["GALAXY"], 3 * n_pool // 4)
        self.quasars = Quasars(folder, split, n_pool)
        self.instrument = Instrument(folder)

    def batch(self, n: int, seed: int | list[int]) -> MockBatch:
        """n spectra, classes equally often wanted, reproducible from the seed. Labels follow the SDSS rules applied
        to what was simulated, so a class may come out a little rarer or more often than wanted."""
        rng = np.random.default_rng(seed)
        names = self.survey.names
        wanted = rng.permutation(np.arange(n) % len(names))
        z, snr, boss = self._redshifts(wanted, rng)
        clean = np.empty((n, self.grid.n), dtype=np.float32)
        label = wanted.astype(np.int64)
        types = np.array([c.spectype for c in self.survey.classes])[wanted]
        for spectype, simulate in (("STAR", self._stars), ("GALAXY", self._galaxies), ("QSO", self._quasars)):
            here = np.flatnonzero(types == spectype)
            if here.size:
                clean[here], label[here], z[here] = simulate(wanted[here], z[here], snr[here], boss[here], rng)
        observed = self.instrument.observe(clean, snr, boss, rng)
        return MockBatch(observed.flux, observed.ivar, label, np.where(types == "STAR", 0.0, z), snr)

    def _redshifts(
        self, wanted: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """z, SNR and spectrograph: most from jittered rows of real objects, the rest flat in log(1 + z)."""
        n = len(wanted)
        z, snr, boss = np.zeros(n), np.clip(np.exp(rng.normal(np.log(28), 0.8, n)), 3, 120), rng.random(n) < 0.4
        for i, rows in self.rows.items():
            here = np.flatnonzero(wanted == i)
            low, high = self.survey.classes[i].z_range or (0.0, 0.0)
            pick = rng.integers(0, len(rows["z"]), here.size)
            z_row = rows["z"][pick]
            z_real = z_row + rng.normal(0, 0.01, here.size) * np.minimum(1 + z_row, 20 * z_row + 0.05)
            z_flat = np.expm1(rng.uniform(np.log1p(low), np.log1p(high), here.size))
            # Nearby Seyferts are rare in the rows and common in the sky.
            nearby = np.exp(rng.uniform(np.log(max(low, 0.01)), np.log(min(high, NEARBY_Z)), here.size))
            z_flat = np.where(rng.random(here.size) < NEARBY_SHARE, nearby, z_flat)
            typical = np.log(np.median(rows["snr"]) * 1.5)
            flat = rng.random(here.size) < self.flat_share
            z[here] = np.clip(np.where(flat, z_flat, z_real), low + 3e-4, high)
            real_snr = np.maximum(rows["snr"][pick], 0.4) * np.exp(rng.normal(0, 0.15, here.size))
            snr[here] = np.where(flat, np.exp(rng.normal(typical, 0.8, here.size)), real_snr)
            boss[here] = np.where(rng.random(here.size) < 0.2, rng.random(here.size) < 0.5, rows["boss"][pick])
        return z, np.clip(snr, 0.4, 120), boss

    def _stars(
        self, wanted: NDArray[np.int64], z: FloatArray, snr: FloatArray, boss: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[Float32Array, NDArray[np.int64], FloatArray]:  # fmt: skip
        type_index = np.array([SDSS_TYPES.index(self.survey.names[i].removeprefix("STAR_")) for i in wanted])
        flux, velocity = self.stars.draw(type_index, rng)
        return shifted(flux, np.arange(len(flux)), velocity, self.grid), wanted, np.zeros(len(wanted))

    def _galaxies(
        self, wanted: NDArray[np.int64], z: FloatArray, snr: FloatArray, boss: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[Float32Array, NDArray[np.int64], FloatArray]:  # fmt: skip
        target = np.array(self.survey.names)[wanted]
        kind = kinds(target, z, rng)
        flux = self._continuum(kind, z, rng)
        ha_pixel = (np.log10(HA * (1 + z)) - self.grid.loglam_min) / self.grid.step
        at = np.clip(ha_pixel, 0, self.grid.n - 40).astype(int)
        window = flux[np.arange(len(z))[:, None], at[:, None] + np.arange(0, 40, 4)]
        continuum = np.median(window, axis=1).astype(np.float64)
        vdisp = np.array([rng.choice(self.vdisp[name]) for name in target])
        lines = lines_for(target, kind, continuum, np.clip(vdisp, 40, 350), rng)
        sigma = np.hypot(lines.sigma_kms, np.interp(6500 * (1 + z), [4000, 9000], [84, 55]))
        for name, wave in GALAXY_LINES.items():
            # Rest-frame EW times observed continuum times (1 + z) is the observed integrated flux.
            add_lines(flux, self.grid, wave, z, sigma, lines.flux[name] * (1 + z))
        red_end = np.where(boss, 10300.0, 9200.0)
        label_name = relabel(_significance(flux, continuum, lines, sigma, z, snr), lines, z, red_end)
        label = np.array([self.survey.index(name) for name in label_name])
        ranges = np.array([c.z_range or (0, 0) for c in self.survey.classes])[label]
        label = np.where(z > ranges[:, 1], self.survey.index("GALAXY"), label)
        return flux, label, z + rng.normal(0, LABEL_SCATTER["GALAXY"], len(z)) * (1 + z)

    def _continuum(self, kind: NDArray[np.str_], z: FloatArray, rng: np.random.Generator) -> Float32Array:
        flux = np.empty((len(z), self.grid.n), dtype=np.float32)
        for name in np.unique(kind):
            here = np.flatnonzero(kind == name)
            pool = self.galaxies.pools[str(name)]
            flux[here] = shifted(pool, rng.integers(0, len(pool), here.size), z[here], self.grid)
        return flux

    def _quasars(
        self, wanted: NDArray[np.int64], z: FloatArray, snr: FloatArray, boss: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[Float32Array, NDArray[np.int64], FloatArray]:  # fmt: skip
        broad, plain = self.survey.index("QSO_BROADLINE"), self.survey.index("QSO")
        weak = (wanted == plain) & (rng.random(len(z)) < 0.6)
        rows = self.quasars.rows(weak, rng)
        flux = shifted(self.quasars.flux, rows, z, self.grid)
        self.quasars.add_narrow_lines(flux, self.grid, z, lsf_kms(6000), rng)
        level = np.median(flux[:, 500:5200:8], axis=1, keepdims=True) + 1e-9
        # Hosts matter below z = 0.9, and dominate many a Seyfert (docs/log.md).
        share = np.clip(rng.beta(1.1, 1.6, len(z)) * np.clip((0.95 - z) / 0.6, 0, 1), 0, 0.8)
        kind = np.where(rng.random(len(z)) < 0.6, "host", "starforming")
        with_host = np.flatnonzero(share > 0.02)
        if with_host.size:
            host = self._continuum(kind[with_host], z[with_host], rng)
            host *= level[with_host] / np.median(host[:, 500:5200:8], axis=1, keepdims=True)
            s = share[with_host, None].astype(np.float32)
            flux[with_host] = flux[with_host] * (1 - s) + host * s
        self.quasars.absorb(flux, self.grid, z, rng)
        found = self.quasars.is_broadline(rows, z, snr, 1 - share, (3800, 9200), rng)
        z_max = (self.survey.classes[broad].z_range or (0.0, 0.0))[1]
        z_min = (self.survey.classes[broad].z_range or (0.0, 0.0))[0]
        label = np.where(found & (z >= z_min) & (z <= z_max), broad, plain)
        return flux, label, z + rng.normal(0, LABEL_SCATTER["QSO"], len(z)) * (1 + z)


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
