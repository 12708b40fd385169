"""Can they be told apart? Cross-validated logistic regressions between real spectra and mocks, on three views."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.pairs import GRID, FloatArray, Sample, residuals
from engine.survey import SPECTYPES


def residual_features(sample: Sample) -> dict[str, FloatArray]:
    """What tells noise from noise, per object: scatter, correlation and tails of the residuals in the bands."""
    residual = residuals(sample)
    features: dict[str, FloatArray] = {}
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # bands without a good pixel
        for name, here in _bands():
            part = residual[:, here]
            clipped = np.where(np.abs(part) < 4, part, np.nan)
            spread = np.nanvar(clipped, axis=1)
            features[f"sigma {name}"] = np.log(1.4826 * np.nanmedian(np.abs(part), axis=1))
            for lag in (1, 2, 4):
                product = np.nanmean(clipped[:, lag:] * clipped[:, :-lag], axis=1)
                features[f"lag {lag} {name}"] = product / spread
            for limit in (3, 5):
                beyond = (np.abs(part) > limit).sum(axis=1) / np.maximum(np.isfinite(part).sum(axis=1), 1)
                features[f"> {limit} sigma {name}"] = np.sqrt(beyond)
    return {name: np.nan_to_num(value) for name, value in features.items()}


def error_features(sample: Sample) -> dict[str, FloatArray]:
    """What tells one pipeline's errors from another's, per object and band: bad pixels, level and roughness of ivar."""
    ivar = np.where(sample.ivar > 0, sample.ivar, np.nan)
    features: dict[str, FloatArray] = {}
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        level = np.log(np.nanmedian(ivar, axis=1))
        for name, here in _bands():
            part = np.log(ivar[:, here])
            features[f"bad {name}"] = np.sqrt(np.isnan(part).mean(axis=1))
            features[f"ivar level {name}"] = _median(part) - level
            features[f"ivar roughness {name}"] = np.log(np.nanmean(np.abs(np.diff(part, axis=1)), axis=1) + 1e-3)
    return {name: np.nan_to_num(value) for name, value in features.items()}


def _bands() -> list[tuple[str, NDArray[np.bool_]]]:
    limits = (3900, 4400, 5000, 5800, 6100, 6800, 7500, 8200, 9000)
    return [(f"{low}-{high}", (GRID.wave > low) & (GRID.wave < high)) for low, high in pairwise(limits)]


def shape_features(sample: Sample, n: int = 40) -> dict[str, FloatArray]:
    """Broad shape: medians in n bins of 3850-9150 A over their mean, arcsinh, and the noise's shape likewise."""
    edges = np.geomspace(3850, 9150, n + 1)
    flux = np.where(sample.ivar > 0, sample.flux, np.nan)
    bins = [(GRID.wave >= low) & (GRID.wave < high) for low, high in pairwise(edges)]
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        median = np.stack([_median(flux[:, here]) for here in bins], axis=1)
    median /= np.maximum(np.nanmean(np.abs(median), axis=1, keepdims=True), 1e-9)
    median = np.arcsinh(np.nan_to_num(median, nan=1.0))
    return {f"flux {edges[k]:.0f}": median[:, k] for k in range(n)}


def _median(values: FloatArray) -> FloatArray:
    empty = np.isnan(values).all(axis=1)
    return np.asarray(np.where(empty, np.nan, np.nanmedian(np.where(empty[:, None], 0.0, values), axis=1)))


def discriminate(real: FloatArray, mock: FloatArray, owner: NDArray[np.int64], folds: int = 5) -> FloatArray:
    """Cross-validated logit of being real of each real and mock spectrum, real ones first.

    Ridge logistic regression by Newton's method on standardised features and their squares; real and mock weigh the
    same; a real spectrum and its mocks are in the same fold.
    """
    x = np.concatenate([real, mock])
    truth = np.r_[np.ones(len(real)), np.zeros(len(mock))]
    fold = np.r_[np.arange(len(real)), owner] % folds
    logit = np.empty(len(x))
    for k in range(folds):
        train = fold != k
        centre, spread = x[train].mean(axis=0), x[train].std(axis=0) + 1e-9
        scaled = np.clip((x - centre) / spread, -4, 4)
        design = np.c_[np.ones(len(x)), scaled, (scaled**2 - 1) / 2]
        weight = np.where(truth == 1, 1.0, len(real) / len(mock))
        beta = _logistic(design[train], truth[train], weight[train])
        logit[~train] = design[~train] @ beta
    return logit


def _logistic(design: FloatArray, truth: FloatArray, weight: FloatArray, ridge: float = 5.0) -> FloatArray:
    beta = np.zeros(design.shape[1])
    penalty = np.full(len(beta), ridge)
    penalty[0] = 1e-6
    for _ in range(12):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -20, 20)))
        gradient = design.T @ (weight * (p - truth)) + penalty * beta
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        beta = beta - np.linalg.solve(curvature, gradient)
    return beta


FEATURES: Mapping[str, Callable[[Sample], dict[str, FloatArray]]] = {
    "residuals": residual_features,
    "errors": error_features,
    "shape": shape_features,
}


@dataclass(frozen=True)
class Verdict:
    """One discriminator in one group (a type, or a class of it): n real and n mock spectra, balanced accuracy and its
    error, and the features whose means differ most, in units of the mocks' scatter (of a type only)."""

    what: str
    group: str
    n_real: int
    n_mock: int
    accuracy: float
    error: float
    telling: tuple[tuple[str, float], ...] = ()


def verdicts(real: Sample, mock: Sample, owner: NDArray[np.int64]) -> list[Verdict]:
    """Each discriminator trained for each spectral type with ten real spectra, and judged for its classes too."""
    found = []
    for what, make in FEATURES.items():
        features, of_mocks = make(real), make(mock)
        names = list(features)
        a, b = (np.stack(list(values.values()), axis=1) for values in (features, of_mocks))
        for kind in SPECTYPES:
            mine = np.flatnonzero(real.spectype == kind)
            if len(mine) < 10:
                continue
            theirs = np.flatnonzero(np.isin(owner, mine))
            local = np.searchsorted(mine, owner[theirs])
            logit = discriminate(a[mine], b[theirs], local)
            difference = (a[mine].mean(axis=0) - b[theirs].mean(axis=0)) / (b[theirs].std(axis=0) + 1e-3)
            telling = tuple((names[k], float(difference[k])) for k in np.argsort(-np.abs(difference))[:3])
            for name in ("", *sorted(set(real.name[mine]) - {""})):
                chosen = (real.name[mine] == name) | (not name)
                hits, passes = logit[: len(mine)][chosen] > 0, logit[len(mine) :][chosen[local]] <= 0
                error = float(np.sqrt(hits.var() / len(hits) + passes.var() / len(passes)) / 2)
                accuracy = float(hits.mean() + passes.mean()) / 2
                group, words = (name, ()) if name else (f"all {kind}", telling)
                found.append(Verdict(what, group, len(hits), len(passes), accuracy, error, words))
    return found
