"""A small, invented template folder in the layout that engine.mock reads, so that tests need no real templates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

FOLDERS = (
    "idlspec2d", "PyHammer", "redrock-templates", "bagpipes", "qsogen", "noise", "sdss_distributions", "mangadap",
    "Koester_DA", "redmonster", "desi", "qmost_templates/data", "py4most/etc/data/spectral_res", "resolve",
    "desisim/py/desisim/data",
)  # fmt: skip
BOSS_NAMES = ("F5Ib... (17463)", "A2Ia (14489)", "CalciumWD", "Carbon", "WDcooler", "G0 (63791)", "B5Ib (191243)")
NAMES = ("A0", "A0p", "B6", "B9", "F2", "F5", "F9", "G0", "G2", "G5", "K1", "K3", "K5", "K7")


def make_templates(folder: Path) -> Path:
    """Write the folder; every star type gets its own slope and lines, galaxies a break, quasars broad lines."""
    rng = np.random.default_rng(1)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    wave = 10 ** np.arange(3.55, 4.03, 1e-4)
    stars = np.stack([_star(wave, k) for k in range(len(NAMES))])
    np.savez(folder / "idlspec2d/spEigenStar-53724.npz", wave=wave, flux=stars, names=np.array(NAMES))
    many = np.concatenate([stars * (1 + rng.normal(0, 0.003, stars.shape)) for _ in range(12)])
    many = many[np.argsort(np.arange(len(many)) % len(NAMES), kind="stable")]
    boss = np.array([BOSS_NAMES[k % len(BOSS_NAMES)] for k in range(len(many))])
    np.savez(folder / "idlspec2d/spEigenStar-55734.npz", wave=wave, flux=many, names=boss)
    hammer = np.array([f"{'AFGK'[k % 4]}{k % 9}_{(-1.5, 0.0)[k % 2]:+.1f}_Dwarf" for k in range(len(many))])
    np.savez(folder / "PyHammer/templates.npz", wave=wave, flux=many, names=hammer)
    for k, letter in enumerate(("B", "A", "F", "G", "K", "M", "WD")):
        basis = np.stack([stars[(3 * k + j) % len(NAMES)] for j in range(3)])
        np.savez(folder / f"redrock-templates/star_{letter}.npz", wave=wave, basis=basis, coeff=np.eye(3))
    _galaxies(folder)
    _quasars(folder)
    _noise(folder, rng)
    _parametric_stars(folder, wave, stars, rng)
    _instruments(folder)
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

    names = ("h_beta", "oiii_5007", "nii_6584", "sii_6717", "sii_6731", "neiii_3869", "oiii_4363", "hei_5876",
             "oi_6300", "ariii7135")  # fmt: skip
    share = np.array([0.35, 0.3, 0.3, 0.2, 0.15, 0.03, 0.005, 0.04, 0.03, 0.02])
    rows = share * np.exp(np.random.default_rng(2).normal(0, 0.2, (40, len(names))))
    np.savez(folder / "resolve/mpajhu_line_fluxes.npz", line=np.array(names), flux=rows)
    means = np.array([[-0.3, 0.4, 0.0, -0.1], [0.4, 0.4, -0.6, -0.2]])
    images = [np.array([0.6, 0.4]), means, np.stack([0.03 * np.eye(4)] * 2)]
    hdus = [fits.PrimaryHDU(images[0]), *(fits.ImageHDU(image) for image in images[1:])]
    fits.HDUList(hdus).writeto(folder / "desisim/py/desisim/data/forbidden_mogs.fits", overwrite=True)


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


def _parametric_stars(folder: Path, wave: np.ndarray, stars: np.ndarray, rng: np.random.Generator) -> None:
    """MILES and white dwarfs, with dwarfs, giants and supergiants, rich and poor in metals."""
    miles_wave = np.arange(3536.0, 7410.0)
    rows = np.stack([np.interp(miles_wave, wave, stars[k % len(NAMES)]) for k in range(120)])
    names = np.array([f"{k:04d}V" for k in range(120)])
    np.savez(folder / "mangadap/miles_stars.npz", wave=miles_wave, flux=rows, names=names)
    teff = 4000 + 250.0 * (np.arange(120) % len(NAMES))
    logg, feh = np.tile([4.5, 1.0, 2.0], 40), np.repeat([-2.0, -1.2, -0.5, 0.1], 30)
    ids = np.array([name[:4] for name in names])
    np.savez(folder / "mangadap/miles_params.npz", miles_id=ids, name=ids, teff=teff, logg=logg, feh=feh)
    teff_logg = np.stack([np.linspace(6000, 60000, 30), np.full(30, 8.0)], axis=1)
    dwarf_wave = np.arange(3000.0, 9900.0)
    dwarfs = np.stack([(dwarf_wave / 5500) ** -(2 + 0.05 * k) for k in range(30)])
    np.savez(folder / "Koester_DA/da_grid.npz", wave=dwarf_wave, flux=dwarfs, teff_logg=teff_logg)
    hot = np.tile(dwarfs[:19, None], (1, 6, 1))
    np.savez(folder / "redmonster/wd_da_tlte.npz", wave=dwarf_wave, flux=hot)


def _instruments(folder: Path) -> None:
    """Sky lines of DESI; throughput, sky, transmission and resolution of 4MOST; stacks of LRG and quasars."""
    sky_wave = np.arange(3500.0, 10000.0, 0.1)
    sky = sum(300 * np.exp(-0.5 * ((sky_wave - line) / 0.2) ** 2) for line in (5578.9, *range(7300, 9800, 24)))
    np.savez(folder / "desi/spec_sky.npz", wave=sky_wave, sky=sky)
    data = folder / "py4most/etc/data"
    arms = {"BLUE": (3671.0, 5549.0), "GREEN": (5220.0, 7228.0), "RED": (6884.0, 9524.0)}
    for name, value in (("efficiency_4most", 0.12), ("sky_model_dark", 0.01), ("sky_model_grey", 0.03)):
        hdus = [fits.PrimaryHDU()]
        for low, high in arms.values():
            wave = np.linspace(low, high, 6144)
            level = value * (1 + 5 * ("sky" in name) * np.exp(-0.5 * ((wave - 5578.9) / 0.6) ** 2))
            hdus.append(fits.table_to_hdu(Table({"WAVE": wave, "MID": level})))
        fits.HDUList(hdus).writeto(data / f"{name}.fits", overwrite=True)
    wave = np.linspace(3700.0, 9500.0, 23201)
    band = 1 - 0.5 * ((wave > 7594) & (wave < 7700))
    _table(data / "sky_transmission.fits", WAVE=wave, TRANS=band)
    for arm, (low, high) in {"BLUE": (3700, 5445), "GREEN": (5360, 7130), "RED": (6970, 9500)}.items():
        wave = np.linspace(low, high, 200)
        _table(data / f"spectral_res/LR_resolution_{arm}.fits", WAVE=wave, R=wave)
    for name, blue in (("DR16LRG", 2500.0), ("ROSAT_AGNT1-DR16QSO", 950.0)):
        wave = np.arange(blue, 7600.0, 1.0)
        rows = np.tile(np.where(wave > 4000, 1.0, 0.5)[:, None], (1, 10))
        file = folder / f"qmost_templates/data/{name}-stitched-stack.fits"
        _table(file, wavelength=wave, jackknifeSpectra=rows, NspectraPerPixel=np.full(wave.size, 1e4))


def _table(path: Path, **columns: np.ndarray) -> None:
    Table(columns).write(path, overwrite=True)
