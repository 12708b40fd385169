"""Figures of honesty: does p(z) cover, do class probabilities mean what they say, what do the robust flags buy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import kstest

from engine import metrics
from engine.evaluate.figures import FEWEST
from engine.evaluate.objects import BoolArray, FloatArray, Objects
from engine.evaluate.tables import binomial_error
from engine.survey import Survey

LEVELS = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99])
PIT_BINS = 20
CURVE = 101  # points of a purity-completeness curve


def _types(objects: Objects) -> list[tuple[str, Objects]]:
    found = [(kind, objects.take((objects.spectype == kind) & objects.far)) for kind in ("GALAXY", "QSO")]
    return [(kind, o) for kind, o in found if len(o) >= FEWEST]


def pit(objects: Objects) -> list[dict[str, Any]]:
    """Per type: histogram of the PIT values of p(z), and the Kolmogorov-Smirnov distance from a uniform one."""
    made = []
    for kind, o in _types(objects):
        counts, edges = np.histogram(o.pit, bins=PIT_BINS, range=(0, 1))
        made.append(
            {"name": kind, "n": len(o), "edges": edges, "counts": counts,
             "ks": float(kstest(o.pit, "uniform").statistic)}
        )  # fmt: skip
    return made


def coverage(objects: Objects) -> list[dict[str, Any]]:
    """Per type: how often the equal-tailed interval of p(z) of a given probability holds the true redshift."""
    return [
        {"name": kind, "n": len(o), "level": LEVELS, "covered": [metrics.fraction(o.covering <= q) for q in LEVELS]}
        for kind, o in _types(objects)
    ]


def reliability(objects: Objects, survey: Survey) -> list[dict[str, Any]]:
    """How often the most probable class, and the most probable type, is right, against the probability given to it."""
    known = objects.take(objects.known)
    lines = [("class", known.p.max(axis=1) if len(known) else np.empty(0), known.correct)]
    same = objects.spectype_pred[:, None] == np.array([c.spectype for c in survey.classes])
    lines.append(("type", (objects.p * same).sum(axis=1), objects.right_type))
    return [_reliable(name, given, right) for name, given, right in lines if len(given)]


def _reliable(name: str, given: FloatArray, right: BoolArray) -> dict[str, Any]:
    bins, ece = [], 0.0
    for low, high in pairwise(np.linspace(0, 1, 11)):
        here = (given > low) & (given <= high)
        n = int(here.sum())
        if n:
            share = metrics.fraction(right[here])
            ece += n / len(given) * abs(share - given[here].mean())
            bins.append({"n": n, "given": given[here].mean(), "right": share, "error": binomial_error(share, n)})
    return {"name": name, "n": len(given), "ece": ece, "bins": bins}


def purity(objects: Objects) -> list[dict[str, Any]]:
    """Per type: share of right answers (type and redshift) among what is kept against the share of right answers kept,
    as the demand grows.

    Two rules: sigma_z over the class's MAE (the paper's rule is the point at 1), and the model's confidence (its flag
    `reliable` is None in a model without calibration). caught : share of the wrong answers that are thrown out.
    """
    made = []
    for kind, o in _types(objects):
        rules = {"sigma": _curve(o.zerr / o.mae, o.right), "confidence": _curve(-o.confidence, o.right)}
        ours = _kept(o.reliable, o.right) if o.reliable.any() else None
        made.append({"name": kind, "n": len(o), "rules": rules, "paper": _kept(o.robust, o.right), "ours": ours})
    return made


def _curve(score: FloatArray, right: BoolArray) -> dict[str, list[float]]:
    """The curve of a score of which less is better."""
    order = np.argsort(score, kind="stable")
    points = []
    for n in np.unique(np.linspace(1, len(score), min(CURVE, len(score))).astype(int)):
        kept = np.zeros(len(score), dtype=bool)
        kept[order[:n]] = True
        points.append(_kept(kept, right))
    return {key: [point[key] for point in points] for key in points[0]}


def _kept(kept: BoolArray, right: BoolArray) -> dict[str, float]:
    return {
        "kept": metrics.fraction(kept),
        "purity": metrics.fraction(right[kept]),
        "completeness": metrics.fraction(kept[right]),
        "caught": metrics.fraction(~kept[~right]),
    }
