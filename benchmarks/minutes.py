"""Minutes, not hours: how long a survey scientist waits for a retrained ensemble: `benchmarks minutes finetune|fresh`.

finetune : all members of the shipped model learn from 2,000 labelled spectra, half of every batch being other mocks,
           against forgetting. Mocks stand for what inspectors graded: what takes time does not depend on it.
fresh    : three members learn from nothing, and are held against the shipped ensemble.
Both are measured on the same mocks of the test templates, before (shipped) and after.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, machine, write
from engine.ensemble import Ensemble, load_ensemble
from engine.mock import Simulator
from engine.plan import CHUNK, OwnData, TrainConfig
from engine.survey import Survey, load_survey
from engine.train import train
from engine.validation import asked, validation_metrics

LIMIT = {"finetune": 5.0, "fresh": 45.0}  # minutes, on two cores
BUDGET = {"finetune": 8 * CHUNK, "fresh": 300 * CHUNK}  # spectra of each member


def graded(survey: Survey, templates: Path | None, n: int, seed: int, out: Path) -> Path:
    """A packed set of n mock spectra with their true labels."""
    simulator = Simulator(survey, templates)
    parts = [simulator.batch(min(CHUNK, n - k), [seed, k]) for k in range(0, n, CHUNK)]
    label = np.concatenate([part.label for part in parts])
    np.savez(
        out, wave=parts[0].wave, flux=np.concatenate([part.flux for part in parts]),
        ivar=np.concatenate([part.ivar for part in parts]), cls=[survey.names[k] for k in label],
        z=np.concatenate([part.z for part in parts]), id=[f"graded-{k}" for k in range(n)],
    )  # fmt: skip
    return out


def quality(ensemble: Ensemble, templates: Path | None, n: int) -> dict[str, Any]:
    """Accuracy (mean of the classes) and good fraction (mean of those with a redshift) on n mocks of the test split."""
    simulator = Simulator(ensemble.survey, templates, "test", flat_share=0.0)
    _, found = validation_metrics(asked(ensemble, simulator, n, 77), ensemble.survey)
    good = [facts["good_fraction"] for facts in found["classes"].values() if "good_fraction" in facts]
    return {"n": found["n"], "accuracy": found["accuracy"], "good_fraction": round(float(np.mean(good)), 4)}


def main(arguments: Sequence[str]) -> None:
    """Train, measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks minutes", description=__doc__)
    parser.add_argument("part", choices=LIMIT)
    parser.add_argument("--templates", type=Path, help="else $GASNET_TEMPLATES")
    parser.add_argument("--budget", type=int, help="spectra that each member sees")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--graded", type=int, default=2000, help="labelled spectra to fine-tune on")
    parser.add_argument("--mix", type=float, default=0.5, help="share of other mocks while fine-tuning")
    parser.add_argument("--n", type=int, default=1300, help="mock spectra that both models are measured on")
    options = parser.parse_args(arguments)
    part, survey = options.part, load_survey("sdss")
    shipped = load_ensemble("sdss")
    templates = str(options.templates) if options.templates else None
    plain: dict[str, Any] = {
        "spectra": options.budget or BUDGET[part], "processes": options.processes, "templates": templates,
        "name": "minutes", "network": shipped.members[0].name,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if part == "finetune":
            own = graded(survey, options.templates, options.graded, 2026, Path(folder) / "graded.npz")
            config = TrainConfig(
                members=len(shipped.members), start_from=shipped.name, rate_scale=0.1,
                own_data=OwnData(str(own), None, options.mix), **plain,
            )  # fmt: skip
        else:
            config = TrainConfig(members=3, **plain)
        began = time.monotonic()
        run = train(config, Path(folder) / "run", notice=lambda words: print(words, flush=True))
        minutes = (time.monotonic() - began) / 60
        models = {shipped.name: quality(shipped, options.templates, options.n)}
        models[part] = quality(load_ensemble(run), options.templates, options.n)
    report = {
        "part": part, "members": config.members, "spectra of each": config.spectra, "processes": config.processes,
        "graded": options.graded if part == "finetune" else 0, "mix": options.mix if part == "finetune" else 1.0,
        "minutes": round(minutes, 2), "limit": LIMIT[part], "models": models, "machine": machine(),
    }  # fmt: skip
    write(RESULTS / f"minutes-{part}-{shipped.name}.json", report)
    verdict = "within" if minutes <= LIMIT[part] else "over"
    print(
        f"{part}: {config.members} members x {config.spectra:,} spectra, {config.processes} processes, measuring and "
        f"calibration included: {minutes:.1f} min, {verdict} {LIMIT[part]:g}"
    )
    print("| model | n | accuracy | good fraction |\n|---|---|---|---|")
    for name, found in models.items():
        print(f"| {name} | {found['n']} | {found['accuracy']:.3f} | {found['good_fraction']:.3f} |")
