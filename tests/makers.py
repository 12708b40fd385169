"""Makers of small files in the surveys' real formats, from synthetic spectra; and of bad files, each by name.

Used by every test. Wavelengths are vacuum, observed frame, Angstrom, unless a maker says air.
"""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

EMISSION = {3728.5: 30.0, 4862.683: 12.0, 4960.295: 12.0, 5008.24: 36.0, 6564.613: 40.0, 6585.27: 13.0, 6718.29: 8.0}


def galaxy(
    z: float = 0.1, snr: float = 20.0, loglam_min: float = 3.58, n: int = 3840, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(wave, flux, ivar), each (n,), of a star-forming galaxy on SDSS's pixels (loglam a multiple of 1e-4)."""
    wave = 10.0 ** (loglam_min + 1e-4 * np.arange(n))
    return wave, *galaxy_on(wave, z, snr, seed)


def galaxy_on(wave: np.ndarray, z: float = 0.1, snr: float = 20.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(flux, ivar) of the same galaxy on any wavelengths."""
    rest = wave / (1 + z)
    flux = 10 * (rest / 5000) ** -0.5 * np.where(rest < 4000, 0.75, 1.0)
    for line, strength in EMISSION.items():
        flux = flux + strength * np.exp(-0.5 * ((rest - line) / 3.0) ** 2)
    sigma = 10 / snr * (1 + 0.5 * np.abs(wave - 6500) / 2500)
    noise = np.random.default_rng(seed).normal(size=wave.size)
    return flux + sigma * noise, sigma**-2


# --- SDSS ---------------------------------------------------------------------------------------------------------


def make_sdss(
    path: Path, wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, *, label: dict | None = None,
    and_mask: np.ndarray | None = None, generation: str = "eboss", ids: tuple[int, int, int] = (751, 52251, 160),
) -> Path:  # fmt: skip
    """A spec-lite file. generation: sdss (SPECOBJ), eboss (SPALL), nameless (capital columns, no EXTNAME), v (SDSS-V).

    label: spectype, subclass, z, zerr, zwarning; None leaves the catalogue HDU out.
    """
    mask = np.zeros(wave.size, np.int32) if and_mask is None else np.asarray(and_mask, np.int32)
    columns = {"flux": flux, "loglam": np.log10(wave), "ivar": ivar, "and_mask": mask, "or_mask": mask,
               "wdisp": np.full(wave.size, 1.1), "sky": np.ones(wave.size), "model": flux}  # fmt: skip
    capital = generation == "nameless"
    coadd = fits.BinTableHDU.from_columns(
        [fits.Column(k.upper() if capital else k, "J" if "mask" in k else "E", array=v) for k, v in columns.items()],
        name="" if capital else "COADD",
    )
    primary = fits.PrimaryHDU()
    plate, mjd, fiber = ids
    primary.header.update({"TELESCOP": "SDSS 2.5-M", "PLATEID": plate, "MJD": mjd, "FIBERID": fiber, "VACUUM": True})
    primary.header.update({"PLUG_RA": 150.5, "PLUG_DEC": 2.25, "BUNIT": "1E-17 erg/cm^2/s/Ang"})
    primary.header["VERS2D"] = {"v": "v6_1_3", "sdss": "26"}.get(generation, "v5_13_2")
    hdus = [primary, coadd]
    if label is not None:
        hdus.append(_catalogue(label, ids, generation))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def _catalogue(label: dict, ids: tuple[int, int, int], generation: str) -> fits.BinTableHDU:
    row = [("CLASS", "6A", label["spectype"]), ("SUBCLASS", "21A", label.get("subclass", "")), ("Z", "E", label["z"]),
           ("Z_ERR", "E", label.get("zerr", 1e-4)), ("ZWARNING", "J", label.get("zwarning", 0)), ("MJD", "J", ids[1]),
           ("PLUG_RA", "D", 150.5), ("PLUG_DEC", "D", 2.25)]  # fmt: skip
    if generation == "v":
        row += [("FIELD", "J", 15000), ("CATALOGID", "K", 27021597900000000), ("SDSS_ID", "K", 54321)]
    else:
        row += [("PLATE", "J", ids[0]), ("FIBERID", "J", ids[2])]
    columns = [fits.Column(name, form, array=[value]) for name, form, value in row]
    columns.append(fits.Column("SPECTROFLUX", "5E", array=[[5.0, 100.0, 30.0, 40.0, 50.0]]))
    name = {"nameless": "", "sdss": "SPECOBJ"}.get(generation, "SPALL")
    return fits.BinTableHDU.from_columns(columns, name=name)


def make_spspec(path: Path, wave: np.ndarray, flux: np.ndarray, ivar: np.ndarray, z: float = 0.1) -> Path:
    """A DR7 spSpec file: rows flux, continuum-subtracted, sigma, mask, zeros."""
    rows = np.stack([flux, flux - np.median(flux), ivar**-0.5, np.zeros(wave.size), np.zeros(wave.size)])
    hdu = fits.PrimaryHDU(rows.astype(np.float32))
    loglam = np.log10(wave)
    hdu.header.update({"COEFF0": loglam[0], "COEFF1": 1e-4, "SPEC_CLN": 2, "Z": z, "Z_ERR": 1e-4, "VACUUM": 1})
    hdu.header.update({"PLATEID": 751, "MJD": 52251, "FIBERID": 160, "RAOBJ": 150.5, "DECOBJ": 2.25})
    hdu.writeto(path, overwrite=True)
    return path


# --- other surveys ------------------------------------------------------------------------------------------------

DESI_ARMS = {"B": (3600.0, 2751), "R": (5760.0, 2326), "Z": (7520.0, 2881)}


def make_desi(
    path: Path, n_objects: int = 2, arms: str = "BRZ", *, z: float = 0.1, redshifts: bool = False, seed: int = 0
) -> Path:
    """A coadd with any subset of arms; every arm sees the same galaxy with its own noise. TARGETIDs 1000, 1001, ..."""
    ids = 1000 + np.arange(n_objects)
    fibermap = [fits.Column("TARGETID", "K", array=ids), fits.Column("TARGET_RA", "D", array=150.5 + 0.1 * ids),
                fits.Column("TARGET_DEC", "D", array=2.0 + 0 * ids),
                fits.Column("FLUX_G", "E", array=100.0 + 0 * ids)]  # fmt: skip
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(fibermap, name="FIBERMAP")]
    for k, arm in enumerate(arms):
        start, n = DESI_ARMS[arm]
        wave = start + 0.8 * np.arange(n)
        drawn = [galaxy_on(wave, z, seed=seed + 10 * i + k) for i in range(n_objects)]
        hdus.append(fits.ImageHDU(wave, name=f"{arm}_WAVELENGTH"))
        hdus.append(fits.ImageHDU(np.array([f for f, _ in drawn], np.float32), name=f"{arm}_FLUX"))
        hdus.append(fits.ImageHDU(np.array([v for _, v in drawn], np.float32), name=f"{arm}_IVAR"))
        hdus.append(fits.ImageHDU(np.zeros((n_objects, n), np.uint32), name=f"{arm}_MASK"))
    if redshifts:
        columns = [fits.Column("TARGETID", "K", array=ids), fits.Column("Z", "D", array=[z] * n_objects),
                   fits.Column("ZERR", "D", array=[1e-5] * n_objects), fits.Column("ZWARN", "K", array=[0] * n_objects),
                   fits.Column("SPECTYPE", "6A", array=["GALAXY"] * n_objects)]  # fmt: skip
        hdus.append(fits.BinTableHDU.from_columns(columns, name="REDSHIFTS"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def make_sv0(path: Path, n_objects: int = 2, wave_name: str = "WAVE") -> Path:
    """An SV0 table: one wavelength column and one smoothed flux column per target, no errors."""
    wave = 3600 + 0.8 * np.arange(7781)
    columns = [fits.Column(wave_name, "D", array=wave)]
    for i in range(n_objects):
        smooth = np.convolve(galaxy_on(wave, seed=i)[0], np.ones(5) / 5, mode="same")
        columns.append(fits.Column(f"TARGET{35191325334702288 + i}", "D", array=smooth))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path, overwrite=True)
    return path


def make_lamost(path: Path, style: str = "image", andmask: np.ndarray | None = None) -> Path:
    """A LAMOST file, the older image of rows or the newer one-row table; gzipped when the path ends in .gz."""
    wave, flux, ivar = galaxy(loglam_min=3.5682, n=3909)
    mask = np.zeros(wave.size) if andmask is None else andmask
    rows = {"FLUX": flux, "IVAR": ivar, "WAVELENGTH": wave, "ANDMASK": mask, "ORMASK": mask}
    primary = fits.PrimaryHDU(np.array(list(rows.values()), np.float32) if style == "image" else None)
    primary.header.update({"TELESCOP": "LAMOST", "CLASS": "STAR", "SUBCLASS": "G7", "Z": -0.0005, "Z_ERR": 4e-5})
    primary.header.update({"PLANID": "B6202", "MJD": 55861, "SPID": 1, "FIBERID": 2, "RA": 353.7, "DEC": 28.9})
    primary.header.update({"VACUUM": True, "MAGTYPE": "ugriz", "MAG2": 17.27, "OBSID": 701002})
    hdus = [primary]
    if style == "table":
        columns = [fits.Column(k, f"{wave.size}E", array=[v]) for k, v in rows.items()]
        hdus.append(fits.BinTableHDU.from_columns(columns, name="COADD"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def make_sixdf(path: Path, z: float = 0.05, rows: int = 4, rest_frame: bool = True) -> Path:
    """A 6dFGS image: counts, variance, sky, wavelengths in air. rest_frame: header shifted as IRAF's dopcor does."""
    wave = 4036.8 + 1.543 * np.arange(2899)
    flux, ivar = galaxy_on(wave, z)
    image = np.stack([flux * 100, 1e4 / ivar, np.full(wave.size, 50.0), wave])[:rows]
    hdu = fits.PrimaryHDU(image.astype(np.float32))
    shift = 1 + (z if rest_frame else 0)
    hdu.header.update({"CRVAL1": wave[0] / shift, "CDELT1": 1.543 / shift, "CRPIX1": 1.0, "CUNIT1": "Angstroms"})
    hdu.header.update(
        {"TARGET": "g0022390-240737", "OBSRA": 5.66, "OBSDEC": -24.13, "Z": z, "Z_HELIO": z, "QUALITY": 4}
    )
    if rest_frame:
        hdu.header["DOPCOR01"] = f"{z} 7"
    hdu.writeto(path, overwrite=True)
    return path


# --- general formats ----------------------------------------------------------------------------------------------


def make_wcs1d(
    path: Path, *, log: bool = False, cards: dict | None = None, sigma: bool = False, shape: tuple[int, ...] = (-1,)
) -> Path:
    """A 1-D image with a linear (3800-9200 A) or log10 (DC-FLAG = 1) axis; cards are added to the header."""
    step, start = (1e-4, 3.58) if log else (1.5, 3800.0)
    axis = start + step * np.arange(3600)
    flux, ivar = galaxy_on(10.0**axis if log else axis)
    hdu = fits.PrimaryHDU(flux.reshape(shape))
    hdu.header.update({"CRVAL1": start, "CDELT1": step, "CRPIX1": 1, "DC-FLAG": int(log), **(cards or {})})
    hdus = [hdu, *([fits.ImageHDU(ivar**-0.5, name="SIGMA")] if sigma else [])]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def make_table(
    path: Path, columns: dict[str, np.ndarray] | None = None, units: dict[str, str] | None = None,
    cards: dict | None = None,
) -> Path:  # fmt: skip
    """A table in the format of the path's extension: .fits, .ecsv, .csv or .txt. Default: the galaxy in A."""
    from astropy.table import Table

    if columns is None:
        columns = dict(zip(("wave", "flux", "ivar"), galaxy(), strict=True))
        units = {"wave": "Angstrom"} if units is None else units
    table = Table(columns, meta=cards or {})
    for name, unit in (units or {}).items():
        table[name].unit = unit
    if path.suffix == ".fits":
        hdu = fits.BinTableHDU(np.asarray(table), name="SPECTRUM")
        for i, name in enumerate(table.colnames, start=1):
            if (units or {}).get(name):
                hdu.header[f"TUNIT{i}"] = units[name]
        hdu.header.update(cards or {})
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    elif path.suffix == ".ecsv":
        table.write(path, format="ascii.ecsv", overwrite=True)
    else:
        separator = "," if path.suffix == ".csv" else " "
        head = separator.join(f"{n}[{units[n]}]" if (units or {}).get(n) else n for n in columns)
        body = "\n".join(separator.join(f"{v:.8g}" for v in row) for row in zip(*columns.values(), strict=True))
        notes = "".join(f"# {key} = {value}\n" for key, value in (cards or {}).items())
        path.write_text(f"{notes}{head}\n{body}\n")
    return path


# --- bad files ----------------------------------------------------------------------------------------------------


def _sdss_with(**changes: np.ndarray) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        arrays = dict(zip(("wave", "flux", "ivar"), galaxy(), strict=True))
        for name, change in changes.items():
            arrays[name] = change(arrays[name])
        return make_sdss(path, **arrays)

    return make


def _truncated(path: Path) -> Path:
    make_sdss(path, *galaxy(), label={"spectype": "GALAXY", "z": 0.1})
    path.write_bytes(path.read_bytes()[:60_000])
    return path


def _text(content: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_text(content)
        return path

    return make


def _hdus(*hdus: Callable[[], fits.hdu.base._BaseHDU]) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        fits.HDUList([hdu() for hdu in hdus]).writeto(path, overwrite=True)
        return path

    return make


def _empty_table() -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns(
        [fits.Column(k, "E", array=[]) for k in ("loglam", "flux", "ivar", "and_mask")]
    )


def _ten_million() -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.zeros(10_000_000, np.int16))
    hdu.header.update({"CRVAL1": 3800.0, "CDELT1": 5e-4, "BZERO": 1.0})
    return hdu


def _directory(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _gzip_bomb(path: Path) -> Path:
    path.write_bytes(gzip.compress(bytes(80 * 2**20)))
    return path


def _swapped(wave: np.ndarray) -> np.ndarray:
    wave = wave.copy()
    wave[1000], wave[1001] = wave[1001], wave[1000]
    return wave


def _wrong_unit(column: str, unit: str) -> Callable[[Path], Path]:
    return lambda path: make_table(path, units={"wave": "Angstrom", column: unit})


def _in_nm(path: Path) -> Path:
    wave, flux, _ = galaxy()
    return make_table(path, {"wave": wave / 10, "flux": flux})


def _compressed() -> fits.CompImageHDU:
    return fits.CompImageHDU(np.ones((64, 64), np.int16))


def _pickle(path: Path) -> Path:
    path.write_bytes(pickle.dumps({"flux": [1.0]}))
    return path


# name -> (file name, maker, what the error must say)
BAD_FILES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "truncated": ("cut.fits", _truncated, r"truncated.*Download or copy"),
    "zero-byte": ("nothing.fits", _text(""), r"empty \(0 bytes\)"),
    "non-FITS": ("page.fits", _text("<!DOCTYPE html><html>404</html>"), r"web page"),
    "text named .fits": ("notes.fits", _text("Dear diary,\ntoday a quasar.\n"), r"no wavelength and flux"),
    "image-only": ("image.fits", _hdus(lambda: fits.PrimaryHDU(np.ones((64, 64)))), r"image of shape.*Extract"),
    "empty-table": ("empty.fits", _hdus(fits.PrimaryHDU, _empty_table), r"empty \(0 pixels\)"),
    "headers only": ("headers.fits", _hdus(fits.PrimaryHDU), r"headers only"),
    "all-NaN": ("nan.fits", _sdss_with(flux=lambda f: f * np.nan), r"NaN"),
    "constant": ("flat.fits", _sdss_with(flux=lambda f: 0 * f + 3), r"constant \(3\)"),
    "negative-ivar": ("negative.fits", _sdss_with(ivar=lambda v: -v), r"ivar is above 0"),
    "non-monotonic": ("unsorted.fits", _sdss_with(wave=_swapped), r"not in order.*Sort"),
    "out-of-range": ("infrared.fits", _sdss_with(wave=lambda w: w * 3), r"outside 4000-9000 A"),
    "1-pixel": ("one.fits", _sdss_with(wave=lambda w: w[:1], flux=lambda f: f[:1], ivar=lambda v: v[:1]), r"1 pixel"),
    "10-million-pixel": ("huge.fits", _hdus(fits.PrimaryHDU, _ten_million), r"10,000,000 pixels; at most 1,000,000"),
    "directory": ("folder.fits", _directory, r"is a directory"),
    "wavelength in Hz": ("hz.fits", _wrong_unit("wave", "Hz"), r"'Hz', which is no wavelength"),
    "wavelength in s": ("s.ecsv", _wrong_unit("wave", "s"), r"'s', which is no wavelength"),
    "flux in m": ("m.fits", _wrong_unit("flux", "m"), r"'m', which is no flux"),
    "nm without a unit": (
        "nm.csv", _in_nm, r"no unit.*Give the unit",
    ),
    "compressed image": (
        "packed.fits", _hdus(fits.PrimaryHDU, _compressed), r"compressed.*funpack",
    ),
    "pickle": ("spectrum.pkl", _pickle, r"pickle, which is never loaded"),
    "gzip bomb": ("bomb.fits.gz", _gzip_bomb, r"grows beyond"),
}  # fmt: skip


def make_bad(name: str, folder: Path) -> Path:
    """The bad file of that name, made in folder."""
    file_name, make, _ = BAD_FILES[name]
    return make(folder / file_name)
