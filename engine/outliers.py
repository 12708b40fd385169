"""None of these: a score of how little a spectrum looks like the classes a model was trained on.

Two readings of the features that the members' class heads read, each a mean over the members: the relative Mahalanobis
distance, to the nearest class less that to all mock spectra (Ren et al. 2021), and a linear reading taught on mock
spectra torn apart (engine.mock.strange). Usual are mock spectra and those with larger faults (engine.mock.stress). Each
reading is measured from its median among usual spectra of the same type and SNR, in units of the way to their highest
FALSE_ALARMS. The score is their weighted sum less its threshold; above 0 is flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.special import expit, softmax

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FILE = "outliers.safetensors"
WEIGHTS = np.array([1.0, 1.5])  # of distance and taught reading (docs/log.md)
FALSE_ALARMS = 0.02  # of mock spectra with large faults, for every type at every SNR
LEAST = -1.0  # of a reading: however usual a spectrum looks to one, it does not silence the other
SHRINK = 0.03  # of covariances, towards a sphere
SNR_BINS, FEWEST = 4, 40  # knots in SNR of each type, and spectra that one needs
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
    """Statistics of M members, F features, C classes, T spectral types.

    means : (M, C, F) of the classes; whiten : (M, F, F) of the spread about them; centre : (M, F) and whiten_all :
    (M, F, F) of all mocks; taught : (M, F + 1) linear reading of the features
    types : (C,) number of each class's spectral type
    knots : (T, bins) ln SNR; middle, reach : (T, bins, 2) median of the readings there, and the way from it to the
    highest FALSE_ALARMS; threshold : (T, bins) of the weighted sum
    """

    means: FloatArray
    whiten: FloatArray
    centre: FloatArray
    whiten_all: FloatArray
    taught: FloatArray
    types: FloatArray
    knots: FloatArray
    middle: FloatArray
    reach: FloatArray
    threshold: FloatArray

    def score(self, seen: Seen) -> FloatArray:
        """(N,) how much more outlying than the threshold; above 0 is flagged. NaN where the networks' answers are."""
        return self._weighed(seen, self.readings(seen), self.threshold)

    def readings(self, seen: Seen) -> FloatArray:
        """(N, 2) relative distance and taught reading."""
        relative, taught = [], []
        for k, raw in enumerate(seen.features):
            x = raw.astype(np.float64)
            white, classes = x @ self.whiten[k], self.means[k] @ self.whiten[k]
            square = (white**2).sum(1)[:, None] - 2 * white @ classes.T + (classes**2).sum(1)
            relative.append(square.min(axis=1) - (((x - self.centre[k]) @ self.whiten_all[k]) ** 2).sum(axis=1))
            taught.append(x @ self.taught[k, :-1] + self.taught[k, -1])
        return np.stack([np.mean(relative, axis=0), np.mean(taught, axis=0)], axis=1)

    def _weighed(self, seen: Seen, readings: FloatArray, threshold: FloatArray) -> FloatArray:
        log_snr, kind = _log_snr(seen.snr), self.kind(seen)
        out = np.full(len(readings), np.nan)
        for t, knots in enumerate(self.knots):
            here = kind == t
            at = log_snr[here]
            for j, weight in enumerate(WEIGHTS):
                middle, reach = (np.interp(at, knots, table[t, :, j]) for table in (self.middle, self.reach))
                part = weight * np.maximum((readings[here, j] - middle) / reach, LEAST)
                out[here] = part if j == 0 else out[here] + part
            out[here] -= np.interp(at, knots, threshold[t])
        return out

    def kind(self, seen: Seen) -> IntArray:
        """(N,) number of the spectral type of the most probable class."""
        best = softmax(seen.logits.astype(np.float64), axis=-1).mean(axis=0).argmax(axis=-1)
        return np.asarray(self.types[best], dtype=np.int64)

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


def fit(known: Seen, label: IntArray, strange: Seen, held_out: Seen, spectypes: Sequence[str]) -> OutlierModel:
    """Learn what mock spectra look like and what strange ones do; set the threshold on mocks that were held out.

    label : (N,) true classes of known; spectypes : (C,) of the classes
    """
    parts = [_distances(x.astype(np.float64), label, known.logits.shape[2]) for x in known.features]
    means, whiten, centre, whiten_all = (np.stack(a) for a in zip(*parts, strict=True))
    pairs = zip(known.features, strange.features, strict=True)
    taught = np.stack([_taught(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs])
    names = sorted(set(spectypes))
    types = np.array([names.index(name) for name in spectypes], dtype=np.float64)
    empty = np.zeros((len(names), SNR_BINS, len(WEIGHTS)))
    model = OutlierModel(
        means, whiten, centre, whiten_all, taught, types, empty[..., 0], empty, empty + 1, empty[..., 0]
    )
    bins = [_bins(model, known, t) for t in range(len(names))]
    readings, log_snr = model.readings(known), _log_snr(known.snr)
    knots = np.array([[np.median(log_snr[b]) for b in own] for own in bins]) + 1e-6 * np.arange(SNR_BINS)
    middle = np.array([[np.median(readings[b], axis=0) for b in own] for own in bins])
    high = np.array([[np.quantile(readings[b], 1 - FALSE_ALARMS, axis=0) for b in own] for own in bins])
    model = _with(model, knots=knots, middle=middle, reach=np.maximum(high - middle, 1e-6))
    free = model._weighed(held_out, model.readings(held_out), model.threshold)
    bins = [_bins(model, held_out, t) for t in range(len(names))]
    return _with(model, threshold=np.array([[np.quantile(free[b], 1 - FALSE_ALARMS) for b in own] for own in bins]))


def _bins(model: OutlierModel, seen: Seen, kind: int) -> list[IntArray]:
    """Rows of one spectral type in SNR_BINS bins of rising SNR; all spectra where the type has too few for that."""
    rows = np.flatnonzero(model.kind(seen) == kind)
    rows = rows if rows.size >= FEWEST else np.arange(len(seen.snr))
    rows = rows[np.argsort(seen.snr[rows], kind="stable")]
    bins = np.array_split(rows, max(1, min(SNR_BINS, rows.size // FEWEST)))
    return [bins[min(k, len(bins) - 1)] for k in range(SNR_BINS)]


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


def _log_snr(snr: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.clip(np.nan_to_num(np.asarray(snr, dtype=np.float64), nan=10.0), *SNR_LIMITS)))
