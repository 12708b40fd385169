"""How honest probabilities are: coverage, PIT, expected calibration error, and what a flag buys."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.prediction import LEVELS

FloatArray = NDArray[np.float64]
BINS = 15  # of confidence, as Guo et al. (2017)


def ks(pit: ArrayLike) -> float:
    """Kolmogorov-Smirnov distance of PIT values (n,) from a uniform distribution; NaN for none."""
    u = np.sort(np.asarray(pit, dtype=np.float64))
    n = u.size
    if not n:
        return float("nan")
    steps = np.arange(n + 1) / n
    return float(max(np.abs(u - steps[:-1]).max(), np.abs(u - steps[1:]).max()))


def pit(quantiles: FloatArray, z: FloatArray) -> FloatArray:
    """(n,) probability below the true z (n,) by quantile tables (n, levels) at prediction.LEVELS."""
    return np.array([np.interp(truth, row, LEVELS) for truth, row in zip(z, quantiles, strict=True)])


def coverage(pit_values: ArrayLike, level: float) -> float:
    """Share of truths inside the equal-tailed credible interval of that level; NaN for none."""
    u = np.asarray(pit_values, dtype=np.float64)
    return float((np.abs(u - 0.5) < level / 2).mean()) if u.size else float("nan")


def ece(confidence: ArrayLike, right: ArrayLike) -> float:
    """Expected calibration error over BINS equal bins (Guo et al. 2017, eq. 3); NaN for nothing."""
    given, hit = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if not given.size:
        return float("nan")
    which = np.clip((given * BINS).astype(int), 0, BINS - 1)
    gap = np.bincount(which, given - hit, minlength=BINS)
    return float(np.abs(gap).sum() / given.size)


def ece_floor(confidence: ArrayLike, draws: int = 50) -> float:
    """What `ece` says, on average, of perfectly calibrated answers of these confidences: its noise at this n."""
    given = np.asarray(confidence, dtype=np.float64)
    rng = np.random.default_rng(0)
    return float(np.mean([ece(given, rng.random(given.size) < given) for _ in range(draws)]))


def auroc(negative: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive scores above a negative, ties half (Mann & Whitney); NaN for none of either."""
    low, high = np.sort(np.asarray(negative, dtype=np.float64)), np.asarray(positive, dtype=np.float64)
    if not low.size or not high.size:
        return float("nan")
    below, upto = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((0.5 * (below + upto)).mean() / low.size)


def keeping(score: ArrayLike, good: ArrayLike, points: int = 21) -> dict[str, list[float]]:
    """The purity-completeness curve of a score of which more is better: kept, purity (good share of the kept),
    completeness (kept share of the good), caught (share of the bad that is not kept), from few kept to all."""
    order = np.argsort(-np.asarray(score, dtype=np.float64), kind="stable")
    hit = np.asarray(good, dtype=np.float64)[order]
    n, total = hit.size, hit.sum()
    keep = np.unique(np.linspace(1, n, points).astype(int)) if n else np.empty(0, int)
    found = np.cumsum(hit)[keep - 1] if n else np.empty(0)
    bad = max(n - total, 1e-12)
    return {
        "kept": [round(float(v), 4) for v in keep / max(n, 1)],
        "purity": [round(float(v), 4) for v in found / np.maximum(keep, 1)],
        "completeness": [round(float(v), 4) for v in found / max(total, 1e-12)],
        "caught": [round(float(v), 4) for v in 1 - (keep - found) / bad] if n > total else [1.0] * keep.size,
    }
