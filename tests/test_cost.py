"""The count of multiply-adds, on networks whose count is known by hand."""

import torch
from torch import Tensor, nn

from engine.grid import LinearGrid
from engine.networks import Network
from engine.networks.cost import multiply_adds, parameters


class Filtered(Network):
    """Two transforms of 2048 real numbers around nothing, and a product with a 1024 x 3 matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = LinearGrid(n=1024)
        self.dense = nn.Linear(1024, 3, bias=False)

    def forward(self, flux: Tensor, ivar: Tensor) -> Tensor:  # type: ignore[override]
        smooth = torch.fft.irfft(torch.fft.rfft(flux, n=2048), n=2048)[..., :1024]
        return self.dense(smooth)


def test_transforms_and_products_are_counted():
    # Half of 2.5 n log2(n) operations, n = 2048, twice; and 3 x 1024.
    assert multiply_adds(Filtered()) == 2.5 * 2048 * 11 + 3072
    assert parameters(Filtered()) == 3072


def test_counting_leaves_the_network_as_it_was():
    network = Filtered().train()
    multiply_adds(network)
    assert network.training
