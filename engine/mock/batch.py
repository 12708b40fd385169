"""What every simulation hands over, and the priors that all share: how redshifts and SNRs are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.grid import Grid, LogGrid
from engine.mock.instrument import SDSS_GRID, Observed
from engine.mock.templates import Float32Array, FloatArray

FLAT_SHARE = 0.4  # of the objects have other redshifts than real samples: rare ones are learned too (docs/log.md)
NEARBY_SHARE, NEARBY_Z = 0.6, 1.0  # of those, the part that is flat in log z up to this z; the rest in log(1 + z)
SNR_LIMITS = (0.4, 300.0)


@dataclass(frozen=True, eq=False)
class MockBatch:
    """B mock spectra on the survey's native pixels with their truth.

    flux, ivar : (B, n) float32; ivar is 0 at bad pixels, flux too where nothing was observed
    label : (B,) class index; z : (B,) redshift, 0 for stars; snr : (B,) the median SNR per native pixel asked for
    grid : the native pixels
    vdisp : (B,) velocity dispersion that the lines of galaxies were drawn with, km/s, NaN for others; or None
    """

    flux: Float32Array
    ivar: Float32Array
    label: NDArray[np.int64]
    z: FloatArray
    snr: FloatArray
    grid: Grid = SDSS_GRID
    vdisp: FloatArray | None = None

    @property
    def wave(self) -> FloatArray:
        """(n,) native pixel centres, vacuum, observed frame, Angstrom."""
        return self.grid.wave

    def first(self, n: int) -> MockBatch:
        """The first n spectra."""
        vdisp = None if self.vdisp is None else self.vdisp[:n]
        return MockBatch(self.flux[:n], self.ivar[:n], self.label[:n], self.z[:n], self.snr[:n], self.grid, vdisp)

    @classmethod
    def joined(cls, batches: Sequence[MockBatch]) -> MockBatch:
        """Batches of the same pixels as one, in order."""
        parts = {
            key: np.concatenate([getattr(b, key) for b in batches]) for key in ("flux", "ivar", "label", "z", "snr")
        }
        return cls(**parts, grid=batches[0].grid)


class Scene(Protocol):
    """How one survey's spectra come about: its classes, its instrument."""

    instrument: Any

    @property
    def grid(self) -> Grid:
        """Native pixels."""
        ...

    @property
    def light_grid(self) -> LogGrid:
        """The pixels that noise-free spectra are made on."""
        ...

    def make(self, wanted: NDArray[np.int64], rng: np.random.Generator) -> MockBatch:
        """Spectra of the wanted class indices (B,)."""
        ...

    def observe(self, clean: Float32Array, snr: FloatArray, rng: np.random.Generator) -> Observed:
        """Any noise-free spectra (B, light_grid.n), in any unit, as the survey sees them at a median SNR (B,)."""
        ...


def free_redshifts(z_range: tuple[float, float], n: int, rng: np.random.Generator) -> FloatArray:
    """(n,) redshifts flatter than nature's: flat in log z nearby, where Seyferts and dwarfs are rare in samples and
    common in the sky, and flat in log(1 + z) over the whole range."""
    low, high = z_range
    z = np.expm1(rng.uniform(np.log1p(low), np.log1p(high), n))
    nearby = np.exp(rng.uniform(np.log(max(low, 0.01)), np.log(min(high, max(NEARBY_Z, 1.2 * low))), n))
    return np.where(rng.random(n) < NEARBY_SHARE, nearby, z)


@dataclass(frozen=True)
class Redshifts:
    """A mixture of Beta distributions, each stretched over its own range: (weight, low, high, mean, concentration).

    Concentration 2 is nearly flat; the larger, the narrower around the mean.
    """

    parts: tuple[tuple[float, float, float, float, float], ...]

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """(n,) redshifts."""
        weights = np.array([part[0] for part in self.parts])
        which = rng.choice(len(self.parts), n, p=weights / weights.sum())
        z = np.empty(n)
        for k, (_, low, high, mean, concentration) in enumerate(self.parts):
            here = np.flatnonzero(which == k)
            t = (mean - low) / (high - low)
            z[here] = low + (high - low) * rng.beta(concentration * t, concentration * (1 - t), here.size)
        return z


class Depth:
    """SNR, lognormal and falling with redshift as (1 + z)^-slope, with the wanted mean over a class's redshifts."""

    def __init__(
        self, mean: float, scatter: float, slope: float = 0.0, lowest: float = SNR_LIMITS[0],
        redshifts: Redshifts | None = None,
    ) -> None:  # fmt: skip
        self.scatter, self.slope, self.lowest, self.scale = scatter, slope, lowest, mean
        rng = np.random.default_rng(17)
        z = redshifts.draw(20_000, rng) if redshifts else np.zeros(20_000)
        noise = rng.normal(0, 1, z.size)
        for _ in range(6):  # clipping moves the mean
            self.scale *= mean / float(self._snr(z, noise).mean())

    def draw(self, z: FloatArray, rng: np.random.Generator) -> FloatArray:
        """(B,) SNRs for redshifts z (B,)."""
        return self._snr(z, rng.normal(0, 1, len(z)))

    def _snr(self, z: FloatArray, noise: FloatArray) -> FloatArray:
        return np.clip(self.scale * np.exp(self.scatter * noise) * (1 + z) ** -self.slope, self.lowest, SNR_LIMITS[1])
