"""Packed sets: many spectra with their labels in one file, as arrays.

The paper's public set (Zhong et al. 2024) is FITS tables with int_flux (N, 3600), CLASS, SUBCLASS ("nan" when blank),
Z, PLATE, MJD, FIBERID. It has neither ivar nor, in what the authors' programs read, wavelengths: unless the file has a
column wave or loglam, ASSUMED says which are taken. An .npz has flux (N, n), wave or loglam (n,) or (N, n), class, z,
and may have ivar, subclass, id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from engine.labelled.catalog import KINDS, CatalogError, Entry, Kind, entries
from engine.readers.clean import spectrum
from engine.spectrum import Spectrum

ASSUMED = (4000.0, 9000.0)  # Angstrom, vacuum, in equal steps: the range that the paper interpolates to (section 2.1)
NAMES = {"flux": ("FLUX", "INT_FLUX"), "class": ("CLASS", "CLS", "SPECTYPE"), "id": ("ID", "OBJECT_ID", "TARGETID")}
_PACKED = Kind("packed", ("OBJECT_ID",), "CLASS", "Z", split="SPLIT")


@dataclass(frozen=True, eq=False)
class Packed:
    """N spectra. wave : (n,) or (N, n) Angstrom, vacuum; ivar None when the file has none; entries : their labels;
    assumed : what had to be assumed, in words, or ""."""

    path: Path
    wave: NDArray[np.float64]
    flux: NDArray[Any]
    ivar: NDArray[Any] | None
    entries: tuple[Entry, ...]
    assumed: str

    def spectra(self) -> Iterator[tuple[Entry, Spectrum | str]]:
        """Each label with its spectrum, or with the reason why that cannot be used."""
        wave = np.broadcast_to(self.wave, self.flux.shape)
        for k, entry in enumerate(self.entries):
            try:
                ivar = None if self.ivar is None else self.ivar[k]
                where = f"{self.path.name}[{k}]"
                yield entry, spectrum(where, wave[k], self.flux[k], ivar, object_id=entry.name, flux_unit="")
            except ValueError as error:
                yield entry, f"cannot be used: {error}"


def is_packed(path: Path) -> bool:
    """True for a file with a two-dimensional flux and a class for each row."""
    if path.suffix == ".npz":
        return True
    if not path.is_file() or not path.name.lower().endswith((".fits", ".fit", ".fits.gz")):
        return False
    with fits.open(path) as hdus:
        names = {c.name.upper() for hdu in hdus if isinstance(hdu, fits.BinTableHDU) for c in hdu.columns}
    return bool(names & set(NAMES["flux"])) and bool(names & set(NAMES["class"])) and "Z" in names


def read_packed(path: Path) -> Packed:
    """A packed set. Raises CatalogError naming the array that is missing or of the wrong shape."""
    columns = _arrays(path)
    flux = columns.get("FLUX", columns.get("INT_FLUX"))
    label = next((columns[name] for name in NAMES["class"] if name in columns), None)
    for name, found in (("flux", flux), ("class", label), ("z", columns.get("Z"))):
        if found is None:
            raise CatalogError(f"{path}: array {name!r} is missing; see docs/own-data.md for what a packed set holds")
    flux = np.asarray(flux)
    if flux.ndim != 2:
        raise CatalogError(f"{path}: array 'flux' has shape {flux.shape}; it must be (objects, pixels)")
    wave, assumed = _wave(path, columns, flux.shape)
    ivar = columns.get("IVAR")
    sdss = KINDS[0]
    if all(name in columns for name in sdss.id):
        kind, columns = sdss, columns | {"CLASS": label}
    else:
        names = next((columns[n] for n in NAMES["id"] if n in columns), np.arange(len(flux)).astype(str))
        kind, columns = _PACKED, columns | {"CLASS": label, "OBJECT_ID": names}
    return Packed(path, wave, flux, ivar, entries(kind, columns), assumed)


def _wave(path: Path, columns: dict[str, Any], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], str]:
    if "WAVE" in columns:
        wave, assumed = np.asarray(columns["WAVE"], dtype=float), ""
    elif "LOGLAM" in columns:
        wave, assumed = 10 ** np.asarray(columns["LOGLAM"], dtype=float), ""
    else:
        wave = np.linspace(*ASSUMED, shape[1])
        assumed = f"{path.name} has no wavelengths: {ASSUMED[0]:g}-{ASSUMED[1]:g} A in {shape[1]} equal steps assumed"
    if wave.shape not in (shape, shape[1:]):
        raise CatalogError(f"{path}: wavelengths have shape {wave.shape}, flux {shape}; they do not fit")
    return wave, assumed


def _arrays(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as data:
                return {name.upper(): data[name] for name in data.files}
        with fits.open(path, memmap=True) as hdus:
            table = next(hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU))
            return {name.upper(): np.array(table.data[name]) for name in table.columns.names}
    except (OSError, ValueError, StopIteration) as error:
        raise CatalogError(f"{path}: cannot be read as a packed set ({error})") from error
