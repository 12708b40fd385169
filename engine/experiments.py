"""experiments: the paper's questions asked again, each by training ensembles and measuring them on test mocks.

contamination (Appendix A), coarse (Appendix B), snr (Appendix C), train-size (accuracy against spectra). Runs lie in
folders of the output folder, named by what they depend on; experiments share them, and a run that is there is not made
again. A run may be stopped at any moment; the same command goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from engine import metrics
from engine.ensemble import load_ensemble
from engine.evaluate import Number, Objects, measure, mocks, quality
from engine.evaluate.document import plain
from engine.evaluate.figures import SNR_EDGES
from engine.evaluate.tables import binomial_error, mean_over_classes
from engine.mock import Simulator
from engine.plan import CHUNK, TrainConfig
from engine.survey import SPECTYPES, Survey, SurveyError, load_survey
from engine.train import Progress, train

CONTAMINATED = ["GALAXY_AGN", "GALAXY_STARBURST", "GALAXY_STARFORMING"]  # as in the paper's Fig. A1
LEVELS = (0.0, 0.05, 0.10)
TEST_SEED = 20_240


@dataclass(frozen=True)
class Scale:
    """How large an experiment is: members and training spectra of a run, test spectra, the sizes of train-size."""

    members: int
    spectra: int
    test: int
    sizes: tuple[int, ...]
    network_config: dict[str, Any] | None = None


SCALES: Mapping[str, Scale] = {
    "smoke": Scale(1, 2 * CHUNK, 260, (CHUNK, 2 * CHUNK), {"features": 4, "filters": 4, "hidden": 8}),
    "small": Scale(2, 40 * CHUNK, 2600, (10 * CHUNK, 20 * CHUNK, 40 * CHUNK)),
    "full": Scale(5, 240 * CHUNK, 13_000, (28 * CHUNK, 60 * CHUNK, 120 * CHUNK, 240 * CHUNK, 480 * CHUNK)),
}


@dataclass(frozen=True)
class Outcome:
    """What an experiment found: a table of Numbers and plain values, and further numbers (confusion matrices).

    paper : what the paper found, in words
    """

    experiment: str
    scale: str
    paper: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | Number, ...], ...]
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Laboratory:
    """Where and how an experiment's runs are made. survey : that of the 13 classes, or another with the same rules."""

    out: Path
    scale: Scale
    templates: str | None = None
    device: str = "auto"
    survey: str = "sdss"
    progress: Progress | None = None

    def objects(self, survey: str = "", spectra: int = 0, noise: float = 0.0) -> tuple[Survey, Objects]:
        """Train a run, or go on with it, and measure it on test mocks. noise : share of wrong labels."""
        survey, spectra = survey or self.survey, spectra or self.scale.spectra
        name = f"{survey}-{spectra}x{self.scale.members}" + (f"-noise{100 * noise:g}" if noise else "")
        folder = self.out / name
        config = TrainConfig(
            survey=survey, members=self.scale.members, spectra=spectra, templates=self.templates, device=self.device,
            name=name, validation=max(260, self.scale.test // 5), network_config=self.scale.network_config,
            label_noise=noise, noisy_classes=CONTAMINATED if noise else None,
        )  # fmt: skip
        known = load_survey(survey)
        saved = folder / "objects.npz"
        key = json.dumps(
            {**_without_machine(config), "test": self.scale.test, "seed": TEST_SEED, "sha256": known.sha256}
        )
        if (found := _load(saved, key)) is None:
            ensemble = load_ensemble(train(config, folder, self.progress), self.device)
            simulator = Simulator(known, self.templates, "test", flat_share=0.0)
            found = measure(ensemble, mocks(simulator, self.scale.test, TEST_SEED, known), name).objects
            _save(found, saved, key)
        return known, found


def _without_machine(config: TrainConfig) -> dict[str, Any]:
    return {
        k: v for k, v in asdict(config).items() if k not in ("templates", "device", "processes", "checkpoint_seconds")
    }


def _save(objects: Objects, path: Path, key: str) -> None:
    part = path.with_suffix(".part.npz")
    np.savez(part, key=np.array(key), **{field.name: getattr(objects, field.name) for field in fields(Objects)})
    os.replace(part, path)


def _load(path: Path, key: str) -> Objects | None:
    """Objects saved before; None when there are none, or when they are of other settings."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as data:
        if str(data["key"]) != key or any(field.name not in data for field in fields(Objects)):
            return None
        return Objects(**{field.name: data[field.name] for field in fields(Objects)})


def contamination(lab: Laboratory) -> Outcome:
    """Appendix A: a share of the AGN, STARBURST and STARFORMING labels replaced by another of the three."""
    rows: list[tuple[str | int | float | Number, ...]] = []
    details = {}
    first: tuple[float, float] | None = None
    for level in LEVELS:
        survey, objects = lab.objects(noise=level)
        index = np.array([survey.index(name) for name in CONTAMINATED])
        three = objects.take(np.isin(objects.label, index))
        best = three.p[:, index].argmax(axis=1)
        true = np.searchsorted(index, three.label)
        accuracy = [_share(best[true == k] == k) for k in range(3)]
        good = [_share(three.good[true == k]) for k in range(3)]
        means = _mean(accuracy), _mean(good)
        first = first or (means[0].value, means[1].value)
        change = [mean.value - before for mean, before in zip(means, first, strict=True)]
        rows.append((f"{100 * level:g} %", len(three), *accuracy, means[0], change[0], *good, means[1], change[1]))
        details[f"{100 * level:g} %"] = {"classes": CONTAMINATED, "counts": metrics.confusion(true, best, 3)}
    short = [name.removeprefix("GALAXY_") for name in CONTAMINATED]
    columns = ("wrong labels", "n", *short, "accuracy", "change", *(f"GF {name}" for name in short), "GF", "GF change")
    paper = "accuracy -.033 and -.077, GF -.02 and -.033 for 5 and 10 % (Figs A1, A3)"
    return Outcome("contamination", "", paper, columns, tuple(rows), {"confusion": details})


def snr(lab: Laboratory) -> Outcome:
    """Appendix C: accuracy in 14 bins of SNR from 0 to 50; right types and good redshifts beside."""
    _, objects = lab.objects()
    rows: list[tuple[str | int | float | Number, ...]] = []
    for low, high in pairwise(SNR_EDGES):
        here = objects.take((objects.snr >= low) & (objects.snr < high))
        far = here.take(here.far)
        rows.append(
            (f"{low:.1f}-{high:.1f}", len(here), _share(here.correct[here.known]), _share(here.right_type), len(far),
             _share(far.good))
        )  # fmt: skip
    columns = ("SNR", "n", "accuracy", "right type", "n with z", "GF")
    return Outcome("snr", "", "accuracy rises with SNR to .96 (Fig. C1)", columns, tuple(rows), {})


def train_size(lab: Laboratory) -> Outcome:
    """Accuracy and good fraction against the number of training spectra of each member."""
    rows: list[tuple[str | int | float | Number, ...]] = []
    for spectra in lab.scale.sizes:
        survey, objects = lab.objects(spectra=spectra)
        table = quality(objects, survey)
        kinds = {row.name.removeprefix("all "): row.numbers for row in table}
        found = [kinds[kind][key] for kind in ("GALAXY", "QSO") for key in ("good", "nmad")]
        rows.append(
            (spectra, len(objects), mean_over_classes(table, survey, "accuracy"), kinds["all"]["type_accuracy"], *found)
        )
    columns = ("spectra", "n", "accuracy", "right type", "GF galaxies", "NMAD galaxies", "GF quasars", "NMAD quasars")
    paper = "14,000 spectra of each class, 50 times over"
    return Outcome("train-size", "", paper, columns, tuple(rows), {})


def coarse(lab: Laboratory) -> Outcome:
    """Appendix B: star, galaxy or quasar, learned as three classes, and as thirteen that are collapsed."""
    rows: list[tuple[str | int | float | Number, ...]] = []
    details = {}
    for name, words in (("coarse", "3 classes"), (lab.survey, "all classes, collapsed")):
        _, objects = lab.objects(survey=name)
        shares = [_share(objects.right_type[objects.spectype == kind]) for kind in SPECTYPES]
        rows.append((words, len(objects), *shares, _mean(shares)))
        true, best = (
            [SPECTYPES.index(kind) for kind in column] for column in (objects.spectype, objects.spectype_pred)
        )
        details[words] = {"classes": list(SPECTYPES), "counts": metrics.confusion(true, best, len(SPECTYPES))}
    columns = ("trained on", "n", *SPECTYPES, "accuracy")
    return Outcome("coarse", "", "accuracy .99; quasars .98 (Fig. B1)", columns, tuple(rows), {"confusion": details})


EXPERIMENTS: Mapping[str, Callable[[Laboratory], Outcome]] = {
    "contamination": contamination,
    "snr": snr,
    "train-size": train_size,
    "coarse": coarse,
}


def experiment(
    name: str,
    out: str | Path,
    scale: str = "small",
    templates: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Outcome:
    """Run an experiment in the folder out, or go on with it; writes <name>-<scale>.json there.

    Raises SurveyError naming the experiments and scales that exist; whatever engine.train.train raises.
    """
    if name not in EXPERIMENTS:
        raise SurveyError(f"no experiment {name!r}; there are: {', '.join(EXPERIMENTS)}")
    if scale not in SCALES:
        raise SurveyError(f"no scale {scale!r}; there are: {', '.join(SCALES)}")
    folder = Path(out)
    lab = Laboratory(folder / scale, SCALES[scale], templates, device, progress=progress)
    found = replace(EXPERIMENTS[name](lab), scale=scale)
    part = folder / f"{name}-{scale}.part"
    part.write_text(json.dumps(plain(_document(found, lab.scale)), ensure_ascii=False, indent=1) + "\n")
    os.replace(part, folder / f"{name}-{scale}.json")
    return found


def _document(found: Outcome, scale: Scale) -> dict[str, Any]:
    rows = [
        {
            column: [cell.value, cell.error] if isinstance(cell, Number) else cell
            for column, cell in zip(found.columns, row, strict=True)
        }
        for row in found.rows
    ]
    head = {"experiment": found.experiment, "scale": {"name": found.scale, **asdict(scale)}, "seed": TEST_SEED}
    return {**head, "paper": found.paper, "rows": rows, "details": dict(found.details)}


def _share(flags: np.ndarray) -> Number:
    """A fraction with its binomial error; NaN of none."""
    n = len(flags)
    share = metrics.fraction(flags)
    return Number(share, binomial_error(share, n) if n else float("nan"))


def _mean(numbers: list[Number]) -> Number:
    """Unweighted mean of independent numbers."""
    error = float(np.sqrt(sum(number.error**2 for number in numbers))) / len(numbers)
    return Number(float(np.mean([number.value for number in numbers])), error)
