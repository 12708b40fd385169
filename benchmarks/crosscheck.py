"""The template fit beside the network: redshifts, formal errors, verdicts, seconds; on mock and on real spectra.

Mock spectra are of templates kept out of training. Their truth is the redshift that was simulated, without the scatter
that labels of real surveys have; stars get the radial velocity they were given.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

import engine
from benchmarks.record import RESULTS, console, machine, write
from engine.ensemble import Ensemble, load_ensemble
from engine.evaluate.labels import POOLED, labelled
from engine.mock import Scene, Simulator, sdss
from engine.mock.scene import StarRecipe, TableScene
from engine.mock.templates import shifted
from engine.prediction import C_KMS
from engine.templatefit import CrossCheck

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Truth:
    """A spectrum, its type, class (may be empty) and redshift."""

    spectrum: engine.Spectrum
    spectype: str
    name: str
    z: float


@contextlib.contextmanager
def exact_labels(scene: Scene) -> Iterator[None]:
    """Mocks whose redshift is the simulated one, not one as a pipeline would have measured it."""
    kept = dict(sdss.LABEL_SCATTER)
    sdss.LABEL_SCATTER.update(dict.fromkeys(kept, 0.0))
    if isinstance(scene, TableScene):
        scene.recipes = [r if isinstance(r, StarRecipe) else replace(r, scatter=0.0) for r in scene.recipes]
    try:
        yield
    finally:
        sdss.LABEL_SCATTER.update(kept)


def mocks(survey: engine.Survey, templates: Path | None, split: str, n: int, seed: int) -> list[Truth]:
    """n galaxies and quasars of a split, a quarter as many stars with radial velocities, as the survey sees them."""
    scene = Simulator(survey, templates, split, n_pool=800).scene
    rng = np.random.default_rng(seed)
    with exact_labels(scene):
        batch = scene.make(rng.permutation(np.resize(np.array(survey.extragalactic), n)), rng)
    light, velocity = starlight(scene, n // 4, rng)
    snr = np.clip(np.exp(rng.normal(np.log(28), 0.8, n // 4)), 3, 120)
    stars = scene.observe(light, snr, rng)
    wave = batch.wave
    found = [
        Truth(engine.Spectrum(wave, f, v, f"mock {i}"), survey.classes[label].spectype, survey.names[label], float(z))
        for i, (f, v, label, z) in enumerate(zip(batch.flux, batch.ivar, batch.label, batch.z, strict=True))
    ]
    return found + [
        Truth(engine.Spectrum(wave, f, v, f"star {i}"), "STAR", "", float(z))
        for i, (f, v, z) in enumerate(zip(stars.flux, stars.ivar, velocity, strict=True))
    ]


def starlight(scene: Scene, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], FloatArray]:
    """Noise-free stars of a scene's kinds (n, light_grid.n), and the redshifts of their radial velocities (n,)."""
    if isinstance(scene, sdss.SdssScene):
        rest, velocity = scene.stars.draw(rng.integers(0, len(sdss.SDSS_TYPES), n), rng)
    else:
        assert isinstance(scene, TableScene)
        pools = [pool for r in scene.recipes if isinstance(r, StarRecipe) for pool in r.pools]
        rest = np.concatenate([scene.stars.draw(pools[k % len(pools)], 1, rng) for k in range(n)])
        velocity = rng.normal(0, 100 / C_KMS, n)
    return shifted(rest, np.arange(n), velocity, scene.light_grid), np.asarray(velocity)


def real(folder: Path, group: str = POOLED) -> list[Truth]:
    """A group of `gasnet validate`, by default the pooled set."""
    left_out: list[tuple[str, str]] = []
    return [
        Truth(item.spectrum, item.label.spectype, "", item.label.z)
        for item in labelled(folder, left_out)
        if item.group == group
    ]


def nmad(values: FloatArray) -> float:
    """1.4826 times the median absolute deviation."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if values.size else float("nan")


def rows(truths: Sequence[Truth], ensemble: Ensemble) -> tuple[list[dict[str, float | str]], float, list[str]]:
    """The table's rows, core seconds per spectrum, and what does not agree, one line each."""
    predictions = ensemble.predict([t.spectrum for t in truths], keep_members=False)
    engine.crosscheck(truths[0].spectrum, predictions[0])  # loads the basis
    start = time.process_time()
    checks = [engine.crosscheck(t.spectrum, p) for t, p in zip(truths, predictions, strict=True)]
    seconds = (time.process_time() - start) / len(truths)
    groups = {f"all {kind}": [t.spectype == kind for t in truths] for kind in ("GALAXY", "QSO", "STAR")}
    groups |= {name: [t.name == name for t in truths] for name in ensemble.survey.names}
    table = []
    right = np.array([t.spectype == p.spectype for t, p in zip(truths, predictions, strict=True)])
    for name, chosen in groups.items():
        at = np.flatnonzero(np.array(chosen) & right)
        if at.size:
            table.append(_row(name, [truths[i] for i in at], [predictions[i] for i in at], [checks[i] for i in at]))
    doubts = [
        f"{t.spectrum.object_id}: {t.spectype} z = {t.z:.5f}; network {p.class_name} {p.best_z:.5f}; "
        f"fit {c.fit.z:.5f}, reduced chi2 {c.fit.reduced:.2f}, {c.verdict}"
        for t, p, c in zip(truths, predictions, checks, strict=True)
        if not c.agrees or abs(c.fit.z - t.z) / (1 + t.z) > 1e-2
    ]
    return table, seconds, doubts


def _row(
    name: str, truths: Sequence[Truth], predictions: Sequence[engine.Prediction], checks: Sequence[CrossCheck]
) -> dict[str, float | str]:
    z = np.array([t.z for t in truths])
    fit, error = np.array([c.fit.z for c in checks]), np.array([c.fit.zerr for c in checks])
    good = np.isfinite(fit)
    pull = ((fit - z) / error)[good]
    net = (np.array([p.best_z for p in predictions]) - z) / (1 + z)
    off = ((fit - z) / (1 + z))[good]
    verdicts = [c.verdict for c in checks]
    return {
        "group": name, "n": len(truths), "fitted": float(good.mean()),
        "NMAD network": nmad(net), "NMAD fit": nmad(off), "median fit": float(np.median(off)),
        "pull width": nmad(pull), "pulls beyond 3": float((np.abs(pull) > 3).mean()),
        "reduced chi2": float(np.nanmedian([c.fit.reduced for c in checks])),
        "reduced chi2, 95 %": float(np.nanpercentile([c.fit.reduced for c in checks], 95)),
        "agrees": float(np.mean([v.startswith("agrees") for v in verdicts])),
        "prefers a rival": float(np.mean([v.startswith("prefers") for v in verdicts])),
        "poor": float(np.mean([v.startswith("poor") for v in verdicts])),
    }  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Print the tables and keep them in benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks crosscheck", description=__doc__)
    parser.add_argument("--templates", type=Path, help="folder of templates; default $GASNET_TEMPLATES")
    parser.add_argument("--real", type=Path, help="folder of labelled real spectra")
    parser.add_argument("--group", default=POOLED, help="which of them, as `gasnet validate` names them")
    parser.add_argument("--n", type=int, default=1200, help="mock galaxies and quasars")
    parser.add_argument("--split", default="test", help="train, validation or test")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--model", default="sdss", help="a survey, or a model of it")
    parser.add_argument("--doubts", action="store_true", help="list what does not agree")
    options = parser.parse_args(arguments)
    ensemble = load_ensemble(options.model)
    sets = {f"mock, {options.split}": mocks(ensemble.survey, options.templates, options.split, options.n, options.seed)}
    if options.real:
        sets[f"real, {options.group}"] = real(options.real, options.group)
    report: dict[str, object] = {"machine": machine()}
    for title, truths in sets.items():
        table, seconds, doubts = rows(truths, ensemble)
        report[title] = {"rows": table, "core seconds per spectrum": seconds}
        shown = Table(*table[0], title=f"{title}: {1e3 * seconds:.1f} core ms per spectrum")
        for row in table:
            shown.add_row(*(v if isinstance(v, str) else f"{v:.3g}" for v in row.values()))
        console().print(shown)
        if options.doubts:
            console().print("\n".join(doubts), markup=False)
    write(RESULTS / f"{date.today()}-crosscheck.json", report)
