"""The ingredients of mock spectra: a folder of published templates, put on one rest-frame grid.

The folder (option --templates or $GASNET_TEMPLATES) holds the public template sets named in docs/simulation.md, one
sub-folder each. Nothing of it is part of this repository; ingredients.csv beside this file tells the sha256 of each
file that is read. All wavelengths here are vacuum, Angstrom.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import os
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engine.grid import Grid, LinearGrid, LogGrid
from engine.prediction import C_KMS

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

REST = LogGrid(loglam_min=2.9000, step=1e-4, n=11300)  # 794-10714 A, the pixels of SDSS (69.03 km/s)
PIXEL_KMS = C_KMS * 1e-4 * np.log(10)
SPLITS = ("train", "validation", "test")


class TemplateError(ValueError):
    """The template folder or a file in it is missing. The message names it and how to set it."""


def find_templates(folder: str | Path | None = None) -> Path:
    """The template folder: the argument, else $GASNET_TEMPLATES. Raises TemplateError saying how to set it."""
    chosen = folder or os.environ.get("GASNET_TEMPLATES")
    if not chosen:
        raise TemplateError("no template folder: give --templates FOLDER or set $GASNET_TEMPLATES (docs/simulation.md)")
    path = Path(chosen)
    if not path.is_dir():
        raise TemplateError(f"template folder {path} not found; give --templates FOLDER or set $GASNET_TEMPLATES")
    return path


def load(folder: Path, name: str) -> dict[str, NDArray]:
    """The arrays of one .npz of the folder. Raises TemplateError naming a file that is missing or changed."""
    with np.load(_checked(folder, name), allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def load_table(folder: Path, name: str) -> FloatArray:
    """A whitespace-separated table of the folder as a float array. Raises TemplateError as load does."""
    return np.loadtxt(_checked(folder, name))


def load_fits(folder: Path, name: str, hdu: int) -> dict[str, FloatArray]:
    """The columns of a FITS table of the folder, as floats. Raises TemplateError as load does."""
    with fits.open(_checked(folder, name)) as hdus:
        table = hdus[hdu].data
        return {key: np.asarray(table[key], dtype=np.float64) for key in table.names}


def load_images(folder: Path, name: str) -> list[FloatArray]:
    """The images of a FITS file of the folder, as floats. Raises TemplateError as load does."""
    with fits.open(_checked(folder, name)) as hdus:
        return [np.asarray(hdu.data, dtype=np.float64) for hdu in hdus if hdu.data is not None]


@functools.cache
def ingredients() -> dict[str, dict[str, str]]:
    """Template file -> its row of ingredients.csv: path, sha256, used for."""
    with Path(__file__).with_name("ingredients.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def _checked(folder: Path, name: str) -> Path:
    """The path of a template file that is there and is the one models are trained on."""
    path, row = folder / name, ingredients().get(name)
    known = f" (sha256 {row['sha256']})" if row else ""
    if not path.is_file():
        raise TemplateError(
            f"{path}{known} is missing from the template folder; docs/simulation.md lists what belongs there"
        )
    if row and not os.environ.get("GASNET_TEMPLATES_UNCHECKED"):
        found = _sha256(path, path.stat().st_mtime_ns)
        if found != row["sha256"]:
            raise TemplateError(
                f"{path} has sha256 {found}, not {row['sha256']} of engine/mock/ingredients.csv: mock spectra would "
                "not be those that models are trained on. Restore it, or set GASNET_TEMPLATES_UNCHECKED=1 for your own"
            )
    return path


@functools.cache
def _sha256(path: Path, changed: int) -> str:
    """Hex digest of a file as of its time of change; read once per process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def air_to_vacuum(wave: FloatArray) -> FloatArray:
    """Morton (2000), IAU standard, above 2000 A; below, tables are in vacuum already."""
    s2 = (1e4 / np.maximum(wave, 2000.0)) ** 2
    n = 1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2)
    return np.where(wave > 2000.0, wave * n, wave)


def to_rest_grid(wave: FloatArray, flux: NDArray, sigma_kms: float = 0.0) -> Float32Array:
    """(m, n) spectra at wave (n,) -> (m, REST.n): averaged over each pixel, edges held, then smoothed by sigma_kms."""
    flux = np.atleast_2d(flux).astype(np.float64)
    wave = np.asarray(wave, dtype=np.float64)
    widths = np.gradient(wave)
    total = np.concatenate([np.zeros((flux.shape[0], 1)), np.cumsum(flux * widths, axis=1)], axis=1)
    knots = np.r_[wave - widths / 2, wave[-1] + widths[-1] / 2]
    edges = np.clip(REST.edges, knots[0], knots[-1])
    span = np.diff(edges)
    out = np.empty((flux.shape[0], REST.n), dtype=np.float32)
    inside = span > 0.3 * np.diff(REST.edges)
    for k in range(flux.shape[0]):
        mean = np.diff(np.interp(edges, knots, total[k])) / np.where(span > 0, span, 1)
        out[k] = np.interp(np.arange(REST.n), np.flatnonzero(inside), mean[inside])
    if sigma_kms > 0:
        out = gaussian_filter1d(out, sigma_kms / PIXEL_KMS, axis=1, mode="nearest")
    return out


def split_of(n: int, split: str) -> NDArray[np.bool_]:
    """(n,) which of n templates belong to a split: 80 % train, 10 % validation, 10 % test, by position.

    Templates are split, not noise draws, so that a validation spectrum is of an object never trained on.
    """
    turn = np.arange(n) % 10
    return {"train": turn < 8, "validation": turn == 8, "test": turn == 9}[split]


def shifted(templates: Float32Array, rows: NDArray[np.int64], z: FloatArray, grid: LogGrid) -> Float32Array:
    """(B, grid.n): templates[rows] redshifted by z onto an observed grid of the same step; edges are held."""
    offset = (grid.loglam_min - REST.loglam_min - np.log10(1 + z)) / REST.step
    whole = np.floor(offset).astype(int)
    fraction = (offset - whole).astype(np.float32)
    out = np.empty((len(rows), grid.n), dtype=np.float32)
    for k, (row, start) in enumerate(zip(rows, whole, strict=True)):
        low, high = max(start, 0), min(start + grid.n + 1, REST.n)
        piece = templates[row, low:high]
        if low != start or high != start + grid.n + 1:
            piece = np.pad(piece, (low - start, start + grid.n + 1 - high), mode="edge")
        out[k] = piece[:-1] + fraction[k] * (piece[1:] - piece[:-1])
    return out


def add_lines(
    flux: Float32Array, grid: Grid, wave: float, z: FloatArray, sigma_kms: FloatArray, amount: FloatArray
) -> None:
    """Add to each row one Gaussian line of rest wavelength `wave` (A), of integrated flux `amount`
    (flux unit x A, observed frame) and dispersion sigma_kms; in place. Pixels may be logarithmic or linear."""
    if not len(z):
        return
    observed = wave * (1 + z)
    if isinstance(grid, LinearGrid):
        width = np.full(len(z), (grid.wave_max - grid.wave_min) / (grid.n - 1))
        centre = (observed - grid.wave_min) / width
    else:
        width = observed * grid.step * np.log(10)  # A
        centre = (np.log10(observed) - grid.loglam_min) / grid.step
    sigma = sigma_kms / C_KMS * observed / width
    half = int(np.ceil(4 * sigma.max())) + 1
    rows = np.flatnonzero((centre > -half) & (centre < grid.n + half) & (amount != 0))
    if rows.size == 0:
        return
    middle = np.rint(centre[rows]).astype(int)
    pixel = middle[:, None] + np.arange(-half, half + 1)
    peak = amount[rows] / (np.sqrt(2 * np.pi) * sigma[rows] * width[rows])
    profile = peak[:, None] * np.exp(-0.5 * ((pixel - centre[rows, None]) / sigma[rows, None]) ** 2)
    inside = (pixel >= 0) & (pixel < grid.n)
    # Pixels of one row are distinct, so plain indexed addition is safe; those outside add nothing to pixel 0.
    flux[rows[:, None], np.where(inside, pixel, 0)] += np.where(inside, profile, 0).astype(np.float32)
