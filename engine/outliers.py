"""None of these: a score of how little a spectrum looks like the classes a model was trained on.

The evidence, each averaged over the members: the Mahalanobis distance of the classifier's features to the nearest
class, and that relative to the distance to all mock spectra (Ren et al. 2021); the energy of the logits (Liu et al.
2020); the members' disagreement (mutual information); and a linear reading of the features taught on mock spectra torn
apart (engine.mock.strange). A quadratic logistic form of these and the SNR weighs them. The score is that form's logit
less its threshold at the spectrum's SNR: above 0 is flagged.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp, softmax

FloatArray = NDArray[np.float64]

FILE = "outliers.safetensors"
EVIDENCE = ("distance", "relative distance", "energy", "disagreement", "taught", "snr")
FALSE_ALARMS = 0.02  # of mock spectra, at every SNR
SHRINK = 0.03  # of covariances, towards a sphere
CLIP = 8.0  # standard deviations beyond which evidence counts no more
SNR_BINS = 5
SNR_LIMITS = (0.3, 100.0)


class OutlierError(ValueError):
    """The file of outlier statistics is damaged or does not fit. The message names it and the remedy."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What the members made of N spectra: features (M, N, F), logits (M, N, C); snr (N,) measured."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    snr: FloatArray

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Seen:
        """Some of the spectra."""
        return Seen(self.features[:, rows], self.logits[:, rows], self.snr[rows])


@dataclass(frozen=True, eq=False)
class OutlierModel:
    """Statistics of M members, F features, C classes, K terms of the quadratic form.

    means : (M, C, F) of the classes; whiten : (M, F, F) of the spread about them; centre : (M, F) and whiten_all :
    (M, F, F) of all mocks; taught : (M, F + 1) linear reading of the features; mean, std : (evidence,); weights : (K,)
    knots, thresholds : (bins,) ln SNR and the logit that FALSE_ALARMS of the mocks exceed there
    """

    means: FloatArray
    whiten: FloatArray
    centre: FloatArray
    whiten_all: FloatArray
    taught: FloatArray
    mean: FloatArray
    std: FloatArray
    weights: FloatArray
    knots: FloatArray
    thresholds: FloatArray

    def score(self, seen: Seen) -> FloatArray:
        """(N,) how much more outlying than the threshold; above 0 is flagged. NaN where the networks' answers are."""
        return self.logit(seen) - np.interp(_log_snr(seen.snr), self.knots, self.thresholds)

    def logit(self, seen: Seen) -> FloatArray:
        """(N,) the quadratic form, before the threshold."""
        x = np.clip((self.evidence(seen) - self.mean) / self.std, -CLIP, CLIP)
        return np.asarray(_quadratic(x) @ self.weights)

    def evidence(self, seen: Seen) -> FloatArray:
        """(N, evidence) in the order of EVIDENCE."""
        near, relative, taught = [], [], []
        for k, raw in enumerate(seen.features):
            x = raw.astype(np.float64)
            white = x @ self.whiten[k]
            classes = self.means[k] @ self.whiten[k]
            square = (white**2).sum(1)[:, None] - 2 * white @ classes.T + (classes**2).sum(1)
            distance = square.min(axis=1)
            overall = (((x - self.centre[k]) @ self.whiten_all[k]) ** 2).sum(axis=1)
            near.append(distance)
            relative.append(distance - overall)
            taught.append(x @ self.taught[k, :-1] + self.taught[k, -1])
        logits = seen.logits.astype(np.float64)
        p = softmax(logits, axis=-1)
        entropy = -(p * log_softmax(logits, axis=-1)).sum(axis=-1).mean(axis=0)
        mean = p.mean(axis=0)
        information = -(mean * np.log(np.maximum(mean, 1e-12))).sum(axis=-1) - entropy
        columns = (
            np.log(np.maximum(np.mean(near, axis=0), 1e-6)),
            np.mean(relative, axis=0),
            -logsumexp(logits, axis=-1).mean(axis=0),
            np.log(np.maximum(information, 1e-6)),
            np.mean(taught, axis=0),
            _log_snr(seen.snr),
        )
        return np.stack(columns, axis=1)

    def save(self, path: Path) -> None:
        """Write as float32 safetensors, under a temporary name first."""
        part = path.with_suffix(".part")
        save_file({f.name: getattr(self, f.name).astype(np.float32) for f in fields(self)}, str(part))
        part.replace(path)

    @classmethod
    def load(cls, path: Path, members: int) -> OutlierModel:
        """Read a file that `save` wrote. Raises OutlierError naming the file and what does not fit."""
        try:
            arrays = load_file(str(path))
        except (OSError, SafetensorError) as error:
            raise OutlierError(f"{path}: cannot be read: {error}; run `gasnet calibrate` again") from error
        names = {f.name for f in fields(cls)}
        if set(arrays) != names:
            odd = sorted(names ^ set(arrays))[0]
            raise OutlierError(f"{path}: tensor {odd!r} is missing or unexpected; run `gasnet calibrate` again")
        if len(arrays["means"]) != members:
            n = len(arrays["means"])
            raise OutlierError(f"{path}: made for {n} members, not {members}; run `gasnet calibrate` again")
        return cls(**{name: array.astype(np.float64) for name, array in arrays.items()})


def fit(known: Seen, label: NDArray[np.int64], strange: Seen, held_out: Seen) -> OutlierModel:
    """Learn what mock spectra look like and what strange ones do; set the threshold on mocks that were held out.

    label : (N,) true classes of known
    """
    parts = [_distances(x.astype(np.float64), label, known.logits.shape[2]) for x in known.features]
    means, whiten, centre, whiten_all = (np.stack(a) for a in zip(*parts, strict=True))
    pairs = zip(known.features, strange.features, strict=True)
    taught = np.stack([_taught(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs])
    blank = OutlierModel(
        means, whiten, centre, whiten_all, taught, np.zeros(len(EVIDENCE)), np.ones(len(EVIDENCE)),
        np.zeros(_quadratic(np.zeros((1, len(EVIDENCE)))).shape[1]), np.array([0.0, 1.0]), np.zeros(2),
    )  # fmt: skip
    usual, odd = blank.evidence(known), blank.evidence(strange)
    mean, std = usual.mean(axis=0), usual.std(axis=0) + 1e-6
    a, b = (_quadratic(np.clip((x - mean) / std, -CLIP, CLIP)) for x in (usual, odd))
    learned = _with(blank, mean=mean, std=std, weights=_logistic(a, b, 1e-3))
    return _with(learned, **_thresholds(learned, held_out))


def _with(model: OutlierModel, **changes: FloatArray) -> OutlierModel:
    return OutlierModel(**{f.name: changes.get(f.name, getattr(model, f.name)) for f in fields(model)})


def _distances(
    x: FloatArray, label: NDArray[np.int64], n_classes: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    centre = x.mean(axis=0)
    # A class of which there is no mock spectrum lies where nothing is nearest to it.
    means = np.stack([x[label == c].mean(axis=0) if (label == c).any() else centre + 1e3 for c in range(n_classes)])
    return means, _whitening(x - means[label]), centre, _whitening(x - centre)


def _whitening(x: FloatArray) -> FloatArray:
    """(F, F) W with |x W|^2 the Mahalanobis distance of the shrunk covariance of x (n, F)."""
    covariance = x.T @ x / len(x)
    ridge = SHRINK * np.trace(covariance) / len(covariance) + 1e-9
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors / np.sqrt(np.maximum(values, 0) + ridge))


def _taught(usual: FloatArray, odd: FloatArray) -> FloatArray:
    """(F + 1,) a linear logistic reading of the features, the constant last."""
    mean, std = usual.mean(axis=0), usual.std(axis=0) + 1e-3
    ones_a, ones_b = np.ones((len(usual), 1)), np.ones((len(odd), 1))
    w = _logistic(np.c_[(usual - mean) / std, ones_a], np.c_[(odd - mean) / std, ones_b], 1e-3)
    weights = w[:-1] / std
    return np.r_[weights, w[-1] - mean @ weights]


def _logistic(usual: FloatArray, odd: FloatArray, ridge: float) -> FloatArray:
    """(k,) weights that tell odd rows from usual ones, either kind counting the same."""
    x = np.concatenate([usual, odd])
    y = np.r_[np.zeros(len(usual)), np.ones(len(odd))]
    share = np.r_[np.full(len(usual), 0.5 / len(usual)), np.full(len(odd), 0.5 / len(odd))]

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        logit = x @ w
        value = (share * (np.logaddexp(0, logit) - y * logit)).sum() + ridge * (w @ w)
        return float(value), x.T @ (share * (expit(logit) - y)) + 2 * ridge * w

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300}).x)


def _thresholds(model: OutlierModel, held_out: Seen) -> dict[str, FloatArray]:
    """The logit exceeded by FALSE_ALARMS of the mocks in each of a few bins of SNR."""
    logit, log_snr = model.logit(held_out), _log_snr(held_out.snr)
    order = np.argsort(log_snr, kind="stable")
    bins = np.array_split(order, max(1, min(SNR_BINS, len(order) // 100)))
    knots = np.array([np.median(log_snr[b]) for b in bins])
    return {"knots": knots, "thresholds": np.array([np.quantile(logit[b], 1 - FALSE_ALARMS) for b in bins])}


def _quadratic(x: FloatArray) -> FloatArray:
    """(n, k) -> (n, 1 + k + k (k + 1) / 2): a constant, the columns and their products."""
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1)), x, x[:, i] * x[:, j]], axis=1)


def _log_snr(snr: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.clip(np.nan_to_num(np.asarray(snr, dtype=np.float64), nan=10.0), *SNR_LIMITS)))
