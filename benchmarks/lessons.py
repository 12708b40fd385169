"""What is learned in `python -m benchmarks networks`: the paper's networks one at a time, ours as a whole."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.epochs import IntArray
from benchmarks.mockset import MockSet
from engine.grid import LinearGrid
from engine.networks import build
from engine.networks.gasnet2 import RECIPE, ResNet, cross_entropy, huber, learning_rate, normalise
from engine.survey import Survey

PAPER_GRID = LinearGrid()
BATCH = 256  # spectra at once, where no gradient is needed


class _Paper:
    """One ResNet of the paper: Adam, no weight decay, the rate halved every five epochs. Its input (eq. 2) is held in
    memory."""

    weight_decay = 0.0
    clip: float | None = None

    def __init__(self, n_out: int, training: MockSet, rows: IntArray, validation: MockSet, own: IntArray) -> None:
        self.module: nn.Module = ResNet(n_out, RECIPE["dropout"])
        self.n = len(rows)
        self.x, self.v = paper_input(training, rows), paper_input(validation, own)

    def rate(self, epoch: int, done: float) -> float:
        """The paper's schedule."""
        return learning_rate(epoch)

    def validated(self) -> Tensor:
        """Outputs for the validation spectra."""
        return torch.cat([self.module(part) for part in self.v.split(BATCH)])


def paper_input(spectra: MockSet, rows: IntArray) -> Tensor:
    """(len(rows), 5001) of some spectra: what GaSNet2 gives its networks."""
    parts = [spectra.sample(some, PAPER_GRID).flux for some in np.array_split(rows, max(1, len(rows) // BATCH))]
    return torch.cat([normalise(part) * PAPER_GRID.n**0.5 for part in parts])


class Classes(_Paper):
    """The classifier: eq. 5; the best validation accuracy is kept."""

    def __init__(self, survey: Survey, training: MockSet, rows: IntArray, validation: MockSet) -> None:
        super().__init__(len(survey.names), training, rows, validation, np.arange(len(validation.label)))
        self.label = torch.from_numpy(training.label[rows])
        self.truth = torch.from_numpy(validation.label)

    def loss(self, rows: IntArray) -> Tensor:
        """Mean cross-entropy."""
        return cross_entropy(self.module(self.x[rows]), self.label[rows]).mean()

    def score(self) -> float:
        """The share of wrong classes."""
        return float((self.validated().argmax(1) != self.truth).double().mean())


class Redshift(_Paper):
    """The redshift network of class k, which sees that class only: eq. 6; the best validation MAE is kept."""

    def __init__(self, training: MockSet, rows: IntArray, validation: MockSet, k: int) -> None:
        own = np.flatnonzero(validation.label == k)
        super().__init__(1, training, rows, validation, own)
        z = torch.from_numpy(training.z[rows]).float()
        self.target = z.clamp(0, RECIPE["z_limit"]) * RECIPE["z_scale"]
        self.truth = torch.from_numpy(validation.z[own])

    def loss(self, rows: IntArray) -> Tensor:
        """Mean Huber loss."""
        return huber(self.module(self.x[rows])[:, 0], self.target[rows], RECIPE["huber_delta"]).mean()

    def score(self) -> float:
        """Mean absolute error of z."""
        return float((self.validated()[:, 0] / RECIPE["z_scale"] - self.truth).abs().mean())


class Everything:
    """Our network, classes and redshifts at once, with its own rate and weight decay; spectra are read from disk."""

    clip: float | None = 5.0  # as engine.train

    def __init__(self, survey: Survey, training: MockSet, validation: MockSet) -> None:
        self.network = build("matched", survey)
        self.module: nn.Module = self.network
        self.weight_decay = self.network.weight_decay
        self.training, self.validation, self.n = training, validation, len(training.label)

    def rate(self, epoch: int, done: float) -> float:
        """The network's own schedule over the whole training."""
        return self.network.learning_rate(done)

    def loss(self, rows: IntArray) -> Tensor:
        """The network's own loss."""
        return self._loss(self.training, np.sort(rows))

    def score(self) -> float:
        """The same loss on the validation spectra."""
        rows = np.array_split(np.arange(len(self.validation.label)), max(1, len(self.validation.label) // BATCH))
        losses = [float(self._loss(self.validation, some)) * len(some) for some in rows]
        return sum(losses) / len(self.validation.label)

    def _loss(self, spectra: MockSet, rows: IntArray) -> Tensor:
        sample = spectra.sample(rows, self.network.grid)
        loss, _ = self.network.loss(sample.flux, sample.ivar, sample.label, sample.z)
        return loss
