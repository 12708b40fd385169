"""Training data: labelled spectra on a network's grid, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.grid import Grid, LinearGrid
from engine.mock import MockBatch
from engine.mock.instrument import SDSS_GRID


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
    """A mock batch on a network's grid. SDSS's own pixels need nothing; the paper's linear grid interpolates."""
    flux, ivar = batch.flux, batch.ivar
    if isinstance(grid, LinearGrid):
        position = np.interp(grid.wave, SDSS_GRID.wave, np.arange(SDSS_GRID.n))
        low = np.minimum(position.astype(int), SDSS_GRID.n - 2)
        fraction = (position - low).astype(np.float32)
        flux, ivar = (a[:, low] * (1 - fraction) + a[:, low + 1] * fraction for a in (flux, ivar))
    elif grid != SDSS_GRID:
        raise ValueError(f"mock spectra are made on {SDSS_GRID}, the network wants {grid}")
    return Sample(
        torch.from_numpy(np.ascontiguousarray(flux)).to(device),
        torch.from_numpy(np.ascontiguousarray(ivar)).to(device),
        torch.from_numpy(batch.label).to(device),
        torch.from_numpy(batch.z.astype(np.float32)).to(device),
    )
