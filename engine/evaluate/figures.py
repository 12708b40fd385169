"""Figures of classes and redshifts: the binned numbers behind the paper's Figs 12-18, 19, 21-23, B1, C1 and E1.

Each function gives plain arrays in dicts, for evaluation.json and the page; scatter plots draw the objects themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from engine import metrics
from engine.evaluate.objects import BoolArray, FloatArray, Objects
from engine.evaluate.tables import binomial_error
from engine.survey import SPECTYPES, Survey

SNR_GROUPS = ((0.0, 2.0), (2.0, 10.0), (10.0, math.inf))  # paper Fig. 14
SNR_EDGES = np.linspace(0, 50, 15)  # paper Fig. C1: 14 bins
VDISP_EDGES = np.linspace(0, 450, 10)  # paper Fig. E1: up to 450 km/s
FEWEST = 5  # objects that a median is drawn of


def groups(objects: Objects, survey: Survey) -> Iterator[tuple[str, str, BoolArray]]:
    """(name, spectype, mask) of each extragalactic class that occurs, and of objects whose label names only a type."""
    for k in survey.extragalactic:
        here = objects.label == k
        if here.any():
            yield survey.names[k], survey.classes[k].spectype, here
    for kind in ("GALAXY", "QSO"):
        here = (objects.label < 0) & (objects.spectype == kind) & objects.far
        if here.any():
            yield f"{kind}, class not given", kind, here


def confusion(objects: Objects, survey: Survey) -> dict[str, Any]:
    """Counts with the truth in rows, of the classes (Figs 12, 19, 22) and of the types (Fig. B1)."""
    known = objects.take(objects.known)
    types = [kind for kind in SPECTYPES if any(c.spectype == kind for c in survey.classes)]
    here = objects.take(np.isin(objects.spectype, types))
    true, predicted = ([types.index(kind) for kind in column] for column in (here.spectype, here.spectype_pred))
    counts = metrics.confusion(known.label, known.best, len(survey.names))
    return {
        "classes": {"names": list(survey.names), "counts": counts},
        "types": {"names": types, "counts": metrics.confusion(true, predicted, len(types))},
    }


def redshift(objects: Objects, survey: Survey) -> list[dict[str, Any]]:
    """Per group: what stands over the z-z, bias, t and sigma_z panels (Figs 13-18, 21, 23)."""
    made = []
    for name, spectype, mask in groups(objects, survey):
        o = objects.take(mask)
        made.append(
            {
                "name": name,
                "spectype": spectype,
                "n": len(o),
                "window": float(o.window[0]),
                "limit": float(np.median(o.mae)),
                "mean": _headline(o, o.z_pred),
                "point": _headline(o, o.z_point),
                "bins": _z_bins(o),
                "by_snr": [_snr_group(o, low, high) for low, high in SNR_GROUPS],
                "within_t": metrics.within_t(o.z, o.z_pred, o.zerr),
                "sigma_by_snr": _sigma(o, o.snr, _snr_edges(o.snr)),
                "robust": _robust(o),
            }
        )
    return made


def _headline(o: Objects, z: FloatArray) -> dict[str, float]:
    """MAE, mean dz / (1 + z) and good fraction, as the paper writes into its z-z panels."""
    return {
        "mae": metrics.mean_absolute_error(o.z, z),
        "dz": float(metrics.delta_z(o.z, z).mean()),
        "good": metrics.fraction(metrics.bias(o.z, z) < o.window),
    }


def _z_bins(o: Objects, n_bins: int = 10) -> list[dict[str, Any]]:
    """Ten bins of equal width in true redshift: mean residual and mean sigma_z (Fig. 15), MAE of the first member's
    point estimates (Fig. 13)."""
    edges = np.linspace(o.z.min(), o.z.max() + 1e-9, n_bins + 1)
    made = []
    for low, high in pairwise(edges):
        here = (o.z >= low) & (o.z < high)
        if here.any():
            residual, point = (o.z_pred - o.z)[here], (o.z_point - o.z)[here]
            made.append(
                {
                    "low": low, "high": high, "n": int(here.sum()),
                    "residual": residual.mean(), "sigma": o.zerr[here].mean(), "good": metrics.fraction(o.good[here]),
                    "right_type": metrics.fraction(o.right_type[here]),
                    "point_residual": point.mean(), "point_mae": np.abs(point).mean(),
                }
            )  # fmt: skip
    return made


def _snr_group(o: Objects, low: float, high: float) -> dict[str, Any]:
    here = (o.snr >= low) & (o.snr < high)
    return {"low": low, "high": high, "n": int(here.sum()), "good": metrics.fraction(o.good[here])}


def _snr_edges(snr: FloatArray) -> FloatArray:
    """Edges of twelve bins of equal width in log SNR."""
    low, high = max(float(snr.min()), 0.1), max(float(snr.max()), 0.2)
    return np.geomspace(low, high * 1.0001, 13)


def _sigma(o: Objects, along: FloatArray, edges: FloatArray) -> list[dict[str, Any]]:
    """Median sigma_z and median |z' - z| in bins of SNR or velocity dispersion (Figs 17, E1)."""
    made = []
    for low, high in pairwise(edges):
        here = (along >= low) & (along < high)
        if here.sum() >= FEWEST:
            error = np.abs(o.z_pred - o.z)[here]
            made.append(
                {"low": low, "high": high, "n": int(here.sum()), "sigma": np.median(o.zerr[here]),
                 "error": np.median(error)}
            )  # fmt: skip
    return made


def _robust(o: Objects) -> dict[str, Any]:
    outliers = ~o.good
    return {
        "robust": int(o.robust.sum()),
        "unstable": int((~o.robust).sum()),
        "good_robust": metrics.fraction(o.good[o.robust]),
        "good_unstable": metrics.fraction(o.good[~o.robust]),
        "caught": metrics.fraction(~o.robust[outliers]),
    }


def accuracy_by_snr(objects: Objects) -> list[dict[str, Any]]:
    """Accuracy in 14 bins of SNR 0-50 (Fig. C1), over all classes and per type; errors are binomial."""
    known = objects.take(objects.known)
    made = []
    for name in ("all", *SPECTYPES):
        here = np.ones(len(known), dtype=bool) if name == "all" else known.spectype == name
        bins = _accuracy(known.take(here), known.snr[here], SNR_EDGES)
        made.append({"name": name, "bins": bins})
    return [line for line in made if line["bins"]]


def _accuracy(o: Objects, along: FloatArray, edges: FloatArray) -> list[dict[str, Any]]:
    made = []
    for low, high in pairwise(edges):
        here = (along >= low) & (along < high)
        n = int(here.sum())
        if n:
            accuracy, right = metrics.fraction(o.correct[here]), metrics.fraction(o.right_type[here])
            made.append(
                {"low": low, "high": high, "n": n, "accuracy": accuracy, "error": binomial_error(accuracy, n),
                 "type_accuracy": right}
            )  # fmt: skip
    return made


def velocity_dispersion(objects: Objects, survey: Survey) -> list[dict[str, Any]]:
    """Per galaxy class whose velocity dispersions are known: sigma_z and accuracy against them (Fig. E1)."""
    made = []
    for name, spectype, mask in groups(objects, survey):
        o = objects.take(mask & np.isfinite(objects.vdisp) & (objects.vdisp > 0))
        if spectype == "GALAXY" and len(o) and o.known.all():
            made.append(
                {"name": name, "n": len(o), "sigma": _sigma(o, o.vdisp, VDISP_EDGES),
                 "accuracy": _accuracy(o, o.vdisp, VDISP_EDGES)}
            )  # fmt: skip
    return made
