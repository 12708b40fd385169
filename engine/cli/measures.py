"""Commands that measure models: validate, evaluate, compare, experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.terminal import (
    DeviceOption,
    ModelOption,
    SurveyOption,
    TemplatesOption,
    app,
    chosen_ensemble,
    progress,
    say,
)

if TYPE_CHECKING:
    from engine.evaluate import Evaluation


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
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model name or folder; a survey means its own model.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="`mock`, or a folder of spectra whose truth is known.")],
    report: Annotated[Path | None, typer.Option("--report", help="Folder for index.html and evaluation.json.")] = None,
    group: Annotated[str, typer.Option("--group", help="Survey in the manifest [default: SDSS and BOSS].")] = "",
    n: Annotated[int, typer.Option("--n", min=26, help="mock: number of spectra.")] = 2600,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of mock spectra and of the bootstrap.")] = 0,
    split: Annotated[str, typer.Option("--split", help="mock: templates to use: train, validation or test.")] = "test",
    survey: Annotated[str, typer.Option("--survey", help="mock: survey to simulate [default: the model's].")] = "",
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Measure a model as the paper does, beside its card: tables, and with --report one page with every figure.

    DATA is `mock` (simulated with --templates, --n, --seed, --split), a folder that `gasnet validate` takes, or one
    that `gasnet simulate` wrote.
    """
    from engine.ensemble import load_ensemble
    from engine.evaluate import labelled, measure, mocks, of_group
    from engine.report import print_evaluation

    ensemble = load_ensemble(model, device)
    left_out: list[tuple[str, str]] = []
    if data == "mock":
        from engine.mock import Simulator
        from engine.survey import load_survey

        simulator = Simulator(load_survey(survey or ensemble.survey.name), templates, split, flat_share=0.0)
        items = mocks(simulator, n, seed, ensemble.survey)
        what = f"{n:,} mock spectra, {simulator.survey.title}, {split} templates, seed {seed}"
    else:
        items, n = of_group(labelled(Path(data), left_out), group, left_out), 0
        what = f"{group or 'labelled spectra'} in {Path(data).resolve().name}"
    with progress("evaluate") as advance:
        result = measure(ensemble, items, what, left_out, seed, lambda done: advance(done, max(n, done)))
    print_evaluation(result)
    if report:
        _write(result, report)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="Model name or folder; a survey: its current one.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Model name or folder, of the same survey.")],
    real: Annotated[
        Path | None, typer.Option("--real", help="Also on labelled spectra: a folder as `gasnet validate` takes.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=0, help="Mock spectra, always the same ones; 0: none.")] = 2600,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for comparison.json [default: AFTER's, unless it ships].")
    ] = None,
    changed: Annotated[int, typer.Option("--changed", min=0, help="List so many objects whose answer changed.")] = 20,
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Compare two models on the same spectra: every number before and after, differences with errors, changed answers.

    A * marks a difference of more than two of its errors (paired bootstrap).
    """
    from engine import evaluate
    from engine.report import print_comparison
    from engine.versions import own_folder

    out = out or own_folder(after)
    with progress("compare") as advance:
        found = evaluate.compare(before, after, templates, real, n, out, device, advance)
    print_comparison(found, changed)
    if out:
        say(f"all numbers in {out / 'comparison.json'}")


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="contamination, snr, train-size or coarse.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of runs and results; the same command goes on there.")],
    scale: Annotated[
        str, typer.Option("--scale", help="smoke, small or full: members, spectra, test spectra.")
    ] = "small",
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Ask one of the paper's questions again: what wrong labels, noise, few spectra or coarse classes do (Appendices
    A-C). It trains ensembles; runs that are in --out already are taken from there."""
    from engine.experiments import experiment as run
    from engine.report import print_outcome

    out.mkdir(parents=True, exist_ok=True)
    with progress(name) as advance:

        def show(facts: dict[str, Any]) -> None:
            advance(round(1000 * facts["done"]), 1000, f"member {facts['member'] + 1}, loss {facts['loss']:.3f}")

        found = run(name, out, scale, str(templates) if templates else None, device, show)
    print_outcome(found)
    say(f"all numbers in {out / f'{name}-{scale}.json'}")


def _write(result: Evaluation, folder: Path) -> None:
    """evaluation.json and the page: the one place where the command line knows the screen."""
    from engine.evaluate import document, write_json
    from gasnet_app.evaluation_page import write_page

    folder.mkdir(parents=True, exist_ok=True)
    made = document(result)
    write_json(made, folder / "evaluation.json")
    write_page(made, folder / "index.html")
    say(f"evaluation in {folder / 'index.html'}, its numbers in {folder / 'evaluation.json'}")
