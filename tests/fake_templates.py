"""A small, invented template folder in the layout that engine.mock reads, so that tests need no real templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NAMES = ("A0", "A0p", "B6", "B9", "F2", "F5", "F9", "G0", "G2", "G5", "K1", "K3", "K5", "K7")


def make_templates(folder: Path) -> Path:
    """Write the folder; every star type gets its own slope and lines, galaxies a break, quasars broad lines."""
    rng = np.random.default_rng(1)
    for name in ("idlspec2d", "PyHammer", "redrock-templates", "bagpipes", "qsogen", "noise", "sdss_distributions"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    wave = 10 ** np.arange(3.55, 4.03, 1e-4)
    stars = np.stack([_star(wave, k) for k in range(len(NAMES))])
    np.savez(folder / "idlspec2d/spEigenStar-53724.npz", wave=wave, flux=stars, names=np.array(NAMES))
    many = np.concatenate([stars * (1 + rng.normal(0, 0.003, stars.shape)) for _ in range(12)])
    many = many[np.argsort(np.arange(len(many)) % len(NAMES), kind="stable")]
    for name in ("idlspec2d/spEigenStar-55734.npz", "PyHammer/templates.npz"):
        np.savez(folder / name, wave=wave, flux=many, names=np.array(["x"] * len(many)))
    for k, letter in enumerate("BAFGK"):
        basis = np.stack([stars[(3 * k + j) % len(NAMES)] for j in range(3)])
        np.savez(folder / f"redrock-templates/star_{letter}.npz", wave=wave, basis=basis, coeff=np.eye(3))
    _galaxies(folder)
    _quasars(folder)
    _noise(folder, rng)
    return folder


def _star(wave: np.ndarray, k: int) -> np.ndarray:
    flux = (wave / 5500) ** (-3 + 0.3 * k)
    for line in (4102.9, 4341.7, 4862.7, 6564.6):
        flux *= 1 - (0.5 - 0.035 * k) * np.exp(-0.5 * ((wave - line) / 8) ** 2)
    for line in (3934.8, 5176.7, 5892.0):
        flux *= 1 - 0.045 * k * np.exp(-0.5 * ((wave - line) / 10) ** 2)
    return flux


def _galaxies(folder: Path) -> None:
    wave = np.arange(900.0, 10800.0, 2.0)
    age, metal = np.logspace(6, 10.1, 42), np.array([0.02, 0.2, 0.4, 1.0, 2.5])
    old = np.where(wave > 4000, 1.0, 0.5) * np.clip(wave / 4000, 0.05, 1)
    young = (wave / 4000) ** -2.0
    flux = np.empty((5, 42, wave.size))
    for a in range(42):
        mix = a / 41
        flux[:, a] = mix * old + (1 - mix) * young * 30
        for line in (3934.8, 3969.6, 4862.7, 5176.7):
            flux[:, a] *= 1 - 0.4 * np.exp(-0.5 * ((wave - line) / 6) ** 2)
    np.savez(folder / "bagpipes/bc03_miles_ssp.npz", wave=wave, age_yr=age, zmet_zsun=metal, flux=flux)


def _quasars(folder: Path) -> None:
    wave = np.logspace(np.log10(979), np.log10(12000), 1500)
    lines = sum(
        height * np.exp(-0.5 * (np.log(wave / line) * 299792 / 2500) ** 2)
        for line, height in ((1215.7, 3.0), (1549.5, 1.3), (1908.7, 0.7), (2799.1, 0.9), (4862.7, 0.9), (6564.6, 4.0))
    )
    table = np.stack([wave, lines, np.ones_like(wave), 1.4 * lines, 0.7 * lines, 0 * lines], axis=1)
    np.savetxt(folder / "qsogen/qsosed_emlines_20210625.dat", table)


def _noise(folder: Path, rng: np.random.Generator) -> None:
    wave = np.linspace(4000, 9000, 5001)
    shape = 1 + 0.5 * ((wave - 6500) / 2500) ** 2
    np.savez(folder / "noise/noise_shape_1A.npz", wave=wave, sigma_rel=np.stack([shape] * 5), snr=np.ones(5))
    rows = {}
    ranges = {"GALAXY_nan": (0.05, 0.9), "GALAXY_AGN": (0.03, 0.4), "GALAXY_STARBURST": (0.02, 0.4),
              "GALAXY_STARFORMING": (0.02, 0.3), "QSO_nan": (0.5, 3), "QSO_BROADLINE": (0.4, 3)}  # fmt: skip
    for name, (low, high) in ranges.items():
        rows[f"{name}_z"] = rng.uniform(low, high, 300)
        rows[f"{name}_snr"] = np.exp(rng.normal(2 if "nan" not in name else 1, 0.5, 300))
        rows[f"{name}_plate"] = rng.integers(300, 7000, (300, 1))
        rows[f"{name}_vdisp"] = rng.uniform(80, 250, 300)
    np.savez(folder / "sdss_distributions/gasnet2_z_snr_vdisp.npz", **rows)
