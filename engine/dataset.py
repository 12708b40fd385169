"""Training data: labelled spectra on a network's grid, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.grid import Grid
from engine.mock import MockBatch, Simulator
from engine.resample import resample


@dataclass(frozen=True, eq=False)
class Sample:
    """N labelled spectra: flux, ivar (N, grid.n), label (N,) class index, z (N,), 0 for stars."""

    flux: Tensor
    ivar: Tensor
    label: Tensor
    z: Tensor

    def batches(self, size: int) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Consecutive batches; a last batch of one spectrum, which batch statistics cannot use, is left out."""
        n = len(self.label)
        starts = [s for s in range(0, n, size) if n - s > 1]
        return [
            (self.flux[s : s + size], self.ivar[s : s + size], self.label[s : s + size], self.z[s : s + size])
            for s in starts
        ]


class WrongLabels:
    """Mock spectra of a simulator, a share of the labels of some classes replaced by another of them: what the errors
    of a catalogue do to a network (paper Appendix A). The redshifts stay true."""

    def __init__(self, simulator: Simulator, share: float, classes: Sequence[str]) -> None:
        self.simulator, self.share, self.classes = simulator, share, classes
        self.survey = simulator.survey

    def batch(self, n: int, seed: int | list[int]) -> MockBatch:
        """n spectra, reproducible from the seed; see Simulator.batch."""
        made = self.simulator.batch(n, seed)
        rng = np.random.default_rng([*np.atleast_1d(seed), 7])
        index = np.array([self.survey.index(name) for name in self.classes])
        wrong = np.flatnonzero(np.isin(made.label, index) & (rng.random(n) < self.share))
        step = rng.integers(1, len(index), wrong.size)
        place = np.argsort(index)[np.searchsorted(np.sort(index), made.label[wrong])]
        label = made.label.copy()
        label[wrong] = index[(place + step) % len(index)]
        return replace(made, label=label)


def on_grid(batch: MockBatch, grid: Grid, device: torch.device) -> Sample:
    """A mock batch on a network's grid, as engine.grid.regrid puts a file's spectrum there."""
    flux, ivar = resample(batch.flux, batch.ivar, batch.grid, grid)
    return Sample(
        torch.from_numpy(np.ascontiguousarray(flux)).to(device),
        torch.from_numpy(np.ascontiguousarray(ivar)).to(device),
        torch.from_numpy(batch.label).to(device),
        torch.from_numpy(batch.z.astype(np.float32)).to(device),
    )
