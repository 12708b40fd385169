"""Calibration: what turns an ensemble's raw probabilities into ones that hold, fitted on mock validation spectra.

Class probabilities: vector scaling (Guo et al. 2017), softmax(scale log p + bias) of the members' mean p. Redshift
PDFs: the main peak of the members' mean PDF becomes a smooth core of calibrated width (engine.calibration.redshifts).
Kept in a model's card under "calibration"; a card without it leaves everything as the members said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.calibration.classes import FloatArray, scaled
from engine.calibration.redshifts import Core, Window, apply, find_peaks, windows
from engine.grid import ZGrid
from engine.prediction import LEVELS
from engine.survey import Survey

__all__ = ["Calibration", "Core"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """scale, bias : (C,) of the class probabilities; cores : (E,) one per extragalactic class.

    confident : the probability of being right (Prediction.confidence) from which an answer is called reliable
    """

    scale: FloatArray
    bias: FloatArray
    cores: tuple[Core, ...]
    confident: float = 0.95

    @classmethod
    def identity(cls, survey: Survey) -> Calibration:
        """The starting point: classes as they are, cores of the width that the redshift bins give."""
        n = len(survey.classes)
        return cls(np.ones(n), np.zeros(n), tuple(Core() for _ in survey.extragalactic))

    @classmethod
    def from_card(cls, card: Mapping[str, Any], survey: Survey) -> Calibration | None:
        """The calibration of a card; None where the card has none. Raises ValueError naming a class that lacks."""
        facts = card.get("calibration")
        if not facts or "classes" not in facts or "redshifts" not in facts:
            return None
        far = [survey.names[i] for i in survey.extragalactic]
        for key, names in (("classes", survey.names), ("redshifts", far)):
            lacking = [name for name in names if name not in facts[key]]
            if lacking:
                raise ValueError(f"card: calibration.{key} lacks {lacking[0]!r}; run `gasnet calibrate` again")
        pairs = np.array([facts["classes"][name] for name in survey.names], dtype=np.float64)
        cores = tuple(Core(**facts["redshifts"][name]) for name in far)
        return cls(pairs[:, 0], pairs[:, 1], cores, float(facts["confident"]))

    def to_card(self, survey: Survey) -> dict[str, Any]:
        """As plain numbers for a card."""
        pairs = zip(self.scale, self.bias, strict=True)
        rounded = [{key: round(value, 5) for key, value in asdict(core).items()} for core in self.cores]
        return {
            "classes": {
                name: [round(float(v), 5) for v in pair] for name, pair in zip(survey.names, pairs, strict=True)
            },
            "redshifts": {survey.names[i]: core for i, core in zip(survey.extragalactic, rounded, strict=True)},
            "confident": self.confident,
        }

    def classes(self, p: FloatArray) -> FloatArray:
        """Calibrated class probabilities (B, C) from the mean of the members (B, C)."""
        return scaled(p, self.scale, self.bias)

    def redshifts(
        self,
        mass: FloatArray,
        z_members: FloatArray,
        snr: FloatArray,
        survey: Survey,
        zgrid: ZGrid,
        rows: NDArray[np.int64] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Calibrated probability of each redshift bin (B, E, Z) and the redshifts (B, E, levels) at the cumulative
        probabilities prediction.LEVELS.

        mass : (B, E, Z) mean probability of the members in each bin; z_members : (M, B, E); snr : (B,)
        rows : (B,) the one row of E that is wanted of each spectrum, -1 for none; what is not wanted is NaN
        """
        out, levels = np.full(mass.shape, np.nan), np.full((*mass.shape[:2], LEVELS.size), np.nan)
        for k, (core, window) in enumerate(zip(self.cores, windows(survey, zgrid), strict=True)):
            own = np.arange(len(mass)) if rows is None else np.flatnonzero(rows == k)
            if own.size:
                out[own, k], levels[own, k] = calibrated(core, window, mass[own, k], z_members[:, own, k], snr[own])
        return out, levels


def calibrated(
    core: Core, window: Window, mass: FloatArray, z_members: FloatArray, snr: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """One class's calibrated bins (B, Z) and quantiles (B, levels); z_members : (M, B)."""
    return apply(core, window, mass, find_peaks(mass, z_members, window), snr)
