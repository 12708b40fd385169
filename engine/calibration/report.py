"""What a card says of a calibration: coverage, PIT and reliability, before and after, and what the flags buy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from engine import metrics
from engine.calibration import Calibration
from engine.calibration.classes import FloatArray
from engine.calibration.fit import Known
from engine.calibration.scores import coverage, ece, ece_floor, keeping, ks, pit
from engine.grid import ZGrid
from engine.prediction import LEVELS
from engine.survey import Survey

CHUNK = 256
SNR_QUARTERS = np.array([0, 0.25, 0.5, 0.75, 1])


def measured(calibration: Calibration, known: Known, survey: Survey, zgrid: ZGrid, mae: FloatArray) -> dict[str, Any]:
    """The numbers of one half of the mock spectra, rounded. `raw` is before calibration; by SNR are quarters.

    mae : (E,) validation MAE of each class, the paper's limit
    """
    p = calibration.classes(known.p)
    quantiles = _quantiles(calibration, known, survey, zgrid)
    rows = {i: k for k, i in enumerate(survey.extragalactic)}
    far = np.flatnonzero(np.isin(known.label, survey.extragalactic))
    row = np.array([rows[int(label)] for label in known.label[far]], dtype=int)
    u = pit(quantiles[far, row], known.z[far])
    u_raw = _raw_pit(known, far, row, zgrid)
    edges = np.quantile(known.snr, SNR_QUARTERS) if len(known) else np.zeros(5)
    quarters = {f"{a:.3g}-{b:.3g}": (known.snr >= a) & (known.snr <= b) for a, b in pairwise(edges)}
    chosen = survey.choose(p)
    confidence, right = p[np.arange(len(p)), chosen], chosen == known.label
    bought = flags(calibration, known, survey, mae, quantiles)
    facts = {
        "n": len(known),
        "n_redshifts": len(far),
        "accuracy": right.mean(),
        "ece": ece(confidence, right),
        "ece_noise": ece_floor(confidence),
        "ece_by_snr": {name: ece(confidence[h], right[h]) for name, h in quarters.items()},
        "ece_noise_by_snr": {name: ece_floor(confidence[h]) for name, h in quarters.items()},
        "ece_by_class": {name: ece(p[:, c], known.label == c) for c, name in enumerate(survey.names)},
        **_honesty(u),
        "ks_by_class": {survey.names[i]: ks(u[row == k]) for i, k in rows.items()},
        "covers_68_by_snr": {name: coverage(u[h[far]], 0.68) for name, h in quarters.items()},
        "covers_95_by_snr": {name: coverage(u[h[far]], 0.95) for name, h in quarters.items()},
        "raw": {"accuracy": (survey.choose(known.p) == known.label).mean(),
                "ece": ece(known.p.max(axis=1), known.p.argmax(axis=1) == known.label), **_honesty(u_raw)},
        "flags": {name: rule for name, rule in bought.items() if name != "curves"},
    }  # fmt: skip
    rounded: dict[str, Any] = _rounded(facts)
    return rounded


def _honesty(u: FloatArray) -> dict[str, float]:
    return {"ks": ks(u), "covers_68": coverage(u, 0.68), "covers_95": coverage(u, 0.95)}


def flags(
    calibration: Calibration, known: Known, survey: Survey, mae: FloatArray, quantiles: FloatArray
) -> dict[str, Any]:
    """The paper's rule (sigma_z <= MAE) and ours (confidence at least its threshold) on what is called a galaxy or a
    quasar: kept, share of the kept whose type and redshift are right, share of the wrong that is caught; and the curves
    of both (engine.calibration.scores.keeping). quantiles : (N, E, levels) calibrated."""
    p, types = calibration.classes(known.p), np.array([c.spectype for c in survey.classes])
    best = survey.choose(p)
    here = np.flatnonzero(np.isin(best, survey.extragalactic))
    row = np.array([survey.extragalactic.index(int(b)) for b in best[here]], dtype=int)
    window = np.array([survey.classes[int(b)].good or 0.0 for b in best[here]])
    z_members = known.z_members[:, here, row].astype(np.float64)
    z, zerr = z_members.mean(axis=0), z_members.std(axis=0)
    mass = np.array(
        [np.diff(np.interp(np.expm1(np.log1p(a) + np.array([-w, w])), q, LEVELS, left=0, right=1))[0]
         for a, w, q in zip(z, window, quantiles[here, row], strict=True)]
    )  # fmt: skip
    same = types[best[here]][:, None] == types
    confidence = (p[here] * same).sum(axis=1) * mass
    good = (types[best[here]] == types[known.label[here]]) & (metrics.bias(known.z[here], z) < window)
    zerr_by_mae = zerr / mae[row]
    return {
        "n": len(here),
        "good": metrics.fraction(good),
        "robust": _kept(zerr_by_mae <= 1, good),
        "reliable": _kept(confidence >= calibration.confident, good),
        "as_many_as_robust": _kept(confidence >= _cut(confidence, metrics.fraction(zerr_by_mae <= 1)), good),
        "curves": {"robust": keeping(-zerr_by_mae, good), "reliable": keeping(confidence, good)},
    }


def _cut(score: FloatArray, share: float) -> float:
    return float(np.quantile(score, 1 - share)) if score.size else 0.0


def _kept(kept: np.ndarray, good: np.ndarray) -> dict[str, float]:
    return {"kept": metrics.fraction(kept), "good_of_kept": metrics.fraction(good[kept]),
            "caught": metrics.fraction(~kept[~good])}  # fmt: skip


def _quantiles(calibration: Calibration, known: Known, survey: Survey, zgrid: ZGrid) -> FloatArray:
    """(N, E, levels) calibrated quantiles of every class."""
    found = []
    for start in range(0, len(known), CHUNK):
        part = known.take(np.arange(start, min(start + CHUNK, len(known))))
        mass = part.mass.astype(np.float64)
        mass /= np.maximum(mass.sum(axis=2, keepdims=True), 1e-12)
        z = part.z_members.astype(np.float64)
        found.append(calibration.redshifts(mass, z, part.snr, survey, zgrid)[1])
    return np.concatenate(found)


def _raw_pit(known: Known, far: np.ndarray, row: np.ndarray, zgrid: ZGrid) -> FloatArray:
    """PIT of the members' mean PDF, linear within its bins."""
    step = zgrid.step * np.log(10)
    edges = np.arange(zgrid.n + 1) - 0.5
    total = np.cumsum(known.mass[far, row].astype(np.float64), axis=1)
    return np.array(
        [np.interp(np.log1p(z) / step, edges, np.r_[0.0, t / t[-1]]) for z, t in zip(known.z[far], total, strict=True)]
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if np.isfinite(value) else None
    return value
