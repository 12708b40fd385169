"""Bases: rest-frame spectra of each type in a few components, what a classical template fit adds up.

A basis is made of this project's own noise-free mock spectra (engine/mock/components.py, `gasnet basis`) and shipped
in assets/bases as one safetensors file with a card. Wavelengths are vacuum, rest frame, Angstrom.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from scipy import sparse
from scipy.interpolate import CubicSpline

from engine.grid import LogGrid
from engine.lines import load_lines
from engine.prediction import C_KMS
from engine.registry import ModelError, sha256_of
from engine.survey import assets_dir

FloatArray = NDArray[np.float64]

PHASES = 4  # sub-pixel positions that components are kept at: steps of 17 km/s
BINS = {"STAR": 4, "GALAXY": 2, "QSO": 4}  # pixels in one for a first look, whose scan they must resolve
LYMAN_ALPHA = 1215.67
# Narrow emission lines that are one template each: {key of assets/lines.csv: relative flux}. Ratios that atomic
# physics fixes are fixed; what gas and dust change is free.
LINE_GROUPS: tuple[Mapping[str, float], ...] = (
    {"O_II_3727": 1.0}, {"O_II_3730": 1.0}, {"Ne_III_3870": 1.0, "Ne_III_3969": 0.31},
    {"Hg": 0.47, "Hd": 0.26, "He": 0.16, "Hz": 0.1}, {"Hb": 1.0}, {"O_III_5008": 1.0, "O_III_4960": 0.336},
    {"Ha": 1.0}, {"N_II_6585": 1.0, "N_II_6550": 0.338}, {"S_II_6718": 1.0}, {"S_II_6733": 1.0},
    {"O_I_6302": 1.0, "O_I_6366": 0.33}, {"S_III_9071": 1.0},
)  # fmt: skip
LINE_SIGMAS = (45.0, 85.0, 140.0, 260.0)  # km/s, the instrument included; widths in between are mixtures


@dataclass(frozen=True, eq=False)
class Basis:
    """Components of one type over one range of redshifts.

    name, spectype : as in the card; z_range : redshifts it is made for
    components : (K, n) the mean spectrum, then principal components, each times the standard deviation of its scores
    grid : rest-frame pixels; misfit : scatter of real mock spectra around the basis, relative, which no noise explains
    with_lines : narrow emission lines are added as templates of their own
    """

    name: str
    spectype: str
    z_range: tuple[float, float]
    components: FloatArray
    grid: LogGrid
    misfit: float
    floor_kms: float
    with_lines: bool
    bin: int = 1  # pixels of the file in one

    @cached_property
    def coarse(self) -> Basis:
        """The same for a first look: each pixel the mean of BINS. The bins are those of log10 wave = 0."""
        width, first = BINS[self.spectype], -round(self.grid.loglam_min / self.grid.step) % BINS[self.spectype]
        n = (self.grid.n - first) // width
        binned = self.components[:, first : first + n * width].reshape(-1, n, width).mean(axis=2)
        start = self.grid.loglam_min + (first + 0.5 * (width - 1)) * self.grid.step
        grid = LogGrid(start, width * self.grid.step, n)
        return replace(self, components=binned, grid=grid, misfit=self.misfit / np.sqrt(width), bin=width)

    @cached_property
    def phases(self) -> FloatArray:
        """(PHASES, K, n) components at index + phase / PHASES, by cubic splines."""
        at = np.arange(self.grid.n)
        spline = CubicSpline(at, self.components, axis=1)
        return np.stack([spline(np.minimum(at + f / PHASES, self.grid.n - 1.0)) for f in range(PHASES)])

    @cached_property
    def lines(self) -> tuple[NDArray[np.int64], FloatArray]:
        """Where narrow lines are, and their shapes: pixels (U,), and (PHASES, L, U) of unit flux per Angstrom."""
        if not self.with_lines:
            return np.empty(0, np.int64), np.empty((PHASES, 0, 0))
        wave = {line.key: line.wave for line in load_lines()}
        at = {key: (np.log10(wave[key]) - self.grid.loglam_min) / self.grid.step for g in LINE_GROUPS for key in g}
        pixel_kms = C_KMS * self.grid.step * np.log(10)
        blur = pixel_kms**2 * (1 - self.bin**-2) / 12  # of the bins, beyond that of the file's pixels
        reach = int(np.ceil(4 * np.hypot(max(LINE_SIGMAS), np.sqrt(blur)) / pixel_kms)) + 1
        near = [np.arange(round(c) - reach, round(c) + reach + 1) for c in at.values()]
        pixels = np.unique(np.concatenate(near))
        shapes = np.zeros((PHASES, len(LINE_GROUPS) * len(LINE_SIGMAS), pixels.size))
        for f in range(PHASES):
            for k, group in enumerate(LINE_GROUPS):
                for j, sigma_kms in enumerate(LINE_SIGMAS):
                    kms = float(np.sqrt(sigma_kms**2 + blur))
                    for key, ratio in group.items():
                        sigma = kms / C_KMS * wave[key]  # A
                        offset = (pixels + f / PHASES - at[key]) * pixel_kms / kms
                        shape = np.exp(-0.5 * offset**2) / (np.sqrt(2 * np.pi) * sigma)
                        shapes[f, k * len(LINE_SIGMAS) + j] += ratio * np.where(np.abs(offset) < 4.5, shape, 0)
        return pixels, shapes

    @cached_property
    def sparse_lines(self) -> list[tuple[sparse.csr_array, sparse.csr_array]]:
        """For each phase the shapes of `lines` (L, U), and the products of all pairs of them (L * L, U; zero
        below the diagonal): most of either is zero, as few lines overlap."""
        found = []
        for shapes in self.lines[1]:
            upper = np.triu(np.ones((len(shapes), len(shapes))))[:, :, None]
            pairs = (shapes[:, None] * shapes[None] * upper).reshape(-1, shapes.shape[1])
            found.append((sparse.csr_array(shapes), sparse.csr_array(pairs)))
        return found


def bases_dir() -> Path:
    """The folder of the shipped basis."""
    return assets_dir() / "bases"


def load_bases(folder: str | Path | None = None) -> tuple[Basis, ...]:
    """The bases of a folder, by default the shipped ones; loaded once.

    Raises ModelError naming the file that is missing, damaged, or does not match its card.
    """
    return _load(Path(folder) if folder else bases_dir())


@cache
def _load(folder: Path) -> tuple[Basis, ...]:
    path = folder / "card.json"
    remedy = "restore assets/bases, or make one with `gasnet basis`"
    try:
        card: dict[str, Any] = json.loads(path.read_text())
        file = folder / card["file"]
        digest, grid, entries = card["sha256"], LogGrid(**card["grid"]), card["bases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a readable card of a basis ({error}); {remedy}") from error
    if not file.is_file():
        raise ModelError(f"{file}: named in card.json, is missing; {remedy}")
    if sha256_of(file) != digest:
        raise ModelError(f"{file}: sha256 differs from card.json; {remedy}")
    try:
        tensors = load_file(str(file))
    except SafetensorError as error:
        raise ModelError(f"{file}: not a safetensors file: {error}; {remedy}") from error
    found = []
    for entry in entries:
        components = tensors.get(entry["name"])
        if components is None or components.shape != (entry["components"], grid.n):
            shape = None if components is None else components.shape
            raise ModelError(f"{file}: tensor {entry['name']!r} has shape {shape}, not that of card.json; {remedy}")
        low, high = entry["z_range"]
        found.append(
            Basis(entry["name"], entry["spectype"], (low, high), components.astype(np.float64), grid,
                  entry["misfit"], entry["floor_kms"], entry["lines"])
        )  # fmt: skip
    return tuple(found)


def basis_for(bases: tuple[Basis, ...], spectype: str, z: float) -> Basis | None:
    """The basis of a type whose redshift range holds z, or lies nearest to it; None when the type has none."""
    of_type = [b for b in bases if b.spectype == spectype]
    return min(of_type, key=lambda b: max(b.z_range[0] - z, z - b.z_range[1]), default=None)
