"""Grids: the wavelengths a network reads, the redshifts it answers on, and the way from a Spectrum to the first.

All wavelengths are vacuum, observed frame, Angstrom.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.spectrum import Spectrum

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LogGrid:
    """Constant step in log10(wave). SDSS's own pixels are step 1e-4 with loglam a multiple of the step."""

    loglam_min: float = 3.5563
    step: float = 1e-4
    n: int = 4096
    kind: str = "log"

    @cached_property
    def wave(self) -> FloatArray:
        """(n,) pixel centres, Angstrom."""
        return np.asarray(10.0 ** (self.loglam_min + self.step * np.arange(self.n)))

    @cached_property
    def edges(self) -> FloatArray:
        """(n + 1,) pixel edges, Angstrom."""
        return np.asarray(10.0 ** (self.loglam_min + self.step * (np.arange(self.n + 1) - 0.5)))

    def to_dict(self) -> dict[str, Any]:
        """The grid as plain numbers, for a model card."""
        return asdict(self)

    @classmethod
    def covering(cls, wave_range: tuple[float, float], step: float = 1e-4, multiple: int = 64) -> LogGrid:
        """The pixels of SDSS (log10 wave a multiple of step) over wave_range, padded to the red to a multiple."""
        first = math.floor(math.log10(wave_range[0]) / step + 1e-6)
        n = math.ceil(math.log10(wave_range[1]) / step) - first + 1
        return cls(loglam_min=round(first * step, 10), step=step, n=multiple * math.ceil(n / multiple))


@dataclass(frozen=True)
class LinearGrid:
    """Constant step in wave; the paper's is 4000-9000 A in 5001 pixels (section 2.1)."""

    wave_min: float = 4000.0
    wave_max: float = 9000.0
    n: int = 5001
    kind: str = "linear"

    @cached_property
    def wave(self) -> FloatArray:
        """(n,) pixel centres, Angstrom."""
        return np.linspace(self.wave_min, self.wave_max, self.n)

    def to_dict(self) -> dict[str, Any]:
        """The grid as plain numbers, for a model card."""
        return asdict(self)


Grid = LogGrid | LinearGrid


@dataclass(frozen=True)
class ZGrid:
    """Redshift bins of constant width in log10(1 + z): bin i is centred on i * step. Constant velocity width."""

    n: int
    step: float = 4e-4

    @classmethod
    def covering(cls, z_max: float, step: float = 4e-4) -> ZGrid:
        """The smallest grid from z = 0 that holds z_max with 4 bins to spare."""
        return cls(n=int(np.ceil(np.log10(1 + z_max) / step)) + 5, step=step)

    def to_dict(self) -> dict[str, Any]:
        """The grid as plain numbers, for a model card."""
        return asdict(self)

    @cached_property
    def z(self) -> FloatArray:
        """(n,) bin centres."""
        return np.asarray(10.0 ** (self.step * np.arange(self.n)) - 1)

    @cached_property
    def width(self) -> FloatArray:
        """(n,) bin widths in z."""
        edges = 10.0 ** (self.step * (np.arange(self.n + 1) - 0.5))
        return np.asarray(np.diff(edges))


def regrid(spectrum: Spectrum, grid: Grid) -> tuple[Float32Array, Float32Array]:
    """Put a spectrum on a grid: (flux, ivar), each (grid.n,) float32; ivar is 0 where nothing good lies below.

    A log grid takes SDSS's own pixels as they are and averages others with inverse-variance weights, each pixel
    spread over its own width, so information (the sum of ivar) is kept. A linear grid interpolates linearly, as
    the paper does (section 2.1); there bad pixels keep their flux, for the paper masks nothing.
    """
    if isinstance(grid, LinearGrid):
        return _interpolate(spectrum, grid)
    position = (np.log10(spectrum.wave) - grid.loglam_min) / grid.step
    nearest = np.rint(position)
    if np.abs(position - nearest).max() < 0.02 and (np.diff(nearest) >= 1).all():
        flux, ivar = np.zeros(grid.n), np.zeros(grid.n)
        inside = (nearest >= 0) & (nearest < grid.n) & spectrum.good
        pixel = nearest[inside].astype(int)
        flux[pixel], ivar[pixel] = spectrum.flux[inside], spectrum.ivar[inside]
    else:
        flux, ivar = _rebin(spectrum, grid)
    return _single(flux), _single(ivar)


def _interpolate(spectrum: Spectrum, grid: LinearGrid) -> tuple[Float32Array, Float32Array]:
    usable = np.isfinite(spectrum.flux)
    wave = spectrum.wave[usable]
    flux = np.interp(grid.wave, wave, spectrum.flux[usable], left=0.0, right=0.0)
    ivar = np.interp(grid.wave, wave, spectrum.ivar[usable], left=0.0, right=0.0)
    return _single(flux), _single(ivar)


def _single(values: FloatArray) -> Float32Array:
    """As float32; what lies beyond is infinite, and `classify.refusal` says so."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _rebin(spectrum: Spectrum, grid: LogGrid) -> tuple[FloatArray, FloatArray]:
    gaps = np.diff(spectrum.wave)
    # A pixel reaches half-way to its nearer neighbour, so that a gap between arms stays a gap.
    half = 0.5 * np.minimum(np.r_[gaps[:1], gaps], np.r_[gaps, gaps[-1:]])
    good = spectrum.good
    low, high = (spectrum.wave - half)[good], (spectrum.wave + half)[good]
    ivar, flux = spectrum.ivar[good], spectrum.flux[good]
    knots = np.stack([low, high], axis=1).ravel()

    def integral(weight: FloatArray) -> FloatArray:
        """Sum of weight between the grid's edges, each pixel's weight spread evenly over its width."""
        steps = np.zeros(knots.size)
        steps[1::2] = weight
        return np.asarray(np.diff(np.interp(grid.edges, knots, np.cumsum(steps))))

    covered = integral(high - low) / np.diff(grid.edges)
    information = integral(ivar)
    keep = (covered > 0.5) & (information > 0)
    flux_out = np.divide(integral(ivar * flux), information, out=np.zeros(grid.n), where=keep)
    return flux_out, np.where(keep, information, 0.0)
