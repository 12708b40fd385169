"""calibrate: fit a model's calibration and its score of none-of-these on mock spectra, and write both into its card.
A model that learned from labelled spectra is calibrated on its own validation objects instead.

Half of the mock spectra fit, the other half is measured; the card says both. Everything follows from the ensemble and
the simulator, so a retrained model is calibrated by the same call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import outliers
from engine.calibration import Calibration
from engine.calibration.fit import Known, fit, joined_answers
from engine.calibration.report import measured
from engine.calibration.scores import auroc
from engine.ensemble import Answers, Ensemble
from engine.exemplars import write_exemplars
from engine.mock import MockBatch, Simulator
from engine.mock.outliers import Outliers, outlier_types
from engine.mock.strange import strange
from engine.mock.stress import stressed
from engine.mock.templates import TemplateError
from engine.outliers import OutlierModel, Seen
from engine.registry import find_model, load_members, read_card, sha256_of, write_card
from engine.survey import Survey
from engine.validation import BATCH, asked, known, measured_snr, outputs, validation_metrics

ENOUGH = 100  # labelled validation objects to calibrate on: with fewer, a fit is no better than none (docs/log.md)
SEED = 777_767  # of the mocks of calibration: other mocks than those of training and validation
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What `calibrate` found: the calibration, the outlier statistics and the two entries of the card."""

    calibration: Calibration
    outliers: OutlierModel
    facts: Mapping[str, Any]
    ood: Mapping[str, Any]


def calibrate(
    ensemble: Ensemble,
    simulator: Simulator,
    n: int = 4000,
    seed: int = 0,
    kinds: Outliers | None = None,
    per_type: int = 80,
    progress: Progress | None = None,
) -> Calibrated:
    """Calibrate on n mock spectra, the same with larger faults, n / 3 strange ones, and measure on per_type outliers of
    each type of `kinds`. The outlier score knows mocks with and without faults, and lets those with faults pass.

    simulator : of the validation templates, with redshifts as in nature (flat_share 0)
    progress : called with (spectra done, spectra in all)
    """
    kinds_of = outlier_types(ensemble.survey) if kinds and per_type else ()
    types = [c.spectype for c in ensemble.survey.classes]
    ask = _Asker(ensemble, 2 * n + n // 3 + per_type * len(kinds_of), progress or (lambda done, total: None))
    mocks, seen, faulty, odd = ask.all(simulator, n, n // 3, [seed, SEED])
    even = equally_often(mocks.label)
    mocks, seen, faulty = mocks.take(even), seen.take(even), faulty.take(even)
    first = np.arange(len(mocks)) % 2 == 0
    data = f"{len(mocks)} of {n} mock spectra of validation templates, each class as often, seed {seed}: "
    data += "even ones fitted, odd ones held out"
    calibration, facts = fit_and_measure(ensemble, mocks.take(first), mocks.take(~first), data)
    usual, label = _joined([seen.take(first), faulty.take(first)]), np.tile(mocks.label[first], 2)
    model = outliers.fit(usual, label, odd, faulty.take(~first), types)
    by_type = {kind: _outliers(ask, kinds, kind, per_type, seed) for kind in kinds_of}
    ood = _measured_outliers(model, seen.take(~first), faulty.take(~first), by_type)
    return Calibrated(calibration, model, facts, ood)


def fit_and_measure(
    ensemble: Ensemble, fitted: Known, held_out: Known, data: str
) -> tuple[Calibration, dict[str, Any]]:
    """A calibration of an ensemble, and what a card says of it: the numbers, the data in words, both halves measured.

    The limits of the robust rule are the ensemble's own (mae).
    """
    calibration = fit(fitted, ensemble.survey, ensemble.zgrid)
    return calibration, _told(calibration, ensemble, data, {"fitted": fitted, "held_out": held_out})


def calibrate_labelled(
    ensemble: Ensemble, answers: Mapping[str, Known], start_from: str | Path | None = None
) -> tuple[Calibration | None, dict[str, Any] | str]:
    """Calibrate on labelled spectra: fitted to the answers of `validation`, measured on those of `test`, if any.

    The fit is held near the calibration of the model that it started from, where classes are the same; with fewer than
    ENOUGH validation objects that one is kept as it is, or there is none. Returns the calibration, and what the card
    says of it: numbers, or, where there is none, words for its limits.
    """
    name, parent = _parent(start_from, ensemble.survey)
    n = len(answers["validation"])
    few = f"fewer than {ENOUGH} labelled validation objects ({n})"
    if n >= ENOUGH:
        near = f", held near that of {name}" if parent else ""
        data = f"{n} labelled validation objects, classes as often as in the catalogue: fitted{near}; test held out"
        found = fit(answers["validation"], ensemble.survey, ensemble.zgrid, parent)
        halves = {"fitted": answers["validation"]} | ({"held_out": answers["test"]} if "test" in answers else {})
        return found, _told(found, ensemble, data, halves)
    if parent is None:
        return None, f"Not calibrated: {few}."
    data = f"that of {name} kept: {few} to fit another"
    return parent, _told(parent, ensemble, data, {"held_out": joined_answers([*answers.values()])})


def _parent(start_from: str | Path | None, survey: Survey) -> tuple[str, Calibration | None]:
    """Name and calibration of the model that a run started from; none of a run, or of a model of other classes."""
    folder = find_model(str(start_from)) if start_from else None
    if folder is None or not (folder / "card.json").is_file():
        return "", None
    card = read_card(folder)
    same = tuple(card["classes"]) == survey.names
    return card["model"], Calibration.from_card(card, survey) if same else None


def _told(calibration: Calibration, ensemble: Ensemble, data: str, known: Mapping[str, Known]) -> dict[str, Any]:
    """What a card says of a calibration: its numbers, the data in words, what is reached on spectra of known truth."""
    about = (ensemble.survey, ensemble.zgrid, ensemble.mae)
    facts = {"data": data, "date": time.strftime("%Y-%m-%d")}
    return calibration.to_card(ensemble.survey) | facts | {
        key: measured(calibration, part, *about) for key, part in known.items()
    }  # fmt: skip


def equally_often(label: NDArray[np.int64], least: float = 0.5) -> NDArray[np.int64]:
    """Rows of labels (n,) among which no class is more frequent than the rarest one, or than `least` of an equal share.

    The paper's sets hold as many of each class (section 2.1), and so must those to which probabilities are calibrated;
    label rules turn part of the BROADLINE quasars that a simulation asks for into plain ones.
    """
    classes, counts = np.unique(label, return_counts=True)
    most = max(counts.min(), int(least * len(label) / len(classes)))
    return np.sort(np.concatenate([np.flatnonzero(label == c)[:most] for c in classes]))


def calibrate_model(
    folder: str | Path,
    simulator: Simulator,
    n: int = 4000,
    seed: int = 0,
    templates: str | Path | None = None,
    per_type: int = 80,
    device: str = "auto",
    progress: Progress | None = None,
    answers: Mapping[str, Known] | None = None,
) -> dict[str, Any]:
    """Calibrate the model of a folder and write its card anew, atomically; returns the card.

    An earlier calibration is replaced, and the card's classes become the calibrated ones: of the answers, by the card's
    key (validation), if they are at hand, else of the validation mocks asked again.
    Raises ModelError or SurveyError when the folder does not load.
    """
    folder = Path(folder)
    survey, card, members = load_members(folder)
    raw = {key: value for key, value in card.items() if key not in ("calibration", "ood")}
    ensemble = Ensemble(survey, members, raw, device)
    found = calibrate(ensemble, simulator, n, seed, Outliers(simulator, templates), per_type, progress)
    found.outliers.save(folder / outliers.FILE)
    # Named by its content: a card that is not replaced, because the power fails now, still names its own file.
    digest = sha256_of(folder / outliers.FILE)
    file = outliers.FILE.replace(".", f"-{digest[:8]}.", 1)
    (folder / outliers.FILE).replace(folder / file)
    card = raw | {"calibration": dict(found.facts), "ood": {"file": file, "sha256": digest} | dict(found.ood)}
    mocks = raw.get("validation", {})
    if answers is None and {"n", "seed"} <= mocks.keys():
        answers = {"validation": asked(ensemble, simulator, mocks["n"], mocks["seed"])}
    for key, own in (answers or {}).items():
        card[key] = raw[key] | validation_metrics(own, survey, found.calibration)[1]
    write_exemplars(folder, ensemble, simulator, seed)
    write_card(folder, card)
    for old in folder.glob(outliers.FILE.replace(".", "-*.", 1)):
        if old.name != file:
            old.unlink()
    return card


class _Asker:
    """Puts mock spectra to an ensemble, and counts them."""

    def __init__(self, ensemble: Ensemble, total: int, progress: Progress) -> None:
        self.ensemble, self.total, self.progress, self.done = ensemble, total, progress, 0

    def all(self, simulator: Simulator, n: int, n_strange: int, seed: list[int]) -> tuple[Known, Seen, Seen, Seen]:
        """Answers and truth of n mock spectra; what the members made of them, of the same with larger faults, and of
        about n_strange strange ones, torn from the even mocks. Only a batch of spectra is held at a time."""
        rng, left = np.random.default_rng(seed), n_strange
        answers, seen, faulty, odd = [], [], [], []
        for start in range(0, n, BATCH):
            batch = simulator.batch(min(BATCH, n - start), [*seed, start])
            made = self._answers(batch)
            snr = measured_snr(batch)
            answers.append(known(made, batch, snr))
            seen.append(Seen(made.features, made.logits, snr))
            faulty.append(self.seen(stressed(batch, rng)))
            rows = np.arange(0, len(snr), 2)[:left]
            if rows.size:
                left -= rows.size
                odd.append(self.seen(strange(_rows(batch, rows), rng)))
        return joined_answers(answers), _joined(seen), _joined(faulty), _joined(odd)

    def seen(self, batch: MockBatch) -> Seen:
        """What the members made of spectra that need no answer."""
        made = self._answers(batch)
        return Seen(made.features, made.logits, measured_snr(batch))

    def _answers(self, batch: MockBatch) -> Answers:
        answers = outputs(self.ensemble, batch)
        self.done += len(batch.label)
        self.progress(self.done, self.total)
        return answers


def _rows(batch: MockBatch, rows: NDArray[np.int64]) -> MockBatch:
    return replace(batch, **{name: getattr(batch, name)[rows] for name in ("flux", "ivar", "label", "z", "snr")})


def _joined(parts: list[Seen]) -> Seen:
    features, logits = (
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("features", "logits")
    )
    return Seen(features, logits, np.concatenate([part.snr for part in parts]))


def _outliers(ask: _Asker, kinds: Outliers | None, kind: str, n: int, seed: int) -> Seen | None:
    """Outliers of one type, None where the templates for it are not there."""
    if kinds is None:
        return None
    try:
        batches = [kinds.batch(kind, min(BATCH, n - at), [seed, SEED, at]) for at in range(0, n, BATCH)]
    except TemplateError:
        return None
    return _joined([ask.seen(batch) for batch in batches])


def _measured_outliers(
    model: OutlierModel, usual: Seen, faulty: Seen, by_type: Mapping[str, Seen | None]
) -> dict[str, Any]:
    score, beside = model.score(usual), model.score(faulty)
    scores = {kind: model.score(seen) for kind, seen in by_type.items() if seen is not None}
    facts: dict[str, Any] = {
        "threshold": 0.0,
        "flagged_mocks": round(float((score > 0).mean()), 4),
        "flagged_with_faults": round(float((beside > 0).mean()), 4),
        "n_mocks": len(score),
        "by_type": "threshold by spectral type and SNR, in the file",
        "not_measured": [kind for kind, seen in by_type.items() if seen is None],
    }
    if scores:
        facts["n_per_type"] = min(map(len, scores.values()))
        facts["auroc"] = {kind: round(auroc(score, odd), 4) for kind, odd in scores.items()}
        facts["auroc_all"] = round(auroc(score, np.concatenate(list(scores.values()))), 4)
        facts["caught"] = {kind: round(float((odd > 0).mean()), 3) for kind, odd in scores.items()}
    return facts
