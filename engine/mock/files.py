"""Mock spectra as files: SDSS spec-lite layout, the truth in the primary header and in the catalogue row.

Layout: data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/lite/PLATE4/spec.html.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from engine.mock import Simulator
from engine.mock.batch import MockBatch
from engine.mock.instrument import SDSS_GRID
from engine.survey import SurveyClass

PLATE, MJD = 90000, 90000  # no real plate or night has these numbers


def simulate(simulator: Simulator, n: int, seed: int, out: str | Path) -> list[Path]:
    """Write n mock spectra into a folder as spec-PLATE-MJD-FIBER.fits; the same seed writes the same spectra."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, n, 512):
        batch = simulator.batch(min(512, n - start), [seed, start])
        for k in range(len(batch.label)):
            plate, fiber = PLATE + seed % 1000, start + k + 1
            path = folder / f"spec-{plate}-{MJD}-{fiber:04d}.fits"
            write_sdss(batch, k, simulator.survey.classes[batch.label[k]], path, (plate, MJD, fiber))
            paths.append(path)
    return paths


def write_sdss(batch: MockBatch, k: int, truth: SurveyClass, path: Path, ids: tuple[int, int, int]) -> None:
    """Write spectrum k of a batch in SDSS spec-lite layout. truth is its class; ids are plate, mjd and fiber."""
    covered = np.flatnonzero(batch.ivar[k] > 0)
    pixels = slice(covered[0], covered[-1] + 1)
    header = fits.Header()
    header["TELESCOP"] = ("MOCK", "simulated by GaSNet Explorer, no real object")
    header["MOCK"] = (True, "a mock spectrum")
    for key, value in zip(("PLATEID", "MJD", "FIBERID"), ids, strict=True):
        header[key] = value
    header["TRUECLS"] = (truth.name, "class simulated")
    header["TRUEZ"] = (float(batch.z[k]), "redshift simulated")
    header["TRUESNR"] = (float(batch.snr[k]), "median SNR simulated")
    header["VACUUM"] = (True, "wavelengths are in vacuum")
    n = covered[-1] + 1 - covered[0]
    loglam = SDSS_GRID.loglam_min + SDSS_GRID.step * np.arange(SDSS_GRID.n)[pixels]
    zeros = np.zeros(n, dtype=np.int32)
    coadd = fits.BinTableHDU.from_columns(
        [
            fits.Column("flux", "E", array=batch.flux[k, pixels], unit="1E-17 erg/cm^2/s/Ang"),
            fits.Column("loglam", "E", array=loglam.astype(np.float32)),
            fits.Column("ivar", "E", array=batch.ivar[k, pixels]),
            fits.Column("and_mask", "J", array=zeros),
            fits.Column("or_mask", "J", array=zeros),
        ],
        name="COADD",
    )
    hdus = [fits.PrimaryHDU(header=header), coadd, _catalogue_row(batch, k, truth, ids)]
    fits.HDUList(hdus).writeto(path, overwrite=True)


def _catalogue_row(batch: MockBatch, k: int, truth: SurveyClass, ids: tuple[int, int, int]) -> fits.BinTableHDU:
    subclass = truth.name.removeprefix(truth.spectype).removeprefix("_")

    def text(value: str) -> NDArray[np.str_]:
        return np.array([value])

    columns = [
        fits.Column(name, "J", array=np.array([value]))
        for name, value in zip(("PLATE", "MJD", "FIBERID"), ids, strict=True)
    ]
    columns += [
        fits.Column("CLASS", "6A", array=text(truth.spectype)),
        fits.Column("SUBCLASS", "21A", array=text(subclass)),
        fits.Column("Z", "E", array=np.array([batch.z[k]])),
        fits.Column("Z_ERR", "E", array=np.array([0.0])),
        fits.Column("ZWARNING", "J", array=np.array([0])),
        fits.Column("SN_MEDIAN_ALL", "E", array=np.array([batch.snr[k]])),
    ]
    return fits.BinTableHDU.from_columns(columns, name="SPECOBJ")
