"""validate: measure an ensemble on labelled real spectra, object by object and summed up per class and type."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from engine import metrics
from engine.ensemble import Ensemble
from engine.evaluate.confusions import Confusion, confusions
from engine.evaluate.labels import POOLED, Labelled, labelled
from engine.prediction import Prediction
from engine.survey import SPECTYPES, Survey

# Edges of the redshift bins that a type is looked at in: one number over all redshifts hides a line confusion.
Z_BINS: Mapping[str, tuple[float, ...]] = {
    "GALAXY": (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 2.0),
    "QSO": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.5, 7.1),
}


@dataclass(frozen=True)
class Case:
    """One object judged. z_pred is of the most probable class among those of the true type: the redshift is judged
    apart from the classification, as in the paper's tables; it is the redshift that is reported of that class
    (Prediction.reported); robust is the paper's rule. z_peak is the heaviest peak of p(z) of that class."""

    group: str
    name: str
    spectype: str
    class_name: str  # "" when the label names no class of the survey
    z: float
    class_pred: str
    spectype_pred: str
    z_pred: float
    zerr: float
    robust: bool
    good: bool
    words: tuple[str, ...]
    class_second: str = ""  # the second most probable class
    z_peak: float = 0.0

    @property
    def line_ratio(self) -> float:
        """(1 + z') / (1 + z) of the peak: the same for every object whose lines were mistaken in the same way."""
        return (1 + self.z_peak) / (1 + self.z)


@dataclass(frozen=True)
class Quality:
    """One line of the report. Fractions of nothing are NaN; redshift numbers are NaN for stars (paper eq. 1: z = 0).

    n objects, n_class of them with a class label; accuracy over those, top2 the share whose class is among the two
    most probable, type_accuracy over all; good (eq. 10), nmad, catastrophic (metrics.CATASTROPHIC); robust share and
    the good fraction among the robust.
    """

    name: str
    n: int
    n_class: int
    accuracy: float
    top2: float
    type_accuracy: float
    good: float
    nmad: float
    catastrophic: float
    robust: float
    good_robust: float


@dataclass(frozen=True)
class Bin:
    """Objects of one type in one redshift bin [low, high): n, fraction with a good redshift, fraction of right type."""

    spectype: str
    low: float
    high: float
    n: int
    good: float
    type_accuracy: float


@dataclass(frozen=True)
class Report:
    """What `validate` found: the lines of each group (classes first, then types), its redshift bins, the line
    confusions among its misses, the cases, and what was left out."""

    model: str
    groups: Mapping[str, tuple[Quality, ...]]
    cases: tuple[Case, ...]
    left_out: tuple[tuple[str, str], ...]
    bins: Mapping[str, tuple[Bin, ...]] = field(default_factory=dict)
    confusions: Mapping[str, tuple[Confusion, ...]] = field(default_factory=dict)

    @property
    def misses(self) -> tuple[Case, ...]:
        """Objects of wrong type, or with a redshift outside the good-fraction window."""
        return tuple(c for c in self.cases if c.spectype != c.spectype_pred or not c.good)


def validate(folder: str | Path, ensemble: Ensemble, batch_size: int = 128) -> Report:
    """Classify a folder of labelled spectra and measure the answers.

    Raises SpectrumError when the folder holds neither manifest.csv nor .npz, or one of them lacks a column.
    """
    left_out: list[tuple[str, str]] = []
    cases: list[Case] = []
    batch: list[Labelled] = []
    for item in labelled(Path(folder), left_out):
        batch.append(item)
        if len(batch) == batch_size:
            cases += _judge_all(batch, ensemble)
            batch = []
    cases += _judge_all(batch, ensemble)
    names = sorted({case.group for case in cases}, key=lambda group: (group != POOLED, group))
    members = {group: [c for c in cases if c.group == group] for group in names}
    wave_range = ensemble.survey.wave_range
    return Report(
        ensemble.name,
        {group: summary(found, ensemble.survey) for group, found in members.items()},
        tuple(cases),
        tuple(left_out),
        {group: redshift_bins(found) for group, found in members.items()},
        {
            group: confusions([(c.name, c.z, c.z_peak) for c in found if not c.good], wave_range)
            for group, found in members.items()
        },
    )


def _judge_all(batch: Sequence[Labelled], ensemble: Ensemble) -> list[Case]:
    predictions = ensemble.predict([item.spectrum for item in batch], keep_members=False) if batch else []
    return [judge(item, prediction) for item, prediction in zip(batch, predictions, strict=True)]


def judge(item: Labelled, prediction: Prediction) -> Case:
    """Compare one prediction with its label; see Case."""
    survey, label = prediction.survey, item.label
    of_type = [k for k, c in enumerate(survey.classes) if c.spectype == label.spectype]
    row = prediction.row(max(of_type, key=lambda k: prediction.p[k])) if of_type else None
    second = prediction.second
    if row is None:  # a star: z = 0
        z_pred, zerr, z_peak, robust, good = 0.0, math.nan, 0.0, prediction.robust, True
    else:
        z_pred, zerr, z_peak = prediction.reported(row), float(prediction.zerr[row]), peak(prediction, row)
        robust = bool(metrics.is_robust(zerr, prediction.mae[row])[0])
        good = bool(metrics.bias(label.z, z_pred)[0] < survey.good_threshold(label.spectype))
    return Case(
        item.group, item.name, label.spectype, item.class_in(survey), label.z, prediction.class_name,
        prediction.spectype, z_pred, zerr, bool(robust), good, prediction.words(), survey.names[second], z_peak,
    )  # fmt: skip


def peak(prediction: Prediction, row: int) -> float:
    """Redshift of the heaviest peak of p(z) of one class; the members' mean when it has none."""
    found = prediction.peaks(row, most=1)
    return found[0].z if found else float(prediction.z[row])


def summary(cases: Sequence[Case], survey: Survey) -> tuple[Quality, ...]:
    """One Quality per class of the survey that occurs, then one per type."""
    by_class = [(name, [c for c in cases if c.class_name == name]) for name in survey.names]
    by_type = [(f"all {kind}", [c for c in cases if c.spectype == kind]) for kind in SPECTYPES]
    return tuple(_quality(name, group) for name, group in (*by_class, *by_type) if group)


def _quality(name: str, cases: Sequence[Case]) -> Quality:
    spectype = cases[0].spectype
    with_class = [c for c in cases if c.class_name]
    redshift: Iterable[float] = (math.nan,) * 4
    if spectype != "STAR":
        z, z_pred = [c.z for c in cases], [c.z_pred for c in cases]
        redshift = (
            metrics.fraction([c.good for c in cases]),
            metrics.nmad(z, z_pred),
            metrics.catastrophic_fraction(z, z_pred, spectype),
            metrics.fraction([c.good for c in cases if c.robust]),
        )
    good, nmad, catastrophic, good_robust = redshift
    return Quality(
        name, len(cases), len(with_class),
        metrics.fraction([c.class_name == c.class_pred for c in with_class]),
        metrics.fraction([c.class_name in (c.class_pred, c.class_second) for c in with_class]),
        metrics.fraction([c.spectype == c.spectype_pred for c in cases]),
        good, nmad, catastrophic, metrics.fraction([c.robust for c in cases]), good_robust,
    )  # fmt: skip


def redshift_bins(cases: Sequence[Case]) -> tuple[Bin, ...]:
    """The bins of Z_BINS that hold an object, galaxies first."""
    found = []
    for spectype, edges in Z_BINS.items():
        for low, high in pairwise(edges):
            here = [c for c in cases if c.spectype == spectype and low <= max(c.z, 0.0) < high]
            if here:
                right = metrics.fraction([c.spectype == c.spectype_pred for c in here])
                found.append(Bin(spectype, low, high, len(here), metrics.fraction([c.good for c in here]), right))
    return tuple(found)
