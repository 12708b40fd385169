"""PCA templates of a template fitter, from the .npz files of a template folder (docs/benchmarks.md).

redrock reads FITS files whose headers say type, subtype, redshifts and absorption by the intergalactic medium; the
.npz hold wavelengths and basis vectors, and of the headers nothing or the redshifts only. What they lack stands in the
tables below, from redrock's own defaults (redrock.templates.Template).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.mock.templates import load

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One file: its spectral type and subtype, the array of its vectors, the redshifts scanned, its IGM model.

    scan : (z_min, z_max, step in log10(1 + z)); None when the file has them as z
    """

    path: str
    spectype: str
    subtype: str
    vectors: str
    scan: tuple[float, float, float] | None
    igm: str = "None"


# spEigenGal-55740 begins at 1800 A: at more than z = .97 it would not cover the blue end of the spectra.
_GALAXIES = {
    name: (Row(f"idlspec2d/spEigenGal-{name}.npz", "GALAXY", "", "flux", (-0.005, z_max, 3e-4)),)
    for name, z_max in (("56436", 1.7), ("55740", 0.97))
}
_QUASARS = {
    "v1.1": (
        Row("redrock-templates/qso_LOZ-v1.1.npz", "QSO", "LOZ", "basis", None, "Kamble20"),
        Row("redrock-templates/qso_HIZ-v1.1.npz", "QSO", "HIZ", "basis", None, "Kamble20"),
    ),
    "v0.1": (Row("redrock-templates/qso_None-v0.1.npz", "QSO", "", "basis", (0.05, 6.0, 5e-4), "Calura12"),),
}
_STARS = tuple(
    Row(f"redrock-templates/star_{kind}.npz", "STAR", kind, "basis", (-0.002, 0.00201, 1.737e-5))
    for kind in ("B", "A", "F", "G", "K", "M", "WD", "CV")
)
GALAXIES, QUASARS = tuple(_GALAXIES), tuple(_QUASARS)


@dataclass(frozen=True, eq=False)
class Basis:
    """Basis vectors of one type: wave (n,) rest frame, vacuum, A; vectors (k, n); redshifts (Z,) to scan."""

    row: Row
    wave: FloatArray
    vectors: FloatArray
    redshifts: FloatArray


def rows(galaxies: str = GALAXIES[0], quasars: str = QUASARS[0]) -> tuple[Row, ...]:
    """The files of a set of templates. Raises ValueError naming the sets that there are."""
    for what, chosen, table in (("galaxies", galaxies, _GALAXIES), ("quasars", quasars, _QUASARS)):
        if chosen not in table:
            raise ValueError(f"no templates {chosen!r} of {what}; there are: {', '.join(table)}")
    return (*_GALAXIES[galaxies], *_QUASARS[quasars], *_STARS)


def load_bases(folder: Path, chosen: Sequence[Row]) -> tuple[Basis, ...]:
    """Read them. Raises TemplateError naming a missing or changed file, ValueError naming an array that is missing."""
    return tuple(_basis(folder, row) for row in chosen)


def _basis(folder: Path, row: Row) -> Basis:
    arrays = load(folder, row.path)
    missing = [key for key in ("wave", row.vectors, *(() if row.scan else ("z",))) if key not in arrays]
    if missing:
        raise ValueError(f"{folder / row.path}: array {missing[0]!r} is missing; it holds {', '.join(arrays)}")
    redshifts = np.asarray(arrays["z"], dtype=np.float64) if row.scan is None else _scan(*row.scan)
    vectors = np.asarray(arrays[row.vectors], dtype=np.float64)
    return Basis(row, np.asarray(arrays["wave"], dtype=np.float64), vectors, redshifts)


def _scan(low: float, high: float, step: float) -> FloatArray:
    return np.asarray(10 ** np.arange(np.log10(1 + low), np.log10(1 + high), step) - 1)
