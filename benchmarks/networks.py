"""python -m benchmarks networks --scale small: the paper's network and ours on the same mock spectra.

Resumable: run it again after a kill; what is finished is skipped. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import engine
from benchmarks.epochs import IntArray, Learned, learn
from benchmarks.lessons import Classes, Everything, Redshift, paper_input
from benchmarks.mockset import MockSet, mock_set
from benchmarks.record import RESULTS, console, machine, read, write
from engine import metrics
from engine.device import choose_device
from engine.mock import Simulator
from engine.networks import Network, NetworkOutput, build
from engine.networks.cost import multiply_adds, parameters
from engine.networks.gasnet2 import GaSNet2
from engine.survey import Survey

LONG = ("GALAXY_STARFORMING", "QSO_BROADLINE")  # the classes whose redshift networks get the paper's 50 epochs
BATCH = 128


@dataclass(frozen=True)
class Scale:
    """Sizes, in spectra of each class: those of the classifier's training and of a redshift network's, the epochs of
    both (epochs_long for LONG) and of ours, spectra of each class for validation and for the test."""

    name: str
    classify: int
    redshift: int
    epochs_classify: int
    epochs_long: int
    epochs: int
    epochs_ours: int
    validation: int
    test: int

    def wanted(self, survey: Survey) -> list[int]:
        """Training spectra of each class: the classifier's are the first of the redshift network's."""
        return [max(self.classify, self.redshift * (k in survey.extragalactic)) for k in range(len(survey.names))]


# full: the paper's (section 3.3 and Table 4: 14 k spectra x 50 epochs), but 10 epochs for four classes.
SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 40, 64, 1, 2, 1, 1, 10, 10),
        Scale("small", 600, 2_800, 15, 50, 10, 5, 150, 300),
        Scale("full", 3_000, 14_000, 15, 50, 10, 5, 500, 500),
    )
}


@dataclass(frozen=True, eq=False)
class Sets:
    """The same spectra for every network."""

    training: MockSet
    validation: MockSet
    test: MockSet


@dataclass(frozen=True, eq=False)
class Work:
    """What all networks share: the sets, the sizes, where files go."""

    survey: Survey
    scale: Scale
    sets: Sets
    out: Path
    seed: int
    members: int
    say: Callable[[str], None]

    def learn(self, name: str, make: Callable[[], Any], epochs: int) -> Learned:
        """See benchmarks.epochs.learn."""
        return learn(self.out / f"{name}.safetensors", make, epochs, self.seed, self.say, BATCH)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network trained as its recipe says: members, and by part of it ("classes", a class's name, or "all") what the
    trainings of the members took."""

    members: list[Network]
    parts: dict[str, list[Learned]]


def gasnet2(work: Work) -> Trained:
    """The paper's recipe: a classifier and one redshift network per class, each trained by itself."""
    members: list[Network] = []
    parts: dict[str, list[Learned]] = {}
    survey, scale, training = work.survey, work.scale, work.sets.training
    both = np.concatenate([training.rows(k, scale.classify) for k in range(len(survey.names))])
    for m in range(work.members):
        member = GaSNet2(survey)
        classes = functools.partial(Classes, survey, training, np.sort(both), work.sets.validation)
        found = work.learn(f"gasnet2-{m}-classes", classes, scale.epochs_classify)
        found.load_into(member.classifier)
        parts.setdefault("classes", []).append(found)
        for row, k in enumerate(survey.extragalactic):
            name = survey.names[k]
            lesson = functools.partial(Redshift, training, training.rows(k, scale.redshift), work.sets.validation, k)
            epochs = scale.epochs_long if name in LONG else scale.epochs
            found = work.learn(f"gasnet2-{m}-{name}", lesson, epochs)
            found.load_into(member.redshifts[row])
            parts.setdefault(name, []).append(found)
        members.append(member.eval())
    return Trained(members, parts)


def matched(work: Work) -> Trained:
    """Ours, on all spectra that the paper's networks are trained on together."""
    members: list[Network] = []
    parts: dict[str, list[Learned]] = {}
    for m in range(work.members):
        lesson = functools.partial(Everything, work.survey, work.sets.training, work.sets.validation)
        found = work.learn(f"matched-{m}", lesson, work.scale.epochs_ours)
        member = build("matched", work.survey)
        found.load_into(member)
        parts.setdefault("all", []).append(found)
        members.append(member.eval())
    return Trained(members, parts)


RECIPES: dict[str, Callable[[Work], Trained]] = {"matched": matched, "gasnet2": gasnet2}


@torch.inference_mode()
def answers(members: Sequence[Network], test: MockSet) -> tuple[IntArray, np.ndarray, float]:
    """Best class (N,), redshift if of class k (N, E), means over members as the paper's eq. 7; and core seconds a
    spectrum, all members, from spectra on the network's grid to answers."""
    best, z, spent = [], [], 0.0
    for start in range(0, len(test.label), BATCH):
        rows = np.arange(start, min(start + BATCH, len(test.label)))
        sample = test.sample(rows, members[0].grid)
        began = time.process_time()
        outputs: list[NetworkOutput] = [member(sample.flux, sample.ivar) for member in members]
        p = torch.stack([out.class_logits.softmax(-1) for out in outputs]).mean(0)
        spent += time.process_time() - began
        best.append(p.argmax(-1).numpy())
        z.append(torch.stack([out.z for out in outputs]).mean(0).numpy())
    return np.concatenate(best), np.concatenate(z), spent / len(test.label)


@torch.inference_mode()
def one_redshift_network(member: Network, test: MockSet, n: int = 4 * BATCH) -> float:
    """Core seconds a spectrum of a single one of gasnet2's networks, which are all of one size."""
    assert isinstance(member, GaSNet2)
    parts = paper_input(test, np.arange(min(n, len(test.label)))).split(BATCH)
    began = time.process_time()
    for x in parts:
        member.redshifts[0](x)
    return (time.process_time() - began) / sum(len(x) for x in parts)


def quality(survey: Survey, test: MockSet, best: IntArray, z: np.ndarray) -> dict[str, dict[str, float]]:
    """By class: n, accuracy, and of its own redshift network GF (eq. 10), MAE (12), dz (11), NMAD, catastrophic share;
    mean: the unweighted mean over the classes that have a number, as in the paper's tables."""
    found: dict[str, dict[str, float]] = {}
    for k, klass in enumerate(survey.classes):
        here = test.label == k
        found[klass.name] = {"n": int(here.sum()), "accuracy": metrics.fraction(best[here] == k)}
        if klass.good is not None and here.any():
            truth, own = test.z[here], z[here, survey.extragalactic.index(k)].astype(float).clip(min=-0.9)
            found[klass.name] |= {
                "GF": metrics.good_fraction(truth, own, klass.good),
                "MAE": metrics.mean_absolute_error(truth, own),
                "dz": float(metrics.delta_z(truth, own).mean()),
                "NMAD": metrics.nmad(truth, own),
                "catastrophic": metrics.catastrophic_fraction(truth, own, klass.spectype),
            }
    keys = ("accuracy", "GF", "MAE", "dz", "NMAD", "catastrophic")
    mean = {key: float(np.mean([row[key] for row in found.values() if key in row and row["n"]])) for key in keys}
    return found | {"mean": {"n": len(test.label), **mean}}


def measure(name: str, trained: Trained, work: Work) -> dict[str, Any]:
    """Everything of one network that the table shows."""
    best, z, spent = answers(trained.members, work.sets.test)
    training = {
        part: {
            "spectra": runs[0].n,
            "epochs": runs[0].epochs,
            "best epoch": [run.progress.best_epoch + 1 for run in runs],
            "seconds": sum(run.progress.seconds for run in runs),
            "core seconds": sum(run.progress.core_seconds for run in runs),
            "history": [run.progress.history for run in runs],
        }
        for part, runs in trained.parts.items()
    }
    single = (
        {"one of its networks": one_redshift_network(trained.members[0], work.sets.test)} if name == "gasnet2" else {}
    )
    return {
        "members": len(trained.members),
        "parameters": parameters(trained.members[0]),
        "multiply-adds (M)": multiply_adds(trained.members[0]) / 1e6,
        "inference (core seconds)": {"all": spent, **single},
        "training": training,
        "quality": quality(work.survey, work.sets.test, best, z),
    }


def make_sets(scale: Scale, survey: Survey, templates: str | None, out: Path, seed: int, say: Callable) -> Sets:
    """Training spectra with redshifts flatter than nature's, as those that we train on; validation and test spectra,
    of templates kept apart, with the real distribution."""
    counts = {"training": scale.wanted(survey)}
    counts |= {name: [n] * len(survey.names) for name, n in (("validation", scale.validation), ("test", scale.test))}
    made = {}
    for number, (name, wanted) in enumerate(counts.items()):
        say(f"{name}: {sum(wanted)} mock spectra")
        split: dict[str, Any] = {"split": "train"} if name == "training" else {"split": name, "flat_share": 0.0}
        simulator = functools.partial(Simulator, survey, templates, **split)
        made[name] = mock_set(out / name, simulator, wanted, seed + number)
    return Sets(**made)


def remember(out: Path, facts: Mapping[str, Any]) -> None:
    """Write run.json, or check that the run in this folder is the same. Raises ValueError naming what differs."""
    path = out / "run.json"
    if path.is_file():
        old = read(path)
        for key, value in json.loads(json.dumps(facts)).items():
            if old.get(key) != value:
                raise ValueError(f"{path}: this run has {key} = {old.get(key)}, not {value}; use another --out")
    else:
        write(path, facts)


def run(
    scale: Scale, survey: Survey, templates: str | None, out: Path, seed: int, members: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Make the sets, train what is not trained yet, measure."""
    remember(out, {"scale": asdict(scale), "survey": survey.name, "survey_sha256": survey.sha256, "seed": seed})
    choose_device("cpu")
    sets = make_sets(scale, survey, templates, out, seed, say)
    work = Work(survey, scale, sets, out, seed, members, say)
    found = {name: measure(name, recipe(work), work) for name, recipe in RECIPES.items()}
    sizes = {name: len(getattr(sets, name).label) for name in ("training", "validation", "test")}
    return {
        "scale": asdict(scale), "survey": survey.name, "seed": seed, "spectra": sizes, **machine(), "networks": found
    }  # fmt: skip


def show(report: Mapping[str, Any], terminal: Console) -> None:
    """Print a report: what it took, then how good, class by class, one network under the other."""
    scale, spectra = report["scale"], report["spectra"]
    title = (
        f"{report['survey']}, scale {scale['name']}, seed {report['seed']}: mock spectra "
        f"{spectra['training']} training, {spectra['validation']} validation, {spectra['test']} test"
    )
    cost = Table("network", "part", "spectra", "epochs", "best", "training (min)", "(core min)", title=title)
    for name, found in report["networks"].items():
        for part, took in found["training"].items():
            best = ", ".join(map(str, took["best epoch"]))
            times = (f"{took[key] / 60:.1f}" for key in ("seconds", "core seconds"))
            cost.add_row(name, part, str(took["spectra"]), str(took["epochs"]), best, *times)
    terminal.print(cost)
    columns = ("n", "accuracy", "GF", "MAE", "dz", "NMAD", "catastrophic")
    speeds = (
        f"{name}: {found['members']} member(s), {found['parameters'] / 1e6:.1f} M parameters, "
        + ", ".join(f"{what} {1e3 * s:.1f} core ms" for what, s in found["inference (core seconds)"].items())
        for name, found in report["networks"].items()
    )
    table = Table("class", "network", *columns, title="; ".join(speeds))
    first = next(iter(report["networks"].values()))
    for klass in first["quality"]:
        for name, found in report["networks"].items():
            numbers = found["quality"][klass]
            table.add_row(klass, name, *(_shown(key, numbers.get(key)) for key in columns))
    terminal.print(table)


def _shown(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if key == "n" else f"{value:.2e}" if key in ("MAE", "dz", "NMAD") else f"{value:.3f}"


def main(arguments: list[str]) -> None:
    """Train the paper's network and ours on the same mock spectra and print both; see docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks networks", description=main.__doc__)
    parser.add_argument("--scale", choices=SCALES, default="smoke", help="how many spectra and epochs")
    parser.add_argument("--survey", default="sdss")
    parser.add_argument("--templates", help="folder of templates, default $GASNET_TEMPLATES")
    parser.add_argument("--out", type=Path, help="spectra, checkpoints and weights; default runs/networks-SCALE")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--members", type=int, default=1, help="networks of each kind; the paper has 10")
    parser.add_argument("--print", type=Path, dest="kept", metavar="JSON", help="print a report written earlier")
    options = parser.parse_args(arguments)
    terminal = console()
    if not options.kept:
        out = options.out or Path("runs") / f"networks-{options.scale}"
        survey = engine.load_survey(options.survey)
        say = functools.partial(print, flush=True)
        scale = SCALES[options.scale]
        report = run(scale, survey, options.templates, out, options.seed, options.members, say)
        options.kept = RESULTS / f"networks-{time.strftime('%Y-%m-%d')}-{options.scale}.json"
        write(options.kept, report)
        print(f"written to {options.kept.relative_to(RESULTS.parents[1])}")
    show(read(options.kept), terminal)
