"""Real spectra and the mocks that are like them: pairs of one type, redshift, SNR and spectrograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter1d

from engine.evaluate.labels import POOLED, labelled, true_class
from engine.grid import LogGrid, regrid
from engine.mock import Simulator

FloatArray = NDArray[np.float64]
GRID = LogGrid()  # SDSS's own pixels
MODEL_PIXELS = 25  # width of the running median that stands for the spectrum's model
PER_REAL = 4  # mocks paired with each real spectrum


@dataclass(frozen=True, eq=False)
class Sample:
    """n spectra on GRID. flux, ivar (n, GRID.n); spectype, name (class, "" unknown), z, snr (measured) (n,)."""

    flux: FloatArray
    ivar: FloatArray
    spectype: NDArray[np.str_]
    name: NDArray[np.str_]
    z: FloatArray

    @property
    def snr(self) -> FloatArray:
        """(n,) median of flux / sigma over the good pixels of 4000-9000 A."""
        inside = (GRID.wave > 4000) & (GRID.wave < 9000)
        ratio = np.where(self.ivar > 0, self.flux * np.sqrt(self.ivar), np.nan)[:, inside]
        return np.asarray(np.nanmedian(ratio, axis=1))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Sample:
        """Some of the spectra."""
        return Sample(self.flux[rows], self.ivar[rows], self.spectype[rows], self.name[rows], self.z[rows])


def real_sample(folder: Path) -> Sample:
    """The pooled labelled SDSS and BOSS spectra of a folder (engine.evaluate). Raises SpectrumError."""
    items = [item for item in labelled(folder, []) if item.group == POOLED]
    arrays = [regrid(item.spectrum, GRID) for item in items]
    types = [item.label.spectype for item in items]
    return Sample(
        np.array([flux for flux, _ in arrays], dtype=float),
        np.array([ivar for _, ivar in arrays], dtype=float),
        np.array(types),
        np.array([true_class(item.label.spectype, item.label.subclass) for item in items]),
        np.array([item.label.z if kind != "STAR" else 0.0 for item, kind in zip(items, types, strict=True)]),
    )


def mock_sample(simulator: Simulator, n: int, seed: int) -> Sample:
    """n mocks, in batches of 512."""
    batches = [simulator.batch(min(512, n - start), [seed, start]) for start in range(0, n, 512)]
    label = np.concatenate([b.label for b in batches])
    types = np.array([c.spectype for c in simulator.survey.classes])
    return Sample(
        np.concatenate([b.flux for b in batches]),
        np.concatenate([b.ivar for b in batches]),
        types[label],
        np.array(simulator.survey.names)[label],
        np.concatenate([b.z for b in batches]),
    )


def paired(real: Sample, mock: Sample, k: int = PER_REAL) -> tuple[Sample, NDArray[np.int64]]:
    """Each real spectrum with the k nearest unused mocks of its type (and class, where known) in log(1 + z) and SNR,
    preferably of the same spectrograph (BOSS begins below 3700 A).

    Returns the mocks, and for each mock the row of its real spectrum.
    """
    real_snr, mock_snr = np.log(np.maximum(real.snr, 0.3)), np.log(np.maximum(mock.snr, 0.3))
    first, of_mocks = (GRID.wave[np.argmax(sample.ivar > 0, axis=1)] for sample in (real, mock))
    unused = np.ones(len(mock.z), dtype=bool)
    rows, owner = [], []
    for i in range(len(real.z)):
        distance = ((np.log1p(mock.z) - np.log1p(real.z[i])) / 0.08) ** 2 + ((mock_snr - real_snr[i]) / 0.15) ** 2
        distance += 4.0 * ((first[i] < 3700) != (of_mocks < 3700))
        distance[~unused | (mock.spectype != real.spectype[i])] = np.inf
        if real.name[i] in mock.name:
            distance[mock.name != real.name[i]] += 9.0
        nearest = np.argsort(distance)[:k]
        nearest = nearest[np.isfinite(distance[nearest])]
        unused[nearest] = False
        rows += nearest.tolist()
        owner += [i] * len(nearest)
    return mock.take(np.array(rows, dtype=int)), np.array(owner, dtype=int)


def residuals(sample: Sample) -> FloatArray:
    """(n, GRID.n) (flux - running median) / sigma; NaN where bad or not covered."""
    out = np.full(sample.flux.shape, np.nan)
    pixel = np.arange(GRID.n)
    for k, (flux, ivar) in enumerate(zip(sample.flux, sample.ivar, strict=True)):
        good = ivar > 0
        filled = np.interp(pixel, pixel[good], flux[good])
        model = uniform_filter1d(median_filter(filled, MODEL_PIXELS, mode="nearest"), 5)
        out[k, good] = ((flux - model) * np.sqrt(ivar))[good]
    return out
