"""Objects: what an ensemble said of N spectra beside what is true, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.evaluate.labels import Labelled
from engine.evaluate.validation import judge
from engine.prediction import Prediction
from engine.survey import Survey

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Objects:
    """N objects judged. Redshift numbers are those of the most probable class of the true type, as in `validate`, and
    NaN for stars (paper eq. 1).

    name, spectype, spectype_pred : (N,) text; flags : (N,) the zwarn bits in words
    label : (N,) true class index, -1 where the label names no class of the survey; p : (N, C) class probabilities
    best, second : (N,) index of the answer (Survey.choose), and of the most probable other class
    z, z_pred, zerr : (N,) truth, reported redshift (Prediction.reported), standard deviation of the members (eq. 8)
    z_point, z_peak : (N,) the first member's redshift; the heaviest peak of p(z)
    mae, window : (N,) validation MAE and good-fraction threshold of that class
    snr : (N,) median per pixel; vdisp : (N,) velocity dispersion, km/s, NaN where unknown
    robust : (N,) the paper's rule, sigma_z <= MAE; for a star, that every member calls it one
    pit : (N,) probability that p(z) gives to redshifts below the true one
    confidence : (N,) Prediction.confidence, that type and redshift are right; reliable : (N,) the flag made of it
    ood : (N,) score of "none of these", NaN in a model without; ood_flag : (N,) the flag made of it
    """

    name: NDArray[np.str_]
    spectype: NDArray[np.str_]
    spectype_pred: NDArray[np.str_]
    flags: NDArray[np.str_]
    label: IntArray
    best: IntArray
    second: IntArray
    p: FloatArray
    z: FloatArray
    z_pred: FloatArray
    zerr: FloatArray
    z_point: FloatArray
    z_peak: FloatArray
    mae: FloatArray
    window: FloatArray
    snr: FloatArray
    vdisp: FloatArray
    robust: BoolArray
    pit: FloatArray
    confidence: FloatArray
    reliable: BoolArray
    ood: FloatArray
    ood_flag: BoolArray

    def __len__(self) -> int:
        return len(self.name)

    def take(self, index: NDArray[np.int64] | BoolArray) -> Objects:
        """The objects of an index or a mask."""
        return Objects(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @cached_property
    def known(self) -> BoolArray:
        """(N,) True where the label names a class of the survey."""
        return np.asarray(self.label >= 0)

    @cached_property
    def correct(self) -> BoolArray:
        """(N,) True where the most probable class is the true one."""
        return np.asarray(self.best == self.label)

    @cached_property
    def right_type(self) -> BoolArray:
        """(N,) True where the most probable class is of the true type."""
        return np.asarray(self.spectype == self.spectype_pred)

    @cached_property
    def far(self) -> BoolArray:
        """(N,) True for objects that have a redshift: galaxies and quasars."""
        return np.isfinite(self.z_pred)

    @cached_property
    def error(self) -> FloatArray:
        """(N,) z_pred - z; NaN for stars."""
        return np.asarray(self.z_pred - self.z)

    @cached_property
    def bias(self) -> FloatArray:
        """(N,) |ln((1 + z) / (1 + z_pred))|, paper eq. 9."""
        return metrics.bias(self.z, self.z_pred)

    @cached_property
    def good(self) -> BoolArray:
        """(N,) True where the bias is below the class's threshold (paper eq. 10); False for stars."""
        return np.asarray(self.bias < self.window)

    @cached_property
    def right(self) -> BoolArray:
        """(N,) True where type and redshift are right."""
        return np.asarray(self.right_type & (self.good | ~self.far))

    @cached_property
    def covering(self) -> FloatArray:
        """(N,) probability of the smallest equal-tailed interval of p(z) that holds the true redshift."""
        return np.abs(2 * self.pit - 1)

    @cached_property
    def t(self) -> FloatArray:
        """(N,) |z - z_pred| / sigma_z, the paper's t (section 4.2.3); infinite where the members do not differ."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.abs(self.error) / self.zerr)


def collect(items: Sequence[Labelled], predictions: Sequence[Prediction]) -> Objects:
    """Objects of labelled spectra and their predictions."""
    rows = [_row(item, prediction) for item, prediction in zip(items, predictions, strict=True)]
    return Objects(**{field.name: np.array([row[field.name] for row in rows]) for field in fields(Objects)})


def joined(parts: Iterable[Objects]) -> Objects:
    """Several batches as one. Raises ValueError for no batch at all."""
    parts = list(parts)
    return Objects(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Objects)})


def _row(item: Labelled, prediction: Prediction) -> dict[str, object]:
    case, survey = judge(item, prediction), prediction.survey
    row: dict[str, object] = {
        "name": item.name,
        "spectype": case.spectype,
        "spectype_pred": case.spectype_pred,
        "flags": "; ".join(case.words),
        "label": survey.index(case.class_name) if case.class_name else -1,
        "best": prediction.best,
        "second": prediction.second,
        "p": prediction.p,
        "z": case.z if np.isfinite(case.zerr) else 0.0,
        "zerr": case.zerr,
        "snr": prediction.snr,
        "vdisp": item.vdisp,
        "robust": case.robust,
        "confidence": prediction.confidence,
        "reliable": prediction.reliable,
        "ood": prediction.ood,
        "ood_flag": prediction.ood_flag,
    }
    column = _column(survey, prediction, case.spectype)
    if column is None:
        return row | dict.fromkeys(("z_pred", "z_point", "z_peak", "mae", "window", "pit"), float("nan"))
    return row | {
        "z_pred": case.z_pred,
        "z_point": float(prediction.z_members[0, column]),
        "z_peak": case.z_peak,
        "mae": float(prediction.mae[column]),
        "window": survey.good_threshold(case.spectype),
        "pit": prediction.cdf(column, case.z),
    }


def _column(survey: Survey, prediction: Prediction, spectype: str) -> int | None:
    """Row of z and pdf of the most probable class of a type; None for stars."""
    of_type = [k for k, c in enumerate(survey.classes) if c.spectype == spectype]
    return prediction.row(max(of_type, key=lambda k: prediction.p[k])) if of_type else None
