"""python -m benchmarks outliers [MODEL] [--real DIR]: does the score of none-of-these see what it should.

AUROC and share caught of each outlier type against mock spectra; false alarms on mock spectra by SNR, and on labelled
real spectra of the survey's classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks import record
from engine.calibration.scores import auroc
from engine.dataset import on_grid
from engine.ensemble import Ensemble, load_ensemble
from engine.evaluate import POOLED, labelled, true_class
from engine.mock import MockBatch, Simulator
from engine.mock.outliers import Outliers, outlier_types
from engine.outliers import Seen
from engine.validation import BATCH, measured_snr

SEED = 616_161  # other spectra than those of calibration
SNR_EDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, np.inf)


def scores(ensemble: Ensemble, batch: MockBatch) -> NDArray[np.float64]:
    """(B,) outlier scores of mock spectra. Raises ValueError for a model without."""
    if ensemble.outliers is None:
        raise ValueError(f"model {ensemble.name} has no score of none-of-these; run `gasnet calibrate` first")
    sample = on_grid(batch, ensemble.grid, torch.device("cpu"))
    answers = ensemble.outputs(sample.flux.numpy(), sample.ivar.numpy())
    return ensemble.outliers.score(Seen(answers.features, answers.logits, measured_snr(batch)))


def mock_facts(
    ensemble: Ensemble, simulator: Simulator, templates: str | None, n: int, per_type: int
) -> dict[str, Any]:
    """False alarms on n mocks by SNR; AUROC and share caught of per_type outliers of each type."""
    batches = [simulator.batch(min(BATCH, n - start), [SEED, start]) for start in range(0, n, BATCH)]
    usual = np.concatenate([scores(ensemble, batch) for batch in batches])
    snr = np.concatenate([measured_snr(batch) for batch in batches])
    kinds = Outliers(simulator, templates)
    odd = {
        kind: np.concatenate([
            scores(ensemble, kinds.batch(kind, min(BATCH, per_type - start), [SEED, k, start]))
            for start in range(0, per_type, BATCH)
        ])
        for k, kind in enumerate(outlier_types(ensemble.survey))
    }  # fmt: skip
    bins = {f"{a:g}-{b:g}": usual[(snr >= a) & (snr < b)] for a, b in pairwise(SNR_EDGES)}
    return {
        "mocks": {"n": n, "flagged": float((usual > 0).mean())},
        "mocks by SNR": {name: {"n": len(s), "flagged": float((s > 0).mean())} for name, s in bins.items() if len(s)},
        "types": {
            kind: {"n": len(s), "auroc": auroc(usual, s), "caught": float((s > 0).mean())} for kind, s in odd.items()
        },
        "all": {"auroc": auroc(usual, np.concatenate(list(odd.values())))},
    }  # fmt: skip


def real_facts(ensemble: Ensemble, folder: Path) -> dict[str, Any]:
    """False alarms on the pooled real spectra by type, and who they are. Those whose label names no class of the survey
    stand apart: they may be outliers."""
    items = [item for item in labelled(folder, []) if item.group == POOLED]
    predictions = ensemble.predict([item.spectrum for item in items], keep_members=False)
    groups: dict[str, list[tuple[str, float]]] = {}
    for item, prediction in zip(items, predictions, strict=True):
        label = item.label
        known = bool(true_class(label.spectype, label.subclass))
        name = label.spectype if known else f"{label.spectype} of no class"
        groups.setdefault(name, []).append((f"{item.name} {label.subclass} SNR {prediction.snr:.0f}", prediction.ood))
    return {
        name: {"n": len(found), "flagged": float(np.mean([s > 0 for _, s in found])),
               "who": [f"{who}: {score:.2f}" for who, score in found if score > 0]}
        for name, found in sorted(groups.items())
    }  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Measure, print, keep in benchmarks/results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks outliers", description=__doc__)
    parser.add_argument("model", nargs="?", default="sdss", help="model name or folder, or a survey")
    parser.add_argument("--n", type=int, default=2000, help="mock spectra")
    parser.add_argument("--per-type", type=int, default=200, help="outliers of each type")
    parser.add_argument("--real", type=Path, help="folder of labelled real spectra (manifest.csv)")
    parser.add_argument("--templates", help="template folder, else $GASNET_TEMPLATES")
    chosen = parser.parse_args(arguments)
    ensemble = load_ensemble(chosen.model, "cpu")
    simulator = Simulator(ensemble.survey, chosen.templates, "test", flat_share=0.0)
    facts = mock_facts(ensemble, simulator, chosen.templates, chosen.n, chosen.per_type)
    terminal = record.console()
    table = Table("type", "n", "AUROC", "caught", title=f"{ensemble.name}: outliers against {chosen.n} mock spectra")
    for kind, found in facts["types"].items():
        table.add_row(kind, str(found["n"]), f"{found['auroc']:.3f}", f"{found['caught']:.2f}")
    table.add_row("all", "", f"{facts['all']['auroc']:.3f}", "")
    terminal.print(table)
    alarms = Table("spectra", "n", "flagged", title="False alarms")
    rows = {"mocks": facts["mocks"], **{f"mocks, SNR {name}": v for name, v in facts["mocks by SNR"].items()}}
    if chosen.real:
        facts["real"] = real_facts(ensemble, chosen.real)
        rows |= {f"real {name}": found for name, found in facts["real"].items()}
    for name, found in rows.items():
        alarms.add_row(name, str(found["n"]), f"{found['flagged']:.3f}")
    terminal.print(alarms)
    for found in facts.get("real", {}).values():
        for who in found["who"]:
            terminal.print(f"  {who}")
    record.write(
        record.RESULTS / f"outliers-{ensemble.name}.json", {"model": ensemble.name, **facts, **record.machine()}
    )
