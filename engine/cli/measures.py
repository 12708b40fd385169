"""Commands that measure a model: validate, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import (
    DeviceOption,
    ModelOption,
    SurveyOption,
    TemplatesOption,
    app,
    chosen_ensemble,
    print_table,
)


@app.command()
def validate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with manifest.csv and the files it names.")],
    survey: SurveyOption = "sdss",
    model: ModelOption = "",
    device: DeviceOption = "auto",
    misses: Annotated[bool, typer.Option("--misses", help="List every object of wrong type or redshift.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables as Markdown.")] = False,
    json_out: Annotated[Path | None, typer.Option("--json", help="Also write all numbers to this file.")] = None,
) -> None:
    """Measure a model on labelled real spectra: class and redshift quality per class and type."""
    from engine import evaluate, report

    result = evaluate.validate(folder, chosen_ensemble(survey, model, device))
    if json_out:
        report.write_json(result, json_out)
    (report.print_markdown if markdown else report.print_tables)(result, misses)


@app.command()
def evaluate(
    survey: SurveyOption = "sdss",
    model: ModelOption = "",
    device: DeviceOption = "auto",
    n: Annotated[int | None, typer.Option("--n", min=26, help="Mock spectra; default: as many as the card's.")] = None,
    templates: TemplatesOption = None,
) -> None:
    """Measure a model on mock spectra of validation templates, as its card was; the card's numbers stand beside."""
    from engine.mock import Simulator
    from engine.train import validation_metrics

    ensemble = chosen_ensemble(survey, model, device)
    card = ensemble.card.get("validation", {})
    simulator = Simulator(ensemble.survey, templates, "validation", flat_share=0.0)
    _, found = validation_metrics(ensemble, simulator, n or card.get("n", 2600), card.get("seed", 0))
    keys = ("n", "accuracy", "type_accuracy", "good_fraction", "mae")
    rows = []
    for name, facts in found["classes"].items():
        told = card.get("classes", {}).get(name, {})
        rows.append((name, *(f"{facts[key]:g} ({told.get(key, '-')})" if key in facts else "" for key in keys)))
    rows.append(("mean", str(found["n"]), f"{found['accuracy']:g} ({card.get('accuracy', '-')})", "", "", ""))
    print_table(("class", *keys), rows, f"{ensemble.name} on mock spectra; the card's numbers in brackets")
