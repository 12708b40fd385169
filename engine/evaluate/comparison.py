"""Comparison: two models' answers to the same spectra side by side, and comparison.json, which holds it.

Errors of differences are those of a paired bootstrap: both models are resampled alike, so that what all models find
hard does not count as a difference.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.evaluate.document import plain
from engine.evaluate.objects import BoolArray, FloatArray, IntArray, Objects
from engine.evaluate.tables import BOOTSTRAPS, MEASURES, TITLES, Number, binomial_error, resampled, spread
from engine.survey import SPECTYPES, Survey

FORMAT = 2
FILE = "comparison.json"
MEAN = "mean of classes"
# What the report draws as curves, here as one number each: key, title, what it says.
HONESTY = (
    ("ece", "ECE", "expected calibration error of the class probabilities"),
    ("ks", "KS of PIT", "Kolmogorov-Smirnov distance of the PIT values of p(z) from uniform ones"),
    ("covers68", "68 % covers", "true redshift in the equal-tailed 68 % interval of p(z)"),
    ("reliable", "reliable", "the model's own flag, made of its confidence"),
    ("right_reliable", "right of reliable", "type and redshift right among those"),
)
COMPARED: Mapping[str, str] = TITLES | {key: title for key, title, _ in HONESTY}
GAINED, LOST, OTHER = "right now", "wrong now", "as right as before"


class ComparisonError(ValueError):
    """Two models cannot be compared, or a comparison cannot be read. The message says why and what to do."""


@dataclass(frozen=True)
class Change:
    """One number of both models and their difference, after - before, each with its bootstrap standard error."""

    before: Number
    after: Number
    difference: Number

    @property
    def sure(self) -> bool:
        """True when the difference is more than two of its errors."""
        return abs(self.difference.value) > 2 * self.difference.error


@dataclass(frozen=True)
class Line:
    """A class, a type, all, or the mean of classes: n objects, n_class of them with a class, a Change per COMPARED."""

    name: str
    n: int
    n_class: int
    numbers: Mapping[str, Change]


@dataclass(frozen=True)
class Turned:
    """An object whose answer changed: class, type, or redshift by more than the good-fraction window.

    path : its file, "" when there is none; truth : its class, or its type where the label names no class
    z_before, z_after : of the most probable class of the true type, None for stars; verdict : GAINED, LOST or OTHER
    """

    name: str
    path: str
    truth: str
    z: float
    before: str
    z_before: float | None
    after: str
    z_after: float | None
    verdict: str


@dataclass(frozen=True)
class Sample:
    """What both models were measured on, and what came of it.

    data : in words; n : objects; lines : a Line per class, type, all, and the mean of classes
    names, confusion_before, confusion_after : (C, C) counts of the classes, truth in rows
    turned : objects whose answer changed, the lost first; left_out : how many were not judged
    """

    data: str
    n: int
    lines: tuple[Line, ...]
    names: tuple[str, ...]
    confusion_before: tuple[tuple[int, ...], ...]
    confusion_after: tuple[tuple[int, ...], ...]
    turned: tuple[Turned, ...]
    left_out: int = 0

    @property
    def confusion_difference(self) -> NDArray[np.int64]:
        """(C, C) counts after - before: more on the diagonal is better."""
        return np.array(self.confusion_after, dtype=np.int64) - np.array(self.confusion_before, dtype=np.int64)

    def line(self, name: str) -> Line:
        """The line of a name. Raises KeyError."""
        return {line.name: line for line in self.lines}[name]


@dataclass(frozen=True)
class Comparison:
    """Two models compared. before, after : names; when : UTC, ISO 8601; seed : of mocks and of the bootstrap.

    weights : sha256 of each member of after, so that nobody takes this for the comparison of another model
    """

    before: str
    after: str
    survey: str
    when: str
    seed: int
    samples: tuple[Sample, ...]
    weights: tuple[str, ...] = ()


def side_by_side(
    before: Objects, after: Objects, surveys: tuple[Survey, Survey], data: str, paths: Sequence[str], seed: int = 0
) -> Sample:
    """What two models say of the same n objects. surveys : theirs, whose classes may differ by some; paths : (n,)."""
    rng = np.random.default_rng(seed)
    names = tuple(dict.fromkeys((*surveys[1].names, *surveys[0].names)))
    true_before, true_after = _named(before.label, surveys[0]), _named(after.label, surveys[1])
    truth = np.where(true_after == "", true_before, true_after)
    groups = [(name, truth == name) for name in names]
    groups += [(f"all {kind}", after.spectype == kind) for kind in SPECTYPES]
    groups += [("all", np.ones(len(after), dtype=bool))]
    lines = [_line(name, before.take(here), after.take(here), rng) for name, here in groups if here.any()]
    answers = tuple(_named(objects.best, survey) for objects, survey in zip((before, after), surveys, strict=True))
    known = truth != ""
    one, two = (_confusion(truth[known], answer[known], names) for answer in answers)
    turned = _turned(before, after, truth, answers, paths)
    return Sample(data, len(after), (*lines, _mean(lines, names)), names, one, two, turned)


def _named(index: IntArray, survey: Survey) -> NDArray[np.str_]:
    """Class names of indices, "" for -1."""
    return np.array([*survey.names, ""])[index]


def _confusion(truth: NDArray[np.str_], answer: NDArray[np.str_], names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    position = {name: k for k, name in enumerate(names)}
    counts = metrics.confusion([position[t] for t in truth], [position[a] for a in answer], len(names))
    return tuple(tuple(row) for row in counts.tolist())


def _line(name: str, before: Objects, after: Objects, rng: np.random.Generator) -> Line:
    n = len(after)
    drawn = rng.integers(0, n, (BOOTSTRAPS, n))
    (one, ones), (two, twos) = _all_numbers(before, drawn), _all_numbers(after, drawn)
    numbers = {}
    for key in COMPARED:
        change = two[key] - one[key]
        error = spread(twos[key] - ones[key])
        if change and error == 0:  # all of a few objects changed alike, which is no certainty
            error = binomial_error(min(abs(change), 1.0), n)
        numbers[key] = Change(_number(key, one, ones, n), _number(key, two, twos, n), Number(change, error))
    return Line(name, n, int(np.maximum(before.known, after.known).sum()), numbers)


def _number(key: str, value: Mapping[str, float], again: Mapping[str, FloatArray], n: int) -> Number:
    error = spread(again[key])
    fraction = key not in (*MEASURES, "ece", "ks")
    return Number(value[key], binomial_error(value[key], n) if fraction and error == 0 else error)


def _all_numbers(objects: Objects, drawn: IntArray) -> tuple[dict[str, float], dict[str, FloatArray]]:
    values, again = resampled(objects, drawn)
    everyone = np.arange(len(objects))
    honest = [_honesty(objects, row) for row in (everyone, *drawn)]
    for key, _, _ in HONESTY:
        values[key] = honest[0][key]
        again[key] = np.array([found[key] for found in honest[1:]])
    return values, again


def _honesty(o: Objects, row: IntArray) -> dict[str, float]:
    far, known = row[o.far[row]], row[o.known[row]]
    reliable = row[o.reliable[row]]
    return {
        "ece": _ece(o.p[known].max(axis=1), o.correct[known]) if known.size else math.nan,
        "ks": _ks(o.pit[far]),
        "covers68": metrics.fraction(o.covering[far] <= 0.68),
        "reliable": metrics.fraction(o.reliable[row]) if o.reliable.any() else math.nan,
        "right_reliable": metrics.fraction(o.right[reliable]),
    }


def _ece(given: FloatArray, right: BoolArray) -> float:
    """As in engine.evaluate.calibration.reliability: ten bins of equal width."""
    which = np.clip(np.ceil(given * 10).astype(int) - 1, 0, 9)
    gap = np.bincount(which, given - right, minlength=10)
    return float(np.abs(gap).sum() / len(given))


def _ks(pit: FloatArray) -> float:
    if not pit.size:
        return math.nan
    steps = np.arange(pit.size + 1) / pit.size
    inside = np.sort(np.clip(pit, 0, 1))
    return float(max((steps[1:] - inside).max(), (inside - steps[:-1]).max()))


def _mean(lines: Sequence[Line], names: Sequence[str]) -> Line:
    """The paper's average: the unweighted mean over the classes that have a number in both models."""
    classes = [line for line in lines if line.name in names]
    numbers = {}
    for key in COMPARED:
        have = [c.numbers[key] for c in classes if math.isfinite(c.numbers[key].difference.value)]
        numbers[key] = Change(
            _average([c.before for c in have]),
            _average([c.after for c in have]),
            _average([c.difference for c in have]),
        )  # fmt: skip
    return Line(MEAN, sum(line.n for line in classes), sum(line.n_class for line in classes), numbers)


def _average(numbers: Sequence[Number]) -> Number:
    if not numbers:
        return Number(math.nan, math.nan)
    error = math.sqrt(sum(number.error**2 for number in numbers)) / len(numbers)
    return Number(float(np.mean([number.value for number in numbers])), error)


def _turned(
    before: Objects, after: Objects, truth: NDArray[np.str_], answers: Sequence[NDArray[np.str_]], paths: Sequence[str]
) -> tuple[Turned, ...]:
    far = before.far & after.far
    moved = far & (metrics.bias(before.z_pred, after.z_pred) > np.fmin(before.window, after.window))
    found = []
    right = [np.where(o.known, o.correct, o.right_type) & (o.good | ~o.far) for o in (before, after)]
    for k in np.flatnonzero((answers[0] != answers[1]) | moved).tolist():
        verdict = OTHER if right[0][k] == right[1][k] else GAINED if right[1][k] else LOST
        z_before, z_after = (float(o.z_pred[k]) if o.far[k] else None for o in (before, after))
        found.append(
            Turned(
                str(after.name[k]), paths[k], str(truth[k] or after.spectype[k]), float(after.z[k]),
                str(answers[0][k]), z_before, str(answers[1][k]), z_after, verdict,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda turned: (LOST, GAINED, OTHER).index(turned.verdict)))


# ---- comparison.json -------------------------------------------------------------------------------------------------


def write_comparison(comparison: Comparison, folder: str | Path) -> Path:
    """Write comparison.json into a folder, atomically; its path. Raises ComparisonError when that cannot be done."""
    path = Path(folder) / FILE
    part = path.with_suffix(".part")
    made = json.dumps(plain({"format": FORMAT} | asdict(comparison)), ensure_ascii=False, allow_nan=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(made + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise ComparisonError(
            f"{path}: cannot be written ({error.strerror or error}); free space, or say --out"
        ) from error
    return path


def read_comparison(folder: str | Path) -> Comparison:
    """The comparison in a run's folder, or in a file. Raises ComparisonError when there is none or it is damaged."""
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        if made["format"] != FORMAT:
            raise ValueError(f"format {made['format']}, not {FORMAT}")
        samples = tuple(_sample(sample) for sample in made["samples"])
        facts = {key: made[key] for key in ("before", "after", "survey", "when", "seed")}
        return Comparison(**facts, samples=samples, weights=tuple(made["weights"]))
    except FileNotFoundError as error:
        raise ComparisonError(f"{path}: no comparison there; gasnet compare BEFORE AFTER makes one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ComparisonError(f"{path}: no readable comparison ({error}); gasnet compare makes it again") from error


def _sample(made: Mapping[str, Any]) -> Sample:
    lines = tuple(
        Line(line["name"], line["n"], line["n_class"], {k: _change(v) for k, v in line["numbers"].items()})
        for line in made["lines"]
    )
    one, two = (tuple(tuple(row) for row in made[key]) for key in ("confusion_before", "confusion_after"))
    turned = tuple(Turned(**row) for row in made["turned"])
    return Sample(made["data"], made["n"], lines, tuple(made["names"]), one, two, turned, made["left_out"])


def _change(made: Mapping[str, Any]) -> Change:
    return Change(*(
        Number(*(math.nan if made[key][part] is None else made[key][part] for part in ("value", "error")))
        for key in ("before", "after", "difference")
    ))  # fmt: skip
