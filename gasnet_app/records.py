"""What a session keeps of each object, and where the steps of an answer stand: nouns without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine import CrossCheck, Prediction, Saliency, Spectrum
from engine.inspections import Machine


@dataclass(frozen=True)
class Stage:
    """Where one of the three steps stands, and what to tell the reader of the page."""

    state: Literal["empty", "waiting", "done", "failed"]
    words: str = ""


EMPTY = Stage("empty", "Drop a file, or choose a sample.")
DONE = Stage("done")


@dataclass(frozen=True)
class Answer:
    """The part of a Prediction that is kept for every object; the PDFs are made again when it is looked at."""

    class_name: str
    spectype: str
    p: float
    z: float
    zerr: float
    robust: bool
    zwarn: int
    words: tuple[str, ...]
    machine: Machine | None = None  # what an inspection keeps of it
    fingerprint: NDArray[np.float32] | None = field(default=None, compare=False)  # to find similar objects by

    @classmethod
    def of(cls, prediction: Prediction) -> Answer:
        """The short form of a prediction."""
        return cls(
            prediction.class_name, prediction.spectype, float(prediction.p[prediction.best]), prediction.best_z,
            prediction.best_zerr, bool(prediction.robust), int(prediction.zwarn), prediction.words(),
            Machine.of(prediction), prediction.fingerprint,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Record:
    """One row of the table: an object with its spectrum, or a file that could not be read with the reason."""

    key: str
    file: str
    spectrum: Spectrum | None = None
    error: str = ""
    answer: Answer | None = None

    @property
    def flagged(self) -> bool:
        """True for what a person should look at: unreadable, warned of, or not robust."""
        return bool(self.error) or (self.answer is not None and (self.answer.zwarn != 0 or not self.answer.robust))


@dataclass(frozen=True, eq=False)
class Seen:
    """All that the engine said of a spectrum, kept so that going back to it, or on to the next, takes no time."""

    spectrum: Spectrum
    prediction: Prediction
    saliency: Saliency | None
    check: CrossCheck | None
