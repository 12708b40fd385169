"""Batches of a labelled set, with the same door as engine.mock.Simulator: batch(n, seed) -> MockBatch."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from engine.grid import Grid, LogGrid
from engine.labelled.catalog import CatalogError
from engine.labelled.store import LabelledSet
from engine.mock import MockBatch
from engine.resample import resample
from engine.survey import Survey

MINIMUM = 20  # objects of a class to learn it from: three of them are left for its validation
NOISE_SHARE, NOISIEST = 0.5, 3.0  # of the spectra get noise added, up to this factor in sigma


class Source(Protocol):
    """Where training spectra come from."""

    survey: Survey

    def batch(self, n: int, seed: int | list[int]) -> MockBatch:
        """n spectra, reproducible from the seed."""
        ...


class LabelledSource:
    """Training spectra drawn from the train split, classes by the root of their numbers, and changed a little: noise
    is added to some, and all may be shifted by a few pixels, with their redshifts.

    mocks, mix : a simulator and the share of every batch that comes from it, against forgetting; shift : pixels
    """

    def __init__(
        self, found: LabelledSet, survey: Survey, grid: Grid, shift: int = 0, mocks: Source | None = None,
        mix: float = 0.0,
    ) -> None:  # fmt: skip
        if shift and not isinstance(grid, LogGrid):
            raise CatalogError("spectra can be shifted on a logarithmic grid only; give --shift 0 for this network")
        self.survey, self.grid, self.shift, self.mocks, self.mix = survey, grid, shift, mocks, mix
        self.set, self.rows = found, found.rows("train")
        n = np.bincount(found.label[self.rows], minlength=len(survey.names))
        weight = 1 / np.sqrt(n[found.label[self.rows]])
        self.weight = weight / weight.sum()

    def batch(self, n: int, seed: int | list[int]) -> MockBatch:
        """n spectra on the network's grid, reproducible from the seed; snr is not known and 0."""
        rng = np.random.default_rng(seed)
        n_mocks = round(n * self.mix) if self.mocks is not None else 0
        pick = np.sort(rng.choice(self.rows, n - n_mocks, p=self.weight))
        real = MockBatch(
            np.array(self.set.flux[pick]), np.array(self.set.ivar[pick]), self.set.label[pick], self.set.z[pick],
            np.zeros(len(pick)), self.grid,
        )  # fmt: skip
        batch = self._shifted(noisier(real, rng), rng)
        if self.mocks is not None and n_mocks:
            seeds = seed if isinstance(seed, list) else [seed]
            batch = _joined(batch, self.mocks.batch(n_mocks, [*seeds, 1]))
        order = rng.permutation(n)
        arrays = {name: getattr(batch, name)[order] for name in ("flux", "ivar", "label", "z", "snr")}
        return MockBatch(**arrays, grid=self.grid)

    def _shifted(self, batch: MockBatch, rng: np.random.Generator) -> MockBatch:
        """Every spectrum by its own whole number of pixels, z with it; a class's range of redshifts is not left."""
        if not self.shift or not isinstance(self.grid, LogGrid):
            return batch
        by = rng.integers(-self.shift, self.shift + 1, len(batch.z))
        z = (1 + batch.z) * 10.0 ** (by * self.grid.step) - 1
        ranges = np.array([c.z_range or (-np.inf, np.inf) for c in self.survey.classes])[batch.label]
        by[(z < ranges[:, 0]) | (z > ranges[:, 1])] = 0
        extragalactic = np.isin(batch.label, self.survey.extragalactic)
        z = np.where(extragalactic, (1 + batch.z) * 10.0 ** (by * self.grid.step) - 1, 0.0)
        flux, ivar = (
            np.stack([_moved(row, k) for row, k in zip(a, by, strict=True)]) for a in (batch.flux, batch.ivar)
        )
        return replace(batch, flux=flux, ivar=ivar, z=z)


class InTurn:
    """The spectra of one split, each in its turn: a validation of n = len(source) spectra sees each of them once."""

    def __init__(self, found: LabelledSet, survey: Survey, grid: Grid, split: str) -> None:
        self.survey, self.grid, self.set, self.rows, self.next = survey, grid, found, found.rows(split), 0

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, n: int, seed: int | list[int]) -> MockBatch:
        """The next n spectra, from the first again after the last; the seed changes nothing."""
        pick = self.rows[(self.next + np.arange(n)) % len(self.rows)]
        self.next = (self.next + n) % len(self.rows)
        flux, ivar = np.array(self.set.flux[pick]), np.array(self.set.ivar[pick])
        return MockBatch(flux, ivar, self.set.label[pick], self.set.z[pick], self.set.snr[pick], self.grid)


def check_numbers(found: LabelledSet, survey: Survey, remedy: bool) -> str:
    """Hold a set to MINIMUM objects of every class: with a remedy (mocks, or a start from a model) say in words what is
    scarce, else raise CatalogError naming the classes. Training and validation need an object each in any case."""
    for split in ("train", "validation"):
        if not len(found.rows(split)):
            raise CatalogError(f"none of the {len(found.label)} objects falls to {split}; give more spectra")
    n = np.bincount(found.label, minlength=len(survey.names))
    scarce = [f"{name} {count}" for name, count in zip(survey.names, n, strict=True) if count < MINIMUM]
    if not scarce:
        return ""
    words = f"too few objects of some classes: {', '.join(scarce)}; at least {MINIMUM} of each teach it"
    if remedy:
        return f"{words}. What was known of them stays only as far as --mix or the start keeps it"
    raise CatalogError(f"{words}. Add spectra, mix in mocks with --mix, or start --from a model")


def noisier(batch: MockBatch, rng: np.random.Generator) -> MockBatch:
    """Some of the spectra with noise added: sigma becomes up to NOISIEST times what it was."""
    factor = np.exp(rng.uniform(0, np.log(NOISIEST), (len(batch.z), 1))).astype(np.float32)
    factor[rng.random(len(factor)) > NOISE_SHARE] = 1
    good = batch.ivar > 0
    sigma = np.divide(1, np.sqrt(batch.ivar), out=np.zeros_like(batch.ivar), where=good)
    noise = rng.standard_normal(batch.flux.shape, dtype=np.float32) * sigma * np.sqrt(factor**2 - 1)
    return replace(batch, flux=batch.flux + noise, ivar=batch.ivar / factor**2)


def _moved(row: np.ndarray, by: int) -> np.ndarray:
    out = np.zeros_like(row)
    if by >= 0:
        out[by:] = row[: len(row) - by]
    else:
        out[:by] = row[-by:]
    return out


def _joined(real: MockBatch, mock: MockBatch) -> MockBatch:
    flux, ivar = resample(mock.flux, mock.ivar, mock.grid, real.grid)
    return MockBatch(
        np.concatenate([real.flux, flux]), np.concatenate([real.ivar, ivar]),
        np.concatenate([real.label, mock.label]), np.concatenate([real.z, mock.z]),
        np.concatenate([real.snr, mock.snr]), real.grid,
    )  # fmt: skip
