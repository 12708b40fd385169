"""Networks behind one interface. Adding one means one file here and one name in NETWORKS."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from torch import Tensor, nn

from engine.grid import Grid, ZGrid
from engine.survey import Survey, SurveyError

# name: module and class, imported when built. The default comes first.
NETWORKS = {
    "matched": "engine.networks.matched:Matched",
    "gasnet2": "engine.networks.gasnet2:GaSNet2",
}


class NetworkOutput(NamedTuple):
    """What one member says of a batch of B spectra.

    class_logits : (B, C) softmax gives class probabilities, order of survey.classes
    log_pz : (B, E, Z) log probability of each redshift bin given the class, order of survey.extragalactic
    z : (B, E) point estimates
    features : (B, F) what the last layer of the classifier reads; the outlier score looks here
    """

    class_logits: Tensor
    log_pz: Tensor
    z: Tensor
    features: Tensor


class Network(nn.Module):
    """One ensemble member. Subclasses set `name`, `grid`, `zgrid`, `config` and define forward and loss.

    weight_decay : that of AdamW in training
    """

    name: str
    grid: Grid
    zgrid: ZGrid
    config: Mapping[str, Any]
    weight_decay = 1e-3

    def learning_rate(self, done: float) -> float:
        """AdamW's rate when `done` (0-1) of the training is over: warm-up for 2 %, then a cosine from 2e-3 to 1 %."""
        return 2e-3 * min(1.0, (done + 1e-4) / 0.02) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def forward(self, flux: Tensor, ivar: Tensor) -> NetworkOutput:
        """flux, ivar : (B, grid.n) on self.grid; ivar 0 marks a bad pixel."""
        raise NotImplementedError

    def loss(self, flux: Tensor, ivar: Tensor, label: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Training loss (scalar) and its parts. label : (B,) class index; z : (B,) true redshift, 0 for stars."""
        raise NotImplementedError


def build(name: str, survey: Survey, config: Mapping[str, Any] | None = None) -> Network:
    """A network with fresh weights for a survey. config overrides the network's defaults by key.

    Raises SurveyError naming the networks that exist, or the unknown config key.
    """
    if name not in NETWORKS:
        raise SurveyError(f"no network {name!r}; there are: {', '.join(NETWORKS)}")
    module, _, network = NETWORKS[name].partition(":")
    return getattr(import_module(module), network)(survey, dict(config or {}))
