"""How good redshifts and classes are: the statistics of Zhong et al. 2024, section 4.1, and the field's usual ones.

All redshift arguments are arrays (n,): z_true of the catalogue, z_pred of the network. A fraction of no objects is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# |dz| / (1 + z) beyond which a redshift is wrong, not inexact: 3000 km/s for galaxies, as the SDSS and DESI pipelines
# (paper section 4.1), and five times that for quasars, whose broad lines alone scatter by 1000s of km/s.
CATASTROPHIC = {"GALAXY": 0.01, "QSO": 0.05}


def bias(z_true: ArrayLike, z_pred: ArrayLike) -> FloatArray:
    """Paper eq. 9, (n,): |ln((1 + z_true) / (1 + z_pred))|."""
    return np.abs(np.log1p(_array(z_true)) - np.log1p(_array(z_pred)))


def good_fraction(z_true: ArrayLike, z_pred: ArrayLike, threshold: float) -> float:
    """Paper eq. 10: fraction of objects whose bias is below the threshold (.0015 galaxies, .015 quasars)."""
    return fraction(bias(z_true, z_pred) < threshold)


def delta_z(z_true: ArrayLike, z_pred: ArrayLike) -> FloatArray:
    """Paper eq. 11, (n,): |z_pred - z_true| / |1 + z_true|."""
    z_true, z_pred = _array(z_true), _array(z_pred)
    return np.abs(z_pred - z_true) / np.abs(1 + z_true)


def mean_absolute_error(z_true: ArrayLike, z_pred: ArrayLike) -> float:
    """Paper eq. 12: mean of |z_pred - z_true|; NaN for no objects."""
    error = np.abs(_array(z_pred) - _array(z_true))
    return float(error.mean()) if error.size else float("nan")


def nmad(z_true: ArrayLike, z_pred: ArrayLike) -> float:
    """Normalised median absolute deviation of (z_pred - z_true) / (1 + z_true): 1.4826 median |x - median x|.

    The width of the core as a Gaussian sigma, blind to outliers; NaN for no objects.
    """
    z_true, z_pred = _array(z_true), _array(z_pred)
    if not z_true.size:
        return float("nan")
    x = (z_pred - z_true) / (1 + z_true)
    return float(1.4826 * np.median(np.abs(x - np.median(x))))


def catastrophic_fraction(z_true: ArrayLike, z_pred: ArrayLike, spectype: str) -> float:
    """Fraction of objects with delta_z above CATASTROPHIC[spectype]."""
    return fraction(delta_z(z_true, z_pred) > CATASTROPHIC[spectype])


def is_robust(zerr: ArrayLike, mae: ArrayLike) -> BoolArray:
    """The paper's rule (section 4.2.3), (n,): sigma_z <= validation MAE of the class; a NaN zerr is not robust."""
    return np.asarray(_array(zerr) <= _array(mae))


def within_t(z_true: ArrayLike, z_pred: ArrayLike, zerr: ArrayLike, t: float = 3.0) -> float:
    """Fraction of objects with |z_true - z_pred| <= t zerr (the paper's t, section 4.2.3 and Fig. 16)."""
    return fraction(np.abs(_array(z_true) - _array(z_pred)) <= t * _array(zerr))


def confusion(true: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """(n_classes, n_classes) counts: row the true label, column the predicted one (paper Fig. 12)."""
    matrix = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(matrix, (np.asarray(true, dtype=int), np.asarray(predicted, dtype=int)), 1)
    return matrix


def fraction(true: ArrayLike) -> float:
    """Share of True in a boolean array; NaN when it is empty."""
    flags = np.asarray(true, dtype=bool)
    return float(flags.mean()) if flags.size else float("nan")


def _array(values: ArrayLike) -> FloatArray:
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
