"""The paper's network: a classifier and one redshift regressor per extragalactic class (Zhong et al. 2024, section 3).

Every one of them is the same ResNet (Fig. 10 b). Where the paper's text and the authors' public code differ, the
equations of the text are the functions below and the code's choices are the defaults of the recipe, RECIPE:

- eq. 2 gives the flux unit length (`normalise`); the code multiplies that by sqrt(n_pixels).
- eq. 6 is the Huber loss with delta 0.1 (`huber`) of z limited to [0, 5]; the code regresses 10 z, so that delta
  is 0.01 in z.
- The text says the rate ends at 1e-6; halving every 5 of 50 epochs (`learning_rate`) ends at 2e-6.
- The text gives neither the batch norm (eps 1e-3, Keras momentum .99) nor the first weights, N(0, 1e-3).

The paper has no p(z) of one member: a single network answers one number. To stand behind the common interface, that
number is spread with a Laplace kernel, see `redshift_kernel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.grid import LinearGrid, ZGrid
from engine.networks import Network, NetworkOutput
from engine.survey import Survey, SurveyError

CHANNELS = (1, 16, 32, 64, 128, 256, 512)

# flux_scale None: sqrt(n_pixels), as the code. z_width: Laplace width in ln(1 + z) by class name, for the classes
# whose validation error is known; the others take the survey's good-fraction threshold (eq. 10).
RECIPE: Mapping[str, Any] = MappingProxyType(
    {
        "flux_scale": None,
        "z_limit": 5.0,
        "z_scale": 10.0,
        "huber_delta": 0.1,
        "dropout": 0.5,
        "z_width": MappingProxyType({}),
        "epochs": 50,
        "batch_size": 128,
    }
)


def normalise(flux: Tensor) -> Tensor:
    """Paper eq. 2: flux (B, n) divided by the root of its summed squares; a spectrum of zeros stays zero.

    The peak is divided out first (eq. 2 does not see it), so that fluxes of 1e-17 keep their squares in float32.
    """
    peak = flux.detach().abs().amax(dim=-1, keepdim=True)
    return F.normalize(flux / torch.where(peak > 0, peak, 1.0), dim=-1)


def cross_entropy(class_logits: Tensor, label: Tensor) -> Tensor:
    """Paper eq. 5, per spectrum (B,): minus the log of the softmax probability of the true class."""
    return F.cross_entropy(class_logits, label, reduction="none")


def huber(y_pred: Tensor, y_true: Tensor, delta: float = 0.1) -> Tensor:
    """Paper eq. 6, per value: quadratic up to delta, linear beyond."""
    return F.huber_loss(y_pred, y_true, reduction="none", delta=delta)


def learning_rate(epoch: int) -> float:
    """Adam's rate in an epoch counted from 0: 1e-3, halved every 5 epochs (paper section 3.3)."""
    return 1e-3 * 0.5 ** (epoch // 5)


class Block(nn.Module):
    """Fig. 10 b, Block(n): two convolutions and a max-pool beside a strided shortcut; the length falls threefold."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_in, n_out, 5, padding="same")
        self.norm1 = _batch_norm(n_out)
        self.conv2 = nn.Conv1d(n_out, n_out, 5, stride=3)
        self.norm2 = _batch_norm(n_out)
        self.pool = nn.MaxPool1d(5, stride=1, padding=2)
        self.shortcut = nn.Conv1d(n_in, n_out, 5, stride=3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in, L) -> (B, n_out, (L - 5) // 3 + 1)."""
        y = F.relu(self.norm1(self.conv1(x)))
        return self.pool(F.relu(self.norm2(self.conv2(y)))) + self.shortcut(x)


class ResNet(nn.Module):
    """Fig. 10 b: six blocks, Dense(256), Dense(n_out). From scaled flux (B, 5001) to linear outputs (B, n_out)."""

    def __init__(self, n_out: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(n_in, n) for n_in, n in pairwise(CHANNELS))
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(2560, 256)
        self.out = nn.Linear(256, n_out)
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.normal_(layer.weight, std=1e-3)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, 5001) -> (B, n_out)."""
        return self.out(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """(B, 5001) -> (B, 256): what the last layer reads."""
        x = x[:, None]
        for block in self.blocks:
            x = block(x)
        # Pixel-major, as Keras flattens.
        x = self.dropout(x.transpose(1, 2).flatten(1))
        return F.relu(self.dense(x))


class GaSNet2(Network):
    """One ensemble member: ResNet_P and one ResNet_i per extragalactic class (paper Fig. 10 a).

    The ten redshift networks per class of paper section 3.2 are ten members; their classifiers are averaged, while the
    paper has only one. Raises SurveyError on an unknown config key.
    """

    name = "gasnet2"
    weight_decay = 0.0  # the paper's optimiser is Adam
    zbin: Tensor
    width: Tensor
    trained: Tensor

    def __init__(self, survey: Survey, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        unknown = set(config or {}) - set(RECIPE)
        if unknown:
            raise SurveyError(f"gasnet2: unknown config key {sorted(unknown)[0]!r}; the keys are {', '.join(RECIPE)}")
        self.config = {**RECIPE, **(config or {}), "z_width": dict((config or {}).get("z_width", {}))}
        classes = [survey.classes[i] for i in survey.extragalactic]
        foreign = set(self.config["z_width"]) - {c.name for c in classes}
        if foreign:
            raise SurveyError(f"gasnet2: config key 'z_width' names {sorted(foreign)[0]!r}, no class of {survey.name}")
        ranges = [c.z_range or (0.0, 0.0) for c in classes]
        self.grid = LinearGrid()
        self.zgrid = ZGrid.covering(max(high for _, high in ranges))
        self.extragalactic = survey.extragalactic
        self.flux_scale = self.config["flux_scale"] or self.grid.n**0.5
        self.classifier = ResNet(len(survey.classes), self.config["dropout"])
        self.redshifts = nn.ModuleList(ResNet(1, self.config["dropout"]) for _ in classes)
        zbin = torch.tensor(self.zgrid.z)
        width = [self.config["z_width"].get(c.name, c.good) for c in classes]
        trained = torch.stack([(zbin >= low) & (zbin <= high) for low, high in ranges])
        # Not persistent: they follow from the survey and the config, which the card keeps.
        self.register_buffer("zbin", zbin.float(), persistent=False)
        self.register_buffer("width", torch.tensor(width, dtype=torch.float32), persistent=False)
        self.register_buffer("trained", trained, persistent=False)

    def _input(self, flux: Tensor) -> Tensor:
        return normalise(flux) * self.flux_scale

    def learning_rate(self, done: float) -> float:
        """The paper's schedule, its 50 epochs spread over the whole training."""
        return learning_rate(min(int(done * self.config["epochs"]), self.config["epochs"] - 1))

    def forward(self, flux: Tensor, ivar: Tensor) -> NetworkOutput:
        """flux, ivar : (B, 5001). The paper's network reads no ivar; it is here for the common interface."""
        x = self._input(flux)
        z = torch.cat([network(x) for network in self.redshifts], dim=1) / self.config["z_scale"]
        features = self.classifier.features(x)
        pdf = redshift_kernel(z, self.zbin, self.width, self.trained)
        return NetworkOutput(self.classifier.out(features), pdf, z, features)

    def loss(self, flux: Tensor, ivar: Tensor, label: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 5 plus eq. 6, both means. A redshift network sees the spectra of its own class only (section 3.3)."""
        x = self._input(flux)
        parts = {"class": cross_entropy(self.classifier(x), label).mean()}
        target = z.clamp(0, self.config["z_limit"]) * self.config["z_scale"]
        redshift = torch.zeros((), device=flux.device)
        for i, network in zip(self.extragalactic, self.redshifts, strict=True):
            own = label == i
            if own.any():
                redshift = redshift + huber(network(x[own])[:, 0], target[own], self.config["huber_delta"]).mean()
        parts["z"] = redshift
        return parts["class"] + redshift, parts


def redshift_kernel(z: Tensor, zbin: Tensor, width: Tensor, trained: Tensor) -> Tensor:
    """Log probability of each redshift bin about a point estimate: a Laplace kernel in ln(1 + z), summing to 1.

    z : (B, E); zbin : (Z,) bin centres of constant width in ln(1 + z); width : (E,) Laplace scale in ln(1 + z);
    trained : (E, Z) True inside the class's redshift range; elsewhere the log is -1e4, a probability of 0.
    """
    distance = torch.log1p(zbin) - torch.log1p(z.clamp(min=-0.9))[..., None]
    log_kernel = -distance.abs() / width[:, None]
    return log_kernel.masked_fill(~trained, -torch.inf).log_softmax(dim=-1).masked_fill(~trained, -1e4)


def _batch_norm(n: int) -> nn.BatchNorm1d:
    # torch's momentum is the weight of the new batch, Keras's (.99) that of the old mean.
    return nn.BatchNorm1d(n, eps=1e-3, momentum=0.01)
