"""Training data: labelled spectra on a network's grid, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.grid import Grid
from engine.mock import MockBatch
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


def on_grid(batch: MockBatch, grid: Grid, device: torch.device) -> Sample:
    """A mock batch on a network's grid, as engine.grid.regrid puts a file's spectrum there."""
    flux, ivar = resample(batch.flux, batch.ivar, batch.grid, grid)
    return Sample(
        torch.from_numpy(np.ascontiguousarray(flux)).to(device),
        torch.from_numpy(np.ascontiguousarray(ivar)).to(device),
        torch.from_numpy(batch.label).to(device),
        torch.from_numpy(batch.z.astype(np.float32)).to(device),
    )
