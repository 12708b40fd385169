"""What an ensemble makes of spectra whose truth is known, asked once; and what a model's card says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine import metrics
from engine.calibration import Calibration
from engine.calibration.fit import Known, joined_answers
from engine.dataset import on_grid
from engine.ensemble import Answers, Ensemble
from engine.labelled import Source
from engine.mock import MockBatch
from engine.survey import Survey

BATCH = 128


def measured_snr(batch: MockBatch) -> NDArray[np.float64]:
    """(B,) the median SNR per native pixel, as Spectrum.snr has it of a file; 0 where nothing was observed."""
    found = np.zeros(len(batch.flux))
    for k, (flux, ivar) in enumerate(zip(batch.flux, batch.ivar, strict=True)):
        good = ivar > 0
        found[k] = np.median(flux[good] * np.sqrt(ivar[good])) if good.any() else 0.0
    return found


def outputs(ensemble: Ensemble, batch: MockBatch) -> Answers:
    """All that the members say of a batch, whatever its pixels."""
    sample = on_grid(batch, ensemble.grid, torch.device("cpu"))
    return ensemble.outputs(sample.flux.numpy(), sample.ivar.numpy())


def known(answers: Answers, batch: MockBatch, snr: NDArray[np.float64]) -> Known:
    """The answers to a batch beside its truth."""
    p, mass = answers.p.mean(axis=0, dtype=np.float64), answers.pz.mean(axis=0).astype(np.float16)
    return Known(p, mass, answers.z, batch.label, batch.z, snr)


def asked(
    ensemble: Ensemble,
    source: Source,
    n: int,
    seed: int,
    snr: Callable[[MockBatch], NDArray[np.float64]] = measured_snr,
) -> Known:
    """Raw answers to n spectra of a validation source, and their truth. snr : that of a file's own pixels, (B,)."""
    parts = []
    for start in range(0, n, BATCH):
        batch = source.batch(min(BATCH, n - start), [seed, 999_983, start])
        parts.append(known(outputs(ensemble, batch), batch, snr(batch)))
    return joined_answers(parts)


def validation_metrics(
    answers: Known, survey: Survey, calibration: Calibration | None = None
) -> tuple[dict[str, float], dict[str, Any]]:
    """MAE of each extragalactic class (eq. 12) that occurs, and a card's facts of the answers.

    The classes are those that the ensemble answers: calibrated where it is (Survey.choose).
    """
    types = np.array([c.spectype for c in survey.classes])
    z = answers.z_members.mean(axis=0)
    best = survey.choose(answers.p if calibration is None else calibration.classes(answers.p))
    mae: dict[str, float] = {}
    classes: dict[str, Any] = {}
    for i, klass in enumerate(survey.classes):
        here = answers.label == i
        if not here.any():
            continue
        facts: dict[str, Any] = {"n": int(here.sum()), "accuracy": round(float((best[here] == i).mean()), 4)}
        facts["type_accuracy"] = round(float((types[best[here]] == klass.spectype).mean()), 4)
        if klass.good is not None:
            truth, predicted = answers.z[here], z[here, survey.extragalactic.index(i)]
            mae[klass.name] = round(metrics.mean_absolute_error(truth, predicted), 6)
            good = metrics.good_fraction(truth, predicted, klass.good)
            facts |= {"mae": mae[klass.name], "good_fraction": round(good, 4)}
        classes[klass.name] = facts
    accuracy = float(np.mean([facts["accuracy"] for facts in classes.values()]))
    return mae, {"n": len(answers), "accuracy": round(accuracy, 4), "classes": classes}
