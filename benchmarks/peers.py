"""python -m benchmarks peers --real DIR --templates DIR: redrock and ours on the same real and mock spectra.

redrock's answers are kept in --out and not computed again; --ours-only never calls it. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import engine
from benchmarks.fitter import Answer, Redrock, Remembered
from benchmarks.pca import GALAXIES, QUASARS, load_bases, rows
from benchmarks.record import RESULTS, console, machine, read, write
from engine import metrics
from engine.ensemble import Ensemble
from engine.evaluate import MOCK, POOLED, Labelled, judge, labelled, mocks
from engine.mock import Simulator
from engine.mock.templates import find_templates
from engine.spectrum import Label, Spectrum
from engine.survey import SPECTYPES, Survey

REAL = "real"


@dataclass(frozen=True)
class Verdict:
    """One code on one spectrum. z_pred is the redshift of its best answer of the true type, z_best that of its best
    answer; type_pred the type of the latter. good: z_pred within the good-fraction window; right: type_pred is the true
    type and z_best within the window. Stars have no redshift to judge (paper eq. 1). sure: nothing is flagged."""

    name: str
    spectype: str
    z: float
    snr: float
    type_pred: str
    z_pred: float
    z_best: float
    good: bool
    right: bool
    sure: bool


def verdict(item: Labelled, survey: Survey, type_pred: str, z_pred: float | None, z_best: float, sure: bool) -> Verdict:
    """Compare an answer with the label; z_pred None: the code has no answer of that type, which is a wrong one."""
    label = item.label
    star = label.spectype == "STAR"
    window = 0.0 if star else survey.good_threshold(label.spectype)
    wrong = -0.5  # no redshift is near it
    z_pred = wrong if z_pred is None else z_pred
    good, good_best = (star or bool(metrics.bias(label.z, z)[0] < window) for z in (z_pred, z_best))
    right = type_pred == label.spectype and good_best
    return Verdict(
        item.name, label.spectype, label.z, item.spectrum.snr, type_pred, z_pred, z_best, good, right, sure
    )  # fmt: skip


def of_redrock(item: Labelled, answer: Answer, survey: Survey) -> Verdict:
    """redrock's best fit, and its best fit of the true type."""
    best, own = answer.fits[0], answer.of(item.label.spectype)
    return verdict(item, survey, best.spectype, own.z if own else None, best.z, best.zwarn == 0)


def of_ours(items: Sequence[Labelled], ensemble: Ensemble) -> tuple[list[Verdict], float]:
    """Our verdicts, and the processor seconds for all: from spectra in memory to predictions, 32 at a time."""
    spectra = [item.spectrum for item in items]
    ensemble.predict(spectra[:2])  # warm
    began = time.process_time()
    predictions = ensemble.predict(spectra, batch_size=32, keep_members=False)
    seconds = time.process_time() - began
    made = []
    for item, prediction in zip(items, predictions, strict=True):
        z_pred = judge(item, prediction).z_pred
        made.append(
            verdict(item, ensemble.survey, prediction.spectype, z_pred, prediction.best_z, prediction.robust)
        )  # fmt: skip
    return made, seconds


def row(verdicts: Sequence[Verdict], spectype: str) -> dict[str, float]:
    """The numbers of one type: n, shares, NMAD and catastrophic fraction of z_pred; NaN-free: stars have no z."""
    own = [v for v in verdicts if v.spectype == spectype]
    numbers = {"n": len(own), "right type": metrics.fraction([v.type_pred == spectype for v in own])}
    if spectype != "STAR" and own:
        z, z_pred = [v.z for v in own], [v.z_pred for v in own]
        numbers["GF"] = metrics.fraction([v.good for v in own])
        numbers["NMAD"] = metrics.nmad(z, z_pred)
        numbers["catastrophic"] = metrics.catastrophic_fraction(z, z_pred, spectype)
    numbers["right"] = metrics.fraction([v.right for v in own])
    numbers["sure"] = metrics.fraction([v.sure for v in own])
    sure = [v.right for v in own if v.sure]
    return numbers | ({"right of sure": metrics.fraction(sure)} if sure else {})


def real_items(folder: Path) -> list[Labelled]:
    """The pooled set of real spectra (engine.evaluate.labels)."""
    return [item for item in labelled(folder, []) if item.group == POOLED]


def mock_items(out: Path, templates: Path, n: int, seed: int, survey: Survey) -> list[Labelled]:
    """Mock spectra of test templates with real redshifts and SNRs: made once and kept in `out`, as the simulation may
    change between a run of one code and of the other."""
    path = out / f"mocks-{survey.name}-{n}-{seed}.npz"
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        made = list(mocks(Simulator(survey, templates, "test", flat_share=0.0), n, seed, survey))
        arrays = {key: np.stack([getattr(item.spectrum, key) for item in made]) for key in ("wave", "flux", "ivar")}
        arrays |= {"z": np.array([item.label.z for item in made]), "truth": np.array([item.truth for item in made])}
        part = path.with_name(f"part-{path.name}")
        np.savez(part, allow_pickle=False, **arrays)
        part.replace(path)
    with np.load(path, allow_pickle=False) as kept:
        arrays = {key: kept[key] for key in kept.files}
    items = []
    for k, truth in enumerate(map(str, arrays["truth"])):
        name = f"mock-{seed}-{k:05d}"
        label = Label(survey.classes[survey.index(truth)].spectype, "", float(arrays["z"][k]), zwarning=0)
        spectrum = Spectrum(arrays["wave"][k], arrays["flux"][k], arrays["ivar"][k], name, MOCK, label=label)
        items.append(Labelled(MOCK, name, label, spectrum, truth))
    return items


def redrock_answers(
    items: Iterable[Labelled], remembered: Remembered, make: Any, terminal: Console
) -> dict[str, Answer]:
    """Answer of each spectrum by name, those missing computed by make() -> Redrock. make None: never computed; then
    ValueError says how many are missing."""
    items = list(items)
    missing = [item for item in items if remembered.get(item.spectrum) is None]
    if missing and make is None:
        raise ValueError(
            f"{remembered.path}: no answer of redrock for {len(missing)} of {len(items)} spectra, the first "
            f"{missing[0].name}; leave --ours-only out to compute them"
        )
    for k, item in enumerate(missing):
        remembered.add(item.spectrum, make().answer(item.spectrum))
        if (k + 1) % 20 == 0 or k + 1 == len(missing):
            terminal.print(f"redrock: {k + 1} of {len(missing)}")
    found = {item.name: remembered.get(item.spectrum) for item in items}
    return {name: answer for name, answer in found.items() if answer is not None}


def measure(items: Sequence[Labelled], answers: Mapping[str, Answer], ensemble: Ensemble) -> dict[str, Any]:
    """Both codes on a set: rows by type, core seconds a spectrum, and every spectrum that one of them got wrong."""
    theirs = [of_redrock(item, answers[item.name], ensemble.survey) for item in items]
    ours, seconds = of_ours(items, ensemble)
    per = {
        "redrock": float(np.median([answers[item.name].core_seconds for item in items])),
        "ours": seconds / len(items),
    }
    both = {"redrock": theirs, "ours": ours}
    wrong = [
        {code: asdict(v) for code, v in zip(both, pair, strict=True)}
        for pair in zip(theirs, ours, strict=True)
        if not all(v.right and v.good for v in pair)
    ]
    return {
        "n": len(items),
        "core seconds per spectrum": per,
        "rows": {code: {kind: row(found, kind) for kind in SPECTYPES} for code, found in both.items()},
        "wrong": wrong,
    }


def show(report: Mapping[str, Any], terminal: Console) -> None:
    """Print a report: a table for each set, then what was wrong."""
    columns = ("n", "right type", "GF", "NMAD", "catastrophic", "right", "sure", "right of sure")
    for name, found in report["sets"].items():
        seconds = ", ".join(f"{code} {s:.3g}" for code, s in found["core seconds per spectrum"].items())
        table = Table("type", "code", *columns, title=f"{name} (n = {found['n']}); core seconds a spectrum: {seconds}")
        for kind in SPECTYPES:
            for code, by_type in found["rows"].items():
                numbers = by_type[kind]
                table.add_row(kind, code, *(_shown(key, numbers.get(key)) for key in columns))
        terminal.print(table)
        listed = Table(
            "spectrum", "type", "z", "SNR", "redrock", "ours", title=f"{name}: wrong (* flagged by its code)"
        )
        for pair in found["wrong"]:
            pair = {code: Verdict(**values) for code, values in pair.items()}
            truth = pair["ours"]
            listed.add_row(
                truth.name, truth.spectype, f"{truth.z:.4f}", f"{truth.snr:.1f}", *(_words(v) for v in pair.values())
            )  # fmt: skip
        terminal.print(listed)


def _shown(key: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return str(value) if key == "n" else f"{value:.1e}" if key == "NMAD" else f"{value:.3f}"


def _words(v: Verdict) -> str:
    if v.right and v.good:
        return "right"
    other = "" if v.good else f"; as {v.spectype} {v.z_pred:.4f}"
    return f"{v.type_pred} {v.z_best:.4f}{other if v.type_pred != v.spectype else ''}{'' if v.sure else ' *'}"


def main(arguments: list[str]) -> None:
    """Print redrock's and our answers to the same spectra; see docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=main.__doc__)
    parser.add_argument("--real", type=Path, help="folder of labelled real spectra (manifest.csv); else mocks only")
    parser.add_argument("--templates", help="folder of templates, default $GASNET_TEMPLATES")
    parser.add_argument("--n", type=int, default=200, help="mock spectra of test templates; 0 for none")
    parser.add_argument("--first", type=int, help="only the first so many of the real spectra")
    parser.add_argument("--seed", type=int, default=11, help="seed of the mock spectra")
    parser.add_argument("--galaxies", choices=GALAXIES, default=GALAXIES[0], help="spEigenGal templates")
    parser.add_argument("--quasars", choices=QUASARS, default=QUASARS[0], help="redrock's quasar templates")
    parser.add_argument("--model", default="sdss", help="our model: a survey, a name or a folder")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"), help="redrock's answers and the mock spectra")
    parser.add_argument("--ours-only", action="store_true", help="take redrock's answers from --out, compute none")
    parser.add_argument("--print", type=Path, dest="kept", metavar="JSON", help="print a report written earlier")
    options = parser.parse_args(arguments)
    terminal = console()
    if options.kept:
        show(read(options.kept), terminal)
        return
    if not options.real and not options.n:
        parser.error("nothing to measure: give --real DIR or --n above 0")
    torch.set_num_threads(1)
    report = run(options, terminal)
    path = RESULTS / f"peers-{time.strftime('%Y-%m-%d')}-{report['model']}.json"
    write(path, report)
    show(report, terminal)
    terminal.print(f"written to {path.relative_to(RESULTS.parents[1])}")


def run(options: argparse.Namespace, terminal: Console) -> dict[str, Any]:
    """Measure both codes on the sets that the options name."""
    ensemble = engine.load_ensemble(options.model, device="cpu")
    templates = find_templates(options.templates)
    chosen = rows(options.galaxies, options.quasars)
    sets: dict[str, list[Labelled]] = {}
    if options.real:
        sets[REAL] = real_items(options.real)[: options.first]
    if options.n:
        sets[MOCK] = mock_items(options.out, templates, options.n, options.seed, ensemble.survey)
    remembered = Remembered(options.out / f"redrock-{options.galaxies}-{options.quasars}.jsonl")
    code: list[Redrock] = []

    def make() -> Redrock:
        if not code:
            code.append(Redrock(load_bases(templates, chosen)))
        return code[0]

    found = {}
    for name, items in sets.items():
        answers = redrock_answers(items, remembered, None if options.ours_only else make, terminal)
        found[name] = measure(items, answers, ensemble)
    facts = {"model": ensemble.name, "members": len(ensemble.members), "templates": [row.path for row in chosen]}
    if code:
        facts |= {"redrock": code[0].version, "redrock setup (core seconds)": code[0].setup_seconds}
    return {**facts, "seed": options.seed, **machine(), "sets": found}
