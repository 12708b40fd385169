"""What the page Why asks: processor time of each question, and whether the nearest mock spectra are of one kind."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table

import engine
from benchmarks.record import console, machine
from engine.dataset import on_grid
from engine.ensemble import Ensemble
from engine.fingerprint import DIMENSIONS, fingerprints
from engine.mock import Simulator

LOADED = 20_000  # objects of a full session
SEED = 31


def core_seconds(work: Callable[[], object], repeat: int = 7) -> float:
    """Median processor time of some work, all threads together, once it is warm."""
    work()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def questions(ensemble: Ensemble, spectrum: engine.Spectrum) -> dict[str, float]:
    """Processor seconds of every question of the page about one spectrum."""
    (found,) = ensemble.predict([spectrum])
    lines = engine.load_lines()
    traced = engine.member_saliency(ensemble, spectrum, found.best)
    middle = float(np.median(spectrum.wave))
    altered = engine.degrade(engine.occlude(spectrum, [(middle - 25, middle + 25)]), 2.0)
    draw = np.random.default_rng(SEED).standard_normal((LOADED, DIMENSIONS)).astype(np.float32)
    loaded = {str(k): row for k, row in enumerate(draw)}
    mine = draw[0]
    return {
        "a region hidden or noise added": core_seconds(lambda: ensemble.predict([altered], keep_members=False)),
        "ladder of nine noises": core_seconds(lambda: engine.noise_ladder(ensemble, spectrum)),
        "saliency of ten members": core_seconds(lambda: engine.member_saliency(ensemble, spectrum, found.best)),
        "members in words": core_seconds(lambda: engine.member_answers(found, spectrum, traced, lines)),
        "rival redshifts in words": core_seconds(lambda: engine.solutions(found, lines)),
        "neighbours among 20,000 objects": core_seconds(lambda: engine.neighbours(mine, loaded)),
        "mock spectra of the model, once": core_seconds(lambda: engine.load_exemplars(ensemble)),
    }


def kinship(ensemble: Ensemble, simulator: Simulator, n: int) -> dict[str, Any]:
    """How often the nearest exemplar, and most of the nearest five, are of the true type and class of n mock spectra;
    and how near it lies for answers of right and of wrong type."""
    kept = engine.load_exemplars(ensemble)
    if kept is None:
        return {}
    batch = simulator.batch(n, [SEED])
    sample = on_grid(batch, ensemble.grid, torch.device("cpu"))
    parts = np.array_split(np.arange(n), max(1, n // 128))
    features = np.concatenate(
        [ensemble.outputs(sample.flux[k].numpy(), sample.ivar[k].numpy()).features for k in parts], axis=1
    )
    whiten = None if ensemble.outliers is None else ensemble.outliers.whiten
    types = np.array([c.spectype for c in ensemble.survey.classes])
    near = [kept.nearest(row) for row in fingerprints(features, whiten)]
    rows = np.array([[int(m.key) for m in five] for five in near])
    label = kept.label[rows]
    same_type = types[label] == types[batch.label][:, None]
    same_class = label == batch.label[:, None]
    distance = np.array([five[0].distance for five in near])
    moving = (batch.z > 0) & same_type[:, 0]
    dz = np.abs(kept.z[rows[:, 0]] - batch.z)[moving] / (1 + batch.z[moving])
    return {
        "n": n,
        "nearest of the same type": float(same_type[:, 0].mean()),
        "nearest of the same class": float(same_class[:, 0].mean()),
        "most of five of the same type": float((same_type.sum(axis=1) >= 3).mean()),
        "median |dz|/(1+z) to the nearest": float(np.median(dz)),
        "median distance, same type": float(np.median(distance[same_type[:, 0]])),
        "median distance, another type": float(np.median(distance[~same_type[:, 0]])),
    }


def main(arguments: Sequence[str]) -> None:
    """Print both tables; the second needs templates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks whatif", description=__doc__)
    parser.add_argument("--model", default="sdss", help="survey, model or folder")
    parser.add_argument("--templates", help="folder of templates, for the second table")
    parser.add_argument("--n", type=int, default=520, help="mock spectra of the second table")
    chosen = parser.parse_args(arguments)
    ensemble = engine.load_ensemble(chosen.model)
    sample = sorted((engine.assets_dir() / "spectra").iterdir())[0]
    out = Table("question", "ms of processor time", title=f"{ensemble.name}, {machine()['threads']} thread(s)")
    for name, seconds in questions(ensemble, engine.read(sample)[0]).items():
        out.add_row(name, f"{1000 * seconds:.1f}")
    console().print(out)
    if chosen.templates:
        simulator = Simulator(ensemble.survey, chosen.templates, "test", flat_share=0.0)
        for name, value in kinship(ensemble, simulator, chosen.n).items():
            console().print(f"{name}: {value:.4g}")
