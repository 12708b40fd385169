"""Prediction: what an ensemble says of one spectrum. Every number that the screen or the command line shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from engine.survey import Survey

FloatArray = NDArray[np.float64]

C_KMS = 299792.458
APART_KMS = 1000.0  # redshifts further from each other are different answers

# Cumulative probabilities at which a calibrated redshift PDF is kept; between them it is linear.
LEVELS = np.r_[0, 1e-4, 1e-3, 0.005, np.arange(1, 100) / 100, 0.995, 0.999, 0.9999, 1]


class ZWarn(IntFlag):
    """Redshift warning bits. 0-11 mean what they mean in redrock (zwarning.py); from 16 on they are ours."""

    LITTLE_COVERAGE = 1 << 1  # less than half of the network's grid has good pixels
    SMALL_DELTA_CHI2 = 1 << 2  # a second peak of p(z), more than 1000 km/s away, has real weight
    Z_FITLIMIT = 1 << 5  # z at the edge of the range the class was trained on
    NODATA = 1 << 9  # no good pixel on the network's grid
    POORDATA = 1 << 11  # median SNR below 0.5 or estimated ivar
    MEMBERS_DISAGREE = 1 << 16  # sigma_z above the validation MAE (paper section 4.2.3), or members split on the type
    CLASS_UNCERTAIN = 1 << 17  # the best class has less than half of the probability
    NONE_OF_THESE = 1 << 18  # the outlier score is above its threshold: perhaps an object of none of the classes


ZWARN_WORDS = {
    ZWarn.LITTLE_COVERAGE: "little wavelength coverage",
    ZWarn.SMALL_DELTA_CHI2: "a rival redshift has real weight",
    ZWarn.Z_FITLIMIT: "redshift at the edge of the trained range",
    ZWarn.NODATA: "no usable data on the network's grid",
    ZWarn.POORDATA: "poor data: low or unknown signal-to-noise",
    ZWarn.MEMBERS_DISAGREE: "ensemble members disagree",
    ZWarn.CLASS_UNCERTAIN: "class uncertain",
    ZWarn.NONE_OF_THESE: "perhaps none of the classes",
}


@dataclass(frozen=True)
class Peak:
    """One peak of a redshift PDF: its z and the probability mass within 1000 km/s."""

    z: float
    weight: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """An ensemble's answer for one spectrum. C classes, M members, E extragalactic classes, Z redshift bins.

    p : (C,) probability of each class: the mean of the members, calibrated where the model is; p_members : (M, C) raw
    z_classes : (E,) indices into survey.classes of the classes that have a redshift
    z_grid : (Z,) redshifts; pdf : (E, Z) redshift PDF of each such class, density per unit z: likewise
    pdf_members : (M, E, Z) the members' raw PDFs, empty (0, E, Z) when they were not asked for
    z_members : (M, E) members' point estimates; z, zerr : (E,) their mean and standard deviation (paper eqs 7, 8);
        what is reported is best_z
    mae : (E,) validation MAE of each class, the paper's limit between robust and unstable (section 4.2.3)
    snr : median flux * sqrt(ivar) on good pixels; zwarn : ZWarn bits; robust : the paper's flag
    model : name of the model that answered
    quantiles : (E, levels) redshifts at the cumulative probabilities LEVELS, finer than the bins of pdf; None in a
        model without calibration, whose probabilities and intervals are the members' own words
    reliable : confidence at least the card's threshold; ood : score of "none of these", above 0 flagged (ood_flag);
        NaN in a model without it
    fingerprint : (128,) what the members' class heads read, to find similar objects by (engine.fingerprint)
    """

    object_id: str
    survey: Survey
    model: str
    p: FloatArray
    p_members: FloatArray
    z_classes: tuple[int, ...]
    z_grid: FloatArray
    pdf: FloatArray
    pdf_members: NDArray[np.float32]
    z_members: FloatArray
    z: FloatArray
    zerr: FloatArray
    mae: FloatArray
    snr: float
    zwarn: ZWarn
    robust: bool
    quantiles: FloatArray | None = None
    reliable: bool = False
    ood: float = float("nan")
    ood_flag: bool = False
    fingerprint: NDArray[np.float32] | None = None

    @property
    def calibrated(self) -> bool:
        """True when probabilities and PDFs were calibrated on mock validation spectra."""
        return self.quantiles is not None

    @cached_property
    def best(self) -> int:
        """Index of the most probable class of the most probable type (Survey.choose)."""
        return int(self.survey.choose(self.p))

    @property
    def second(self) -> int:
        """Index of the most probable class but for the best."""
        return int(np.argmax(np.where(np.arange(len(self.p)) == self.best, -1.0, self.p)))

    @property
    def class_name(self) -> str:
        """Name of the most probable class."""
        return self.survey.classes[self.best].name

    @property
    def spectype(self) -> str:
        """STAR, GALAXY or QSO: the type of the most probable class."""
        return self.survey.classes[self.best].spectype

    @property
    def p_std(self) -> FloatArray:
        """(C,) spread of the class probabilities among members."""
        return np.asarray(self.p_members.std(axis=0))

    @cached_property
    def best_z(self) -> float:
        """Redshift of the most probable class, as `reported` says; 0 for stars (paper eq. 1)."""
        row = self.row(self.best)
        return 0.0 if row is None else self.reported(row)

    def reported(self, row: int) -> float:
        """The redshift that is reported of one class: the mean of the members (paper eq. 7, field z), unless it lies
        outside the heaviest peak of p(z), by more than APART_KMS or the good-fraction window (paper eq. 10): then that
        peak. Members that find different redshifts have a mean that none of them found."""
        mean, peaks, good = float(self.z[row]), self.peaks(row, most=1), self.survey.classes[self.z_classes[row]].good
        reach = min(APART_KMS / C_KMS, good or math.inf)
        return peaks[0].z if peaks and abs(math.log((1 + mean) / (1 + peaks[0].z))) > reach else mean

    @property
    def best_zerr(self) -> float:
        """sigma_z of the most probable class; NaN for stars."""
        row = self.row(self.best)
        return float("nan") if row is None else float(self.zerr[row])

    def row(self, class_index: int) -> int | None:
        """Row of a class in z, zerr and pdf; None for a class without redshift."""
        return self.z_classes.index(class_index) if class_index in self.z_classes else None

    def _cumulative(self, row: int) -> tuple[FloatArray, FloatArray]:
        """Cumulative probabilities and the redshifts where they are reached, both rising."""
        if self.quantiles is not None:
            return LEVELS, self.quantiles[row]
        centres = np.log1p(self.z_grid)
        middle = 0.5 * (centres[1:] + centres[:-1])
        edges = np.expm1(np.r_[2 * centres[0] - middle[0], middle, 2 * centres[-1] - middle[-1]])
        total = np.cumsum(self.pdf[row] * np.diff(edges))
        return np.r_[0.0, total / total[-1]], edges

    def cdf(self, row: int, z: float) -> float:
        """Probability that the redshift of one class lies below z."""
        levels, redshifts = self._cumulative(row)
        return float(np.interp(z, redshifts, levels, left=0.0, right=1.0))

    def quantile(self, row: int, level: float) -> float:
        """The redshift below which that much (0-1) of one class's probability lies."""
        levels, redshifts = self._cumulative(row)
        return float(np.interp(level, levels, redshifts))

    def credible_interval(self, row: int, level: float = 0.68) -> tuple[float, float]:
        """Equal-tailed interval of one class's redshift: (z_low, z_high) with (1 - level) / 2 on either side."""
        return self.quantile(row, (1 - level) / 2), self.quantile(row, (1 + level) / 2)

    @cached_property
    def confidence(self) -> float:
        """Probability that type and redshift are right: that of the type times that of p(z) within the good-fraction
        window (paper eq. 10) around best_z; for a star that of the type."""
        p_type = float(sum(p for p, c in zip(self.p, self.survey.classes, strict=True) if c.spectype == self.spectype))
        row, good = self.row(self.best), self.survey.classes[self.best].good
        if row is None or good is None:
            return p_type
        low, high = np.expm1(np.log1p(self.best_z) + np.array([-good, good]))
        return p_type * (self.cdf(row, float(high)) - self.cdf(row, float(low)))

    def peaks(self, row: int, most: int = 3, apart_kms: float = APART_KMS) -> tuple[Peak, ...]:
        """The highest peaks of one class's ensemble PDF, at least apart_kms from each other, heaviest first.

        A shoulder is no peak: between two peaks p(z) falls to less than half of the lower one.
        """
        mass = self.pdf[row] * np.gradient(self.z_grid)
        reach = apart_kms / C_KMS
        logz = np.log1p(self.z_grid)
        inner = (mass[1:-1] >= mass[:-2]) & (mass[1:-1] > mass[2:])
        tops = np.flatnonzero(np.r_[mass[0] > mass[1], inner, mass[-1] > mass[-2]] & (mass > 3e-4))
        found: list[int] = []
        left = tops[np.argsort(-mass[tops])]
        while left.size:
            top = int(left[0])
            found.append(top)
            # Deepest p(z) on the way to the peak, for every bin on either side.
            valley = np.r_[np.minimum.accumulate(mass[: top + 1][::-1])[::-1], np.minimum.accumulate(mass[top:])[1:]]
            left = left[(np.abs(logz[left] - logz[top]) > reach) & (valley[left] < 0.5 * mass[left])]
        # What lies between two peaks belongs to the nearer one.
        owner = np.abs(logz[:, None] - logz[found]).argmin(axis=1) if found else np.empty(0, int)
        result = []
        for k, top in enumerate(found):
            near = (np.abs(logz - logz[top]) <= reach) & (owner == k)
            weight = float(mass[near].sum())
            z = float((self.z_grid[near] * mass[near]).sum() / weight)
            if self.quantiles is not None:  # finer than the bins: the median of the peak
                low, high = (self.cdf(row, float(edge)) for edge in self.z_grid[np.flatnonzero(near)[[0, -1]]])
                z = self.quantile(row, 0.5 * (low + high)) if high > low else z
            result.append(Peak(z, weight))
        return tuple(sorted(result, key=lambda peak: -peak.weight)[:most])

    def words(self) -> tuple[str, ...]:
        """The zwarn bits in words."""
        return tuple(text for bit, text in ZWARN_WORDS.items() if bit in self.zwarn)
