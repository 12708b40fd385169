"""Fine-tuning on half of a folder of real labelled spectra, measured on the other half: `benchmarks finetune`.

The halves are made by the hash of the object's name, so that they are the same whenever this is run. The half that is
learned from is split 70/15/15 as all labelled spectra are (engine.labelled). The same members before and after are
compared on the same objects. Shipped weights are never trained on real spectra; what is made here is thrown away.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.record import RESULTS, machine, write
from engine.ensemble import Ensemble, load_ensemble
from engine.evaluate import POOLED, Labelled, Quality, judge, labelled, summary
from engine.plan import OwnData, TrainConfig
from engine.train import train


def first_half(name: str) -> bool:
    """Whether an object is learned from; the others are tested on."""
    return hashlib.sha256(f"half {name}".encode()).digest()[0] < 128


def write_catalog(manifest: Path, names: set[str], out: Path) -> int:
    """The rows of a manifest whose objects are in names, as a catalogue for `gasnet train`; returns how many."""
    with manifest.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["survey_id"] or row["target"] or row["path"]) in names]
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def measured(ensemble: Ensemble, items: Sequence[Labelled]) -> tuple[Quality, ...]:
    """Quality per class and type."""
    predictions = ensemble.predict([item.spectrum for item in items], keep_members=False)
    cases = [judge(item, prediction) for item, prediction in zip(items, predictions, strict=True)]
    return summary(cases, ensemble.survey)


def main(arguments: Sequence[str]) -> None:
    """Train, measure, print the two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks finetune", description=__doc__)
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv and its spectra")
    parser.add_argument("--from", dest="source", default="sdss", help="model to start from")
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--budget", type=int, default=2048, help="spectra that each member sees")
    parser.add_argument("--rate-scale", type=float, default=0.1)
    parser.add_argument("--mix", type=float, default=0.0, help="share of mocks, which need --templates")
    parser.add_argument("--templates", type=Path)
    options = parser.parse_args(arguments)
    items = [item for item in labelled(options.real, []) if item.group == POOLED]
    with (options.real / "manifest.csv").open(newline="") as file:
        listed = {row["survey_id"] or row["target"] or row["path"] for row in csv.DictReader(file)}
    learned = {item.name for item in items if item.name in listed and first_half(item.name)}
    tested = [item for item in items if not first_half(item.name)]
    base = load_ensemble(options.source)
    before = Ensemble(base.survey, base.members[: options.members], base.card)
    found = [(base.name, measured(before, tested))]
    with tempfile.TemporaryDirectory() as folder:
        n = write_catalog(options.real / "manifest.csv", learned, Path(folder) / "half.csv")
        config = TrainConfig(
            survey=base.survey.name, network=base.members[0].name, members=options.members, spectra=options.budget,
            own_data=OwnData(str(options.real), str(Path(folder) / "half.csv"), options.mix),
            start_from=options.source if Path(options.source).exists() else base.name, name="finetuned",
            network_config=dict(base.members[0].config), rate_scale=options.rate_scale,
            templates=str(options.templates) if options.templates else None,
        )  # fmt: skip
        began = time.monotonic()
        tuned = load_ensemble(train(config, Path(folder) / "run"))
        seconds = time.monotonic() - began
        found.append(("fine-tuned", measured(tuned, tested)))
    report = {"options": {k: v if isinstance(v, int | float) else None for k, v in vars(options).items()},
              "given": n, "tested": len(tested), "seconds": round(seconds, 1), "machine": machine(),
              "models": {model: [asdict(q) for q in lines] for model, lines in found}}  # fmt: skip
    write(RESULTS / f"finetune-{base.name}-mix-{options.mix:g}.json", report)
    print(
        f"{n} objects given, {len(tested)} tested; {options.members} members, {options.budget} spectra each, "
        f"{seconds:.0f} s"
    )
    print("| model | class | n | accuracy | right type | good z | NMAD |\n|---|---|---|---|---|---|---|")
    for model, lines in found:
        for q in lines:
            print(
                f"| {model} | {q.name} | {q.n} | {q.accuracy:.3f} (of {q.n_class}) | {q.type_accuracy:.3f} "
                f"| {q.good:.3f} | {q.nmad:.1e} |"
            )
