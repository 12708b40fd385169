"""Mock spectra as files in each survey's own layout, the truth in their headers and label tables.

Layouts: data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/lite/PLATE4/spec.html;
desidatamodel.readthedocs.io, coadd-SURVEY-PROGRAM-PIXNUM; ESO Science Data Products Standard, 1-D spectra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from engine.mock import Simulator
from engine.mock.batch import MockBatch
from engine.mock.instrument import SDSS_GRID
from engine.mock.spectrographs import Desi
from engine.survey import Survey, SurveyClass

PLATE, MJD = 90000, 90000  # no real plate or night has these numbers
MAX_NUMBER = {"sdss": 9999, "coarse": 9999, "desi": 999_999, "4most": 99_999}  # what names and TARGETIDs have room for
COADD_ROUNDS = 160  # of one spectrum of each class, in one DESI file
DESI_ARMS = {"B": (3600.0, 5800.0), "R": (5760.0, 7620.0), "Z": (7520.0, 9824.0)}
BAD_PIXEL = 1 << 1  # ALLBADPIX of desispec.maskbits.specmask
ESO_FLUX = "erg cm**(-2) s**(-1) angstrom**(-1)"
MOCK_CARDS = {
    "TELESCOP": ("MOCK", "simulated by GaSNet Explorer, no real object"),
    "MOCK": (True, "a mock spectrum"),
    "VACUUM": (True, "wavelengths are in vacuum"),
}


def simulate(simulator: Simulator, n: int, seed: int, out: str | Path) -> list[Path]:
    """Write n mock spectra into a folder in the layout of their survey (WRITERS); the paths, in order.

    The same seed writes the same bytes, and a longer run begins with the spectra of a shorter one.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[simulator.survey.name](simulator, n, seed, folder)


def check_number(survey: str, n: int) -> None:
    """Raise ValueError when a survey's file names cannot number n spectra."""
    if n > MAX_NUMBER[survey]:
        raise ValueError(f"--n {n:,}: file names of {survey} number at most {MAX_NUMBER[survey]:,} spectra a seed")


def rounds(simulator: Simulator, n: int, seed: int) -> Iterator[tuple[int, MockBatch]]:
    """(index of its first spectrum, batch) of n spectra: each round wants every class once, whatever n is."""
    size = len(simulator.survey.names)
    for start in range(0, n, size):
        batch = simulator.batch(size, [seed, start])
        yield start, batch.first(min(size, n - start))


def _write_sdss(simulator: Simulator, n: int, seed: int, folder: Path) -> list[Path]:
    """One spec-PLATE-MJD-FIBER.fits for each spectrum."""
    paths = []
    for start, batch in rounds(simulator, n, seed):
        for k in range(len(batch.label)):
            plate, fiber = PLATE + seed % 1000, start + k + 1
            paths.append(folder / f"spec-{plate}-{MJD}-{fiber:04d}.fits")
            write_sdss(batch, k, simulator.survey.classes[batch.label[k]], paths[-1], (plate, MJD, fiber))
    return paths


def write_sdss(batch: MockBatch, k: int, truth: SurveyClass, path: Path, ids: tuple[int, int, int]) -> None:
    """Write spectrum k of a batch in SDSS spec-lite layout. truth is its class; ids are plate, mjd and fiber."""
    covered = np.flatnonzero(batch.ivar[k] > 0)
    pixels = slice(covered[0], covered[-1] + 1)
    header = _header({"PLATEID": ids[0], "MJD": ids[1], "FIBERID": ids[2]}, batch, k, truth)
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


def _header(cards: Mapping[str, object], batch: MockBatch, k: int, truth: SurveyClass) -> fits.Header:
    """A primary header that says that it is a mock, and of what."""
    header = fits.Header()
    header.update(MOCK_CARDS)
    for key, value in cards.items():
        header[key] = value
    header["TRUECLS"] = (truth.name, "class simulated")
    header["TRUEZ"] = (float(batch.z[k]), "redshift simulated")
    header["TRUESNR"] = (float(batch.snr[k]), "median SNR per pixel simulated")
    if batch.vdisp is not None and np.isfinite(batch.vdisp[k]):
        header["TRUEVD"] = (float(batch.vdisp[k]), "velocity dispersion of the lines, km/s")
    return header


def _subclass(truth: SurveyClass) -> str:
    return truth.name.removeprefix(truth.spectype).removeprefix("_")


def _catalogue_row(batch: MockBatch, k: int, truth: SurveyClass, ids: tuple[int, int, int]) -> fits.BinTableHDU:
    def text(value: str) -> NDArray[np.str_]:
        return np.array([value])

    columns = [
        fits.Column(name, "J", array=np.array([value]))
        for name, value in zip(("PLATE", "MJD", "FIBERID"), ids, strict=True)
    ]
    columns += [
        fits.Column("CLASS", "6A", array=text(truth.spectype)),
        fits.Column("SUBCLASS", "21A", array=text(_subclass(truth))),
        fits.Column("Z", "E", array=np.array([batch.z[k]])),
        fits.Column("Z_ERR", "E", array=np.array([0.0])),
        fits.Column("ZWARNING", "J", array=np.array([0])),
        fits.Column("SN_MEDIAN_ALL", "E", array=np.array([batch.snr[k]])),
    ]
    return fits.BinTableHDU.from_columns(columns, name="SPECOBJ")


def _write_desi(simulator: Simulator, n: int, seed: int, folder: Path) -> list[Path]:
    """coadd-mock-SEED-K.fits of up to COADD_ROUNDS rounds each."""
    paths: list[Path] = []
    pending: list[MockBatch] = []
    for start, batch in rounds(simulator, n, seed):
        pending.append(batch)
        if len(pending) == COADD_ROUNDS or start + len(batch.label) == n:
            paths.append(folder / f"coadd-mock-{seed}-{len(paths)}.fits")
            first = start + len(batch.label) - sum(len(b.label) for b in pending)
            write_desi(MockBatch.joined(pending), simulator.survey, paths[-1], seed, first)
            pending = []
    return paths


def write_desi(batch: MockBatch, survey: Survey, path: Path, seed: int, first: int) -> None:
    """Write a batch as a DESI coadd: three arms that share the information where they overlap, and the truth as
    redrock's table. first numbers its first spectrum; TARGETIDs follow from it and the seed."""
    n = len(batch.label)
    target = 9_000_000_000_000 + (seed % 1_000_000) * 1_000_000 + first + np.arange(n)
    header = fits.Header()
    header.update(MOCK_CARDS)
    header["SURVEY"] = survey.name
    classes = [survey.classes[i] for i in batch.label]
    fibermap = [
        fits.Column("TARGETID", "K", array=target),
        fits.Column("FIBER", "J", array=first + np.arange(n)),
    ]
    truth = [
        fits.Column("TARGETID", "K", array=target),
        fits.Column("SPECTYPE", "6A", array=np.array([c.spectype for c in classes])),
        fits.Column("SUBTYPE", "20A", array=np.array([_subclass(c) for c in classes])),
        fits.Column("Z", "D", array=batch.z),
        fits.Column("ZERR", "D", array=np.zeros(n)),
        fits.Column("ZWARN", "K", array=np.zeros(n, dtype=np.int64)),
        fits.Column("TRUECLS", "20A", array=np.array([c.name for c in classes])),
        fits.Column("TRUESNR", "D", array=batch.snr),
    ]
    hdus: list[fits.hdu.base.ExtensionHDU] = [fits.BinTableHDU.from_columns(fibermap, name="FIBERMAP")]
    rng = np.random.default_rng([seed, first, 1])
    for name, (wave, flux, ivar) in _arms(batch, rng).items():
        hdus.append(fits.ImageHDU(wave, name=f"{name}_WAVELENGTH"))
        hdus.append(fits.ImageHDU(flux.astype(np.float32), name=f"{name}_FLUX"))
        hdus.append(fits.ImageHDU(ivar.astype(np.float32), name=f"{name}_IVAR"))
        hdus.append(fits.ImageHDU(np.where(ivar > 0, 0, BAD_PIXEL).astype(np.int32), name=f"{name}_MASK"))
    hdus.append(fits.BinTableHDU.from_columns(truth, name="REDSHIFTS"))
    fits.HDUList([fits.PrimaryHDU(header=header), *hdus]).writeto(path, overwrite=True)


def _arms(batch: MockBatch, rng: np.random.Generator) -> dict[str, tuple[NDArray, NDArray, NDArray]]:
    """Arm -> (wave, flux, ivar). Where two arms overlap, each has part of the information and noise of its own, such
    that their mean by inverse variance is the batch's flux."""
    wave = np.round(batch.wave, 2)
    names = list(DESI_ARMS)
    share = {name: ((wave >= low) & (wave <= high)).astype(float) for name, (low, high) in DESI_ARMS.items()}
    flux = {name: batch.flux.astype(float) for name in names}
    for left, right, (low, high) in zip(names[:-1], names[1:], Desi.JOINS, strict=True):
        both = (wave >= low) & (wave <= high)
        part = np.linspace(0.98, 0.02, both.sum())
        share[left][both], share[right][both] = part, 1 - part
        information = batch.ivar[:, both] * part * (1 - part)
        spread = np.divide(1, np.sqrt(information), out=np.zeros(information.shape), where=information > 0)
        difference = rng.normal(0, 1, spread.shape) * spread
        flux[left][:, both] += difference * (1 - part)
        flux[right][:, both] -= difference * part
    inside = {name: share[name] > 0 for name in names}
    return {name: (wave[at], flux[name][:, at], batch.ivar[:, at] * share[name][at]) for name, at in inside.items()}


def _write_fourmost(simulator: Simulator, n: int, seed: int, folder: Path) -> list[Path]:
    """One 4most-mock-SEED-NUMBER.fits for each spectrum."""
    paths = []
    for start, batch in rounds(simulator, n, seed):
        for k in range(len(batch.label)):
            paths.append(folder / f"4most-mock-{seed}-{start + k + 1:05d}.fits")
            write_fourmost(batch, k, simulator.survey.classes[batch.label[k]], paths[-1])
    return paths


def write_fourmost(batch: MockBatch, k: int, truth: SurveyClass, path: Path) -> None:
    """Write spectrum k of a batch as an ESO 1-D science data product: one row of WAVE, FLUX and ERR (0 if bad)."""
    wave, ivar = batch.wave, batch.ivar[k].astype(float)
    error = np.divide(1e-17, np.sqrt(ivar), out=np.zeros(ivar.shape), where=ivar > 0)
    cards = {
        "OBJECT": path.stem, "PRODCATG": "SCIENCE.SPECTRUM", "SPECSYS": "BARYCENT", "FLUXCAL": "ABSOLUTE",
        "WAVELMIN": wave[0] / 10, "WAVELMAX": wave[-1] / 10, "SPEC_BIN": (wave[1] - wave[0]) / 10,
    }  # fmt: skip
    shape = f"{wave.size}"
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("WAVE", f"{shape}D", unit="angstrom", array=wave[None]),
            fits.Column("FLUX", f"{shape}E", unit=ESO_FLUX, array=(1e-17 * batch.flux[k].astype(float))[None]),
            fits.Column("ERR", f"{shape}E", unit=ESO_FLUX, array=error[None]),
        ],
        name="SPECTRUM",
    )
    table.header["VOCLASS"] = "SPECTRUM V2.0"
    table.header["NELEM"] = wave.size
    fits.HDUList([fits.PrimaryHDU(header=_header(cards, batch, k, truth)), table]).writeto(path, overwrite=True)


# Survey -> how its mock spectra are written.
WRITERS: dict[str, Callable[[Simulator, int, int, Path], list[Path]]] = {
    "sdss": _write_sdss,
    "coarse": _write_sdss,
    "desi": _write_desi,
    "4most": _write_fourmost,
}
