"""The members of an ensemble one by one: what each says, whether it stands apart, and what it looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.explain import count, pull, same_z, strongest
from engine.gradients import Saliency
from engine.lines import Line
from engine.prediction import Prediction
from engine.spectrum import Spectrum


@dataclass(frozen=True)
class MemberAnswer:
    """What one member says. number : from 1; p : its probability of the class it names; z : NaN where that is a star.

    z is of the class that the ensemble names, so that members compare; other_class, other_z : it stands apart from the
    ensemble's class, from the members' median redshift by more than 1000 km/s; rests_on : names of lines, or
    wavelengths, that its z (for a star its class) rests on; empty before the saliency is known
    """

    number: int
    class_name: str
    p: float
    z: float
    other_class: bool
    other_z: bool
    rests_on: tuple[str, ...] = ()


def member_answers(
    prediction: Prediction,
    spectrum: Spectrum | None = None,
    saliencies: Sequence[Saliency] = (),
    lines: Sequence[Line] = (),
) -> tuple[MemberAnswer, ...]:
    """Every member's answer, in the order of the members; saliencies from member_saliency of the best class."""
    row = prediction.row(prediction.best)
    z = np.full(len(prediction.p_members), np.nan) if row is None else prediction.z_members[:, row]
    middle = float(np.median(z))
    answers = []
    for k, p in enumerate(prediction.p_members):
        best = int(prediction.survey.choose(p))
        rests: tuple[str, ...] = ()
        if spectrum is not None and k < len(saliencies):
            rests = _features(spectrum, saliencies[k], middle if row is not None else 0.0, lines)
        answers.append(
            MemberAnswer(
                k + 1, prediction.survey.classes[best].name, float(p[best]), float(z[k]), best != prediction.best,
                row is not None and not same_z(float(z[k]), middle), rests,
            )
        )  # fmt: skip
    return tuple(answers)


def agreement(answers: Sequence[MemberAnswer]) -> str:
    """How far the members agree, in one sentence."""
    members = count(len(answers))
    told = [
        f"{count(n)} {verb}{'' if n > 1 else 's'} another {what}"
        for n, verb, what in (
            (sum(a.other_class for a in answers), "name", "class"),
            (sum(a.other_z for a in answers), "find", "z"),
        )
        if n
    ]
    return f"Of {members}, {', '.join(told)}." if told else f"All {members} agree."


def _features(spectrum: Spectrum, found: Saliency, z: float, lines: Sequence[Line]) -> tuple[str, ...]:
    weight = pull(spectrum, found.wave, found.main)
    features = strongest(found.wave, weight, z, lines)
    return tuple(dict.fromkeys(name or f"{wave:.0f} Å" for wave, name in features))
