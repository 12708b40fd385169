"""The numbers of a model's card: what its ensemble makes of validation spectra, class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine import metrics
from engine.dataset import on_grid
from engine.ensemble import Ensemble
from engine.labelled import Source


def validation_metrics(
    ensemble: Ensemble, simulator: Source, n: int, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """On n spectra of a validation source: MAE of each extragalactic class (eq. 12) that occurs, and a card's facts.

    The classes are those that the ensemble answers: calibrated where it is (Survey.choose).
    """
    survey = ensemble.survey
    types = np.array([c.spectype for c in survey.classes])
    labels, z_true, p_all, z_all = [], [], [], []
    for start in range(0, n, 128):
        batch = simulator.batch(min(128, n - start), [seed, 999_983, start])
        sample = on_grid(batch, ensemble.grid, torch.device("cpu"))
        p, _, z = ensemble.answers(sample.flux.numpy(), sample.ivar.numpy())
        labels.append(batch.label)
        z_true.append(batch.z)
        p_all.append(p.mean(axis=0))
        z_all.append(z.mean(axis=0))
    label, truth, z = (np.concatenate(a) for a in (labels, z_true, z_all))
    mean = np.concatenate(p_all).astype(np.float64)
    best = survey.choose(mean if ensemble.calibration is None else ensemble.calibration.classes(mean))
    mae: dict[str, float] = {}
    classes: dict[str, Any] = {}
    for i, klass in enumerate(survey.classes):
        here = label == i
        if not here.any():
            continue
        facts: dict[str, Any] = {"n": int(here.sum()), "accuracy": round(float((best[here] == i).mean()), 4)}
        facts["type_accuracy"] = round(float((types[best[here]] == klass.spectype).mean()), 4)
        if klass.good is not None:
            predicted = z[here, survey.extragalactic.index(i)]
            mae[klass.name] = round(metrics.mean_absolute_error(truth[here], predicted), 6)
            good = metrics.good_fraction(truth[here], predicted, klass.good)
            facts |= {"mae": mae[klass.name], "good_fraction": round(good, 4)}
        classes[klass.name] = facts
    accuracy = float(np.mean([facts["accuracy"] for facts in classes.values()]))
    return mae, {"n": n, "seed": seed, "accuracy": round(accuracy, 4), "classes": classes}
