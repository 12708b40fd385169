"""Vector scaling of class probabilities (Guo et al. 2017, section 4.2), fitted by maximum likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

FloatArray = NDArray[np.float64]
LOWEST = 1e-9  # probability below which nothing is told apart


def scaled(p: FloatArray, scale: FloatArray, bias: FloatArray) -> FloatArray:
    """softmax(scale log p + bias) over the last axis; what is not finite stays so."""
    return np.asarray(softmax(np.log(np.maximum(p, LOWEST)) * scale + bias, axis=-1))


def fit_scaling(
    p: FloatArray,
    label: NDArray[np.int64],
    scale: FloatArray | None = None,
    bias: FloatArray | None = None,
    hold: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """scale and bias (C,) that make the labels (n,) most probable, held near those given, else 1 and 0, where n is
    small; the more firmly, the larger hold is."""
    n, c = p.shape
    start = np.r_[np.zeros(c) if scale is None else np.log(scale), np.zeros(c) if bias is None else bias]
    log_p = np.log(np.maximum(p, LOWEST))
    hit = np.eye(c)[label]

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        scale, bias = np.exp(theta[:c]), theta[c:]
        log_q = log_softmax(log_p * scale + bias, axis=1)
        residual = (np.exp(log_q) - hit) / n
        slope = np.r_[(residual * log_p).sum(axis=0) * scale, residual.sum(axis=0)] + 2 * hold * (theta - start) / n
        return float((-(log_q * hit).sum() + hold * ((theta - start) ** 2).sum()) / n), slope

    theta = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return np.exp(theta[:c]), theta[c:] - theta[c:].mean()
