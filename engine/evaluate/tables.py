"""Tables: how good an evaluation is per class and type, every number with its n and its bootstrap error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.evaluate.objects import BoolArray, FloatArray, IntArray, Objects
from engine.survey import SPECTYPES, Survey

BOOTSTRAPS = 200

# Key, title, what it says. All but nmad are means over the objects that the number is defined for.
STATISTICS: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "accuracy", "most probable class is the true one"),
    ("top2", "top 2", "true class among the two most probable"),
    ("type_accuracy", "right type", "star, galaxy or quasar"),
    ("good", "GF", "bias below .0015 (galaxies) or .015 (quasars), paper eq. 10"),
    ("mae", "MAE", "mean |z' - z|, paper eq. 12"),
    ("dz", "Δz", "mean |z' - z| / (1 + z), paper eq. 11"),
    ("nmad", "NMAD", "1.4826 times the median absolute deviation of (z' - z) / (1 + z)"),
    ("catastrophic", "catastrophic", "|z' - z| / (1 + z) above .01 (galaxies) or .05 (quasars)"),
    ("within_t", "t ≤ 3", "|z' - z| at most 3 sigma_z, paper Fig. 16"),
    ("robust", "robust", "sigma_z at most the class's validation MAE, paper section 4.2.3"),
    ("good_robust", "GF of robust", "good fraction among the robust"),
    ("flagged", "flagged", "said to be perhaps none of the classes: false alarms"),
)
MEASURES = ("mae", "dz", "nmad")  # the others are fractions
TITLES = {key: title for key, title, _ in STATISTICS}


@dataclass(frozen=True)
class Number:
    """A number and its bootstrap standard error (a fraction that is 0 or 1: its binomial one); NaN for no objects."""

    value: float
    error: float


@dataclass(frozen=True)
class Row:
    """One line: its name, n objects, n_class of them with a class label, a Number for each key of STATISTICS."""

    name: str
    n: int
    n_class: int
    numbers: Mapping[str, Number]


def quality(objects: Objects, survey: Survey, seed: int = 0) -> tuple[Row, ...]:
    """A row per class that occurs, per type, and for all. Errors: BOOTSTRAPS resamplings of the row, from the seed."""
    groups = [(name, objects.label == k) for k, name in enumerate(survey.names)]
    groups += [(f"all {kind}", objects.spectype == kind) for kind in SPECTYPES]
    groups += [("all", np.ones(len(objects), dtype=bool))]
    rng = np.random.default_rng(seed)
    return tuple(_row(name, objects.take(here), rng) for name, here in groups if here.any())


def binomial_error(share: float, n: int) -> float:
    """Standard error of a fraction of n; of one half an object from 0 or 1, where it is 0 or 1."""
    inside = min(max(share, 0.5 / n), 1 - 0.5 / n)
    return math.sqrt(inside * (1 - inside) / n)


def mean_over_classes(rows: tuple[Row, ...], survey: Survey, key: str) -> Number:
    """The paper's average: the unweighted mean of a number over the classes that have it."""
    numbers = [row.numbers[key] for row in rows if row.name in survey.names]
    numbers = [number for number in numbers if math.isfinite(number.value)]
    if not numbers:
        return Number(math.nan, math.nan)
    error = math.sqrt(sum(number.error**2 for number in numbers)) / len(numbers)
    return Number(float(np.mean([number.value for number in numbers])), error)


def _row(name: str, objects: Objects, rng: np.random.Generator) -> Row:
    n = len(objects)
    values, again = resampled(objects, rng.integers(0, n, (BOOTSTRAPS, n)))
    columns = _columns(objects)
    numbers = {}
    for key in TITLES:
        error = spread(again[key])
        if key not in MEASURES and error == 0:  # all or none resample to themselves, which is no certainty
            error = binomial_error(values[key], int(columns[key][1].sum()))
        numbers[key] = Number(values[key], error)
    return Row(name, n, int(objects.known.sum()), numbers)


def resampled(objects: Objects, drawn: IntArray) -> tuple[dict[str, float], dict[str, FloatArray]]:
    """Each number of STATISTICS of the n objects, NaN where it is of none, and (R,) of it in each of the resamplings.

    drawn : (R, n) indices. Two models' answers to the same objects, resampled alike, differ by what the models differ.
    """
    values, again = {}, {}
    for key, (value, counts) in _columns(objects).items():
        weight = counts[drawn].astype(np.float64)
        total = weight.sum(axis=1)
        sums = (np.where(counts, value, 0.0)[drawn] * weight).sum(axis=1)
        again[key] = np.divide(sums, total, out=np.full(len(drawn), np.nan), where=total > 0)
        values[key] = float(value[counts].mean()) if counts.any() else math.nan
    far, z, z_pred = objects.far, objects.z, objects.z_pred
    values["nmad"] = metrics.nmad(z[far], z_pred[far])
    again["nmad"] = np.array([metrics.nmad(z[row], z_pred[row]) for row in (row[far[row]] for row in drawn)])
    return values, again


def _columns(objects: Objects) -> dict[str, tuple[FloatArray, BoolArray]]:
    """Per statistic: (n,) the values whose mean it is, and which objects count."""
    far, known = objects.far, objects.known
    error = np.abs(objects.z_pred - objects.z)
    relative = error / (1 + objects.z)
    limit = np.array([metrics.CATASTROPHIC.get(kind, math.nan) for kind in objects.spectype])
    everyone = np.ones(len(objects), dtype=bool)
    columns: dict[str, tuple[NDArray, BoolArray]] = {
        "accuracy": (objects.correct, known),
        "top2": (objects.correct | (objects.second == objects.label), known),
        "type_accuracy": (objects.right_type, everyone),
        "good": (objects.good, far),
        "mae": (error, far),
        "dz": (relative, far),
        "catastrophic": (relative > limit, far),
        "within_t": (error <= 3 * objects.zerr, far),
        "robust": (objects.robust, everyone),
        "good_robust": (objects.good, far & objects.robust),
        "flagged": (objects.ood_flag, np.isfinite(objects.ood)),
    }
    return {key: (value.astype(np.float64), counts) for key, (value, counts) in columns.items()}


def spread(again: FloatArray) -> float:
    """Standard deviation of what resamplings gave, of those that gave anything; NaN for fewer than two."""
    again = again[np.isfinite(again)]
    return float(again.std()) if again.size > 1 else math.nan
