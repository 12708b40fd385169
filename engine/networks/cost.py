"""What a network costs: parameters, and multiply-adds per spectrum as counted while it runs once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.networks import Network

aten = torch.ops.aten


def parameters(network: Network) -> int:
    """Trainable parameters of one ensemble member."""
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: Network) -> int:
    """Multiply-adds of one ensemble member for one spectrum: half the floating-point operations.

    Counted in convolutions, matrix products and Fourier transforms; a transform of n real numbers is taken as
    2.5 n log2(n) operations (5 for complex ones), the textbook radix-2 count. Elementwise work is left out, as is
    usual. What does not depend on the spectrum and is kept between calls (a filter's transform) is not counted.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_FFT)
    flux = torch.ones(1, network.grid.n)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(flux, flux)  # so that whatever it keeps is there
            with counter:
                network(flux, flux)
    finally:
        network.train(was_training)
    return counter.get_total_flops() // 2


def _real_to_complex(shape: torch.Size, dims: list[int], *_: Any, **__: Any) -> int:
    return int(2.5 * math.prod(shape) * math.log2(math.prod(shape[d] for d in dims)))


def _complex_to_real(shape: torch.Size, dims: list[int], norm: int, last: int, *_: Any, **__: Any) -> int:
    real = [*shape]
    real[dims[-1]] = last
    return int(2.5 * math.prod(real) * math.log2(math.prod(real[d] for d in dims)))


def _complex_to_complex(shape: torch.Size, dims: list[int], *_: Any, **__: Any) -> int:
    return int(5 * math.prod(shape) * math.log2(math.prod(shape[d] for d in dims)))


_FFT = {
    aten._fft_r2c: _real_to_complex,
    aten._fft_c2r: _complex_to_real,
    aten._fft_c2c: _complex_to_complex,
}
