"""The nouns of visual inspection: an object, what the machine said of it, and what a person says.

Qualities and issues are DESI's (prospect, utilities.py, vi_flags); QOP is Marz's quality of the same grade.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np

from engine.prediction import Prediction, ZWarn
from engine.spectrum import Spectrum

QUALITIES = MappingProxyType({
    4: "confident: two or more secure features",
    3: "probable: one secure feature and the continuum, or many weak ones",
    2: "possible: one strong feature, but unsure which",
    1: "unlikely: a signal, features unidentified",
    0: "nothing there, no signal",
})  # fmt: skip
ISSUES = MappingProxyType({"R": "bad redshift fit", "C": "bad spectral type", "S": "bad spectrum"})
SPECTYPES = ("STAR", "GALAXY", "QSO")
MOST_COMMENT, MOST_NAME = 100, 40
QOPS = (0, 1, 2, 3, 4, 6)  # there is no 5

# What a warning makes of the answer, worst first. Thresholds are the flags' own (engine/prediction.py).
_SUGGESTED = (
    (ZWarn.NODATA, 0),
    (ZWarn.LITTLE_COVERAGE | ZWarn.Z_FITLIMIT, 1),
    (ZWarn.SMALL_DELTA_CHI2 | ZWarn.MEMBERS_DISAGREE | ZWarn.POORDATA | ZWarn.NONE_OF_THESE, 2),
    (ZWarn.CLASS_UNCERTAIN, 3),
)


class GradeError(ValueError):
    """A grade that cannot be. The message says what is allowed."""


@dataclass(frozen=True)
class Target:
    """An object under inspection: the survey that named it and the name. source, the file, does not identify.

    An id that no survey gave is only a file's name; `of` then adds eight digits of the spectrum's checksum, so that two
    files of one name never share a grade.
    """

    survey: str
    object_id: str
    source: str = field(default="", compare=False)

    @classmethod
    def of(cls, spectrum: Spectrum, source: str = "") -> Target:
        """The object of a spectrum; source is the file's name where the spectrum does not know it."""
        name = spectrum.object_id or source
        if not spectrum.survey:
            name = f"{name}#{_checksum(spectrum)}"
        return cls(spectrum.survey, name, source or spectrum.path)


def _checksum(spectrum: Spectrum) -> str:
    return hashlib.sha256(spectrum.wave.tobytes() + spectrum.flux.tobytes()).hexdigest()[:8]


def suggest(zwarn: int, robust: bool) -> int:
    """The quality that the machine's flags suggest: of the table's rows that apply, the lowest."""
    for bits, quality in _SUGGESTED:
        if zwarn & bits:
            return quality
    return 4 if robust else 2


@dataclass(frozen=True)
class Machine:
    """The machine's answer at the time of a grade, and the quality it suggested: kept apart from the person's.

    confidence : probability that type and z are right; information : see `information`; suggested : 0-4
    """

    model: str
    class_name: str
    spectype: str
    z: float
    zerr: float = math.nan
    zwarn: int = 0
    confidence: float = math.nan
    information: float = math.nan
    snr: float = math.nan
    suggested: int | None = None

    @classmethod
    def of(cls, prediction: Prediction) -> Machine:
        """What is kept of a prediction."""
        zwarn = int(prediction.zwarn)
        return cls(
            prediction.model, prediction.class_name, prediction.spectype, prediction.best_z, prediction.best_zerr,
            zwarn, prediction.confidence, information(prediction), float(prediction.snr),
            suggest(zwarn, prediction.robust),
        )  # fmt: skip


def information(prediction: Prediction) -> float:
    """How much an inspection is expected to tell, 0 to 3: the sum of three parts, each between 0 and 1.

    Entropy of the class probabilities over that of equal ones; probability that type or redshift is wrong
    (1 - confidence); and the logistic function of the outlier score, which is 0.5 where it begins to flag (0 in a model
    without one).
    """
    p = np.clip(prediction.p, 1e-12, 1.0)
    entropy = float(-(p * np.log(p)).sum() / math.log(len(p)))
    strange = 0.0 if math.isnan(prediction.ood) else 1.0 / (1.0 + math.exp(-float(np.clip(prediction.ood, -50, 50))))
    return entropy + (1.0 - prediction.confidence) + strange


@dataclass(frozen=True)
class Grade:
    """What one person says of one object. spectype "" and z None mean: as the machine has it.

    quality : DESI's 0-4, None while not graded; issues : of R, C, S, in that order; comment : at most 100 characters
    settles : True when it decides between inspectors who disagree
    """

    quality: int | None = None
    issues: str = ""
    spectype: str = ""
    z: float | None = None
    comment: str = ""
    settles: bool = False

    def __post_init__(self) -> None:
        if self.quality is not None and (isinstance(self.quality, bool) or self.quality not in QUALITIES):
            raise GradeError(f"quality {self.quality!r}: it is one of 0, 1, 2, 3, 4, or none")
        if not set(self.issues) <= set(ISSUES) or len(set(self.issues)) != len(self.issues):
            raise GradeError(f"issues {self.issues!r}: each of R, C and S at most once")
        if self.spectype not in ("", *SPECTYPES):
            raise GradeError(f"spectral type {self.spectype!r}: it is one of {', '.join(SPECTYPES)}, or empty")
        if self.z is not None and not (math.isfinite(self.z) and -0.1 < self.z < 20):
            raise GradeError(f"z {self.z!r}: it is a number between -0.1 and 20, or none")
        if len(self.comment) > MOST_COMMENT:
            raise GradeError(f"comment of {len(self.comment)} characters: at most {MOST_COMMENT} are kept")
        if not self.comment.isprintable():
            raise GradeError(f"comment {self.comment!r}: one line of printable characters")
        object.__setattr__(self, "issues", "".join(letter for letter in ISSUES if letter in self.issues))
        object.__setattr__(self, "comment", self.comment.strip())

    @property
    def said_nothing(self) -> bool:
        """True for a grade that says nothing: none given yet, or all undone."""
        return self == Grade(settles=self.settles)

    def toggled(self, issue: str) -> Grade:
        """The same grade with an issue set or taken back."""
        kept = self.issues.replace(issue, "") if issue in self.issues else self.issues + issue
        return replace(self, issues=kept)


def qop(grade: Grade, machine_spectype: str = "") -> int:
    """Marz's face of a grade: 4, 3, 2 as DESI's; 0 and 1 are both 1 (no redshift); 6 a confident star; 0 not graded."""
    if grade.quality is None:
        return 0
    if grade.quality == 4 and (grade.spectype or machine_spectype) == "STAR":
        return 6
    return max(grade.quality, 1)


def with_qop(grade: Grade, value: int, machine_spectype: str = "") -> Grade:
    """The grade whose Marz face is value. One that shows that face already stays as it is (a 0 stays a 0).

    Raises GradeError for a QOP that does not exist, and for 4 on a star, which Marz calls 6.
    """
    if value not in QOPS:
        raise GradeError(f"QOP {value!r}: it is one of {', '.join(map(str, QOPS))}")
    if qop(grade, machine_spectype) == value:
        return grade
    if value == 6:
        return replace(grade, quality=4, spectype="" if machine_spectype == "STAR" and not grade.spectype else "STAR")
    if value == 4 and (grade.spectype or machine_spectype) == "STAR":
        raise GradeError("QOP 4 is not for stars: say 6, or choose another spectral type first")
    return replace(grade, quality=value or None)


@dataclass(frozen=True)
class Entry:
    """One row of the journal: what one inspector said of one object in one act, and how it stands after it.

    number : the journal's own running number; sequence : counts this inspector's acts on this object from 1
    act : grade, undo or import; undoes : the sequence that an undo takes back; when : UTC
    """

    number: int
    target: Target
    inspector: str
    sequence: int
    act: str
    when: datetime
    grade: Grade
    machine: Machine | None = None
    undoes: int | None = None

    @property
    def spectype(self) -> str:
        """The type as it stands: the person's, else the machine's."""
        return self.grade.spectype or (self.machine.spectype if self.machine else "")

    @property
    def z(self) -> float | None:
        """The redshift as it stands: the person's, else the machine's; None when nobody gave one."""
        if self.grade.z is not None:
            return self.grade.z
        return self.machine.z if self.machine is not None and math.isfinite(self.machine.z) else None

    @property
    def qop(self) -> int:
        """Marz's face of the quality."""
        return qop(self.grade, self.machine.spectype if self.machine else "")

    @property
    def when_utc(self) -> str:
        """The time as text, to the second, UTC."""
        return self.when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def checked_name(inspector: str) -> str:
    """An inspector's name as it is kept. Raises GradeError when there is none or it cannot be one."""
    name = " ".join(inspector.split())
    if not name:
        raise GradeError("no inspector's name: say who is grading")
    if len(name) > MOST_NAME or not name.isprintable():
        raise GradeError(f"inspector {inspector!r}: at most {MOST_NAME} printable characters")
    return name
