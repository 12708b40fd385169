"""The command that answers: classify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from engine.cli.finding import DataOption, located
from engine.cli.terminal import (
    BatchOption,
    DeviceOption,
    ModelOption,
    SurveyOption,
    app,
    chosen_ensemble,
    progress,
    say,
)

if TYPE_CHECKING:
    from engine.ensemble import Ensemble


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, directories to walk, IDs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Catalogue: .ecsv, .csv, .fits or .parquet.")],
    survey: SurveyOption = "sdss",
    model: ModelOption = "",
    device: DeviceOption = "auto",
    batch_size: BatchOption = 64,
    crosscheck: Annotated[
        bool, typer.Option("--crosscheck", help="Add redshifts of a template fit beside the networks' own.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes; 0: one per processor.")] = 0,
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="Address of a Dask scheduler, or here: OUTPUT is a dataset of parts.")
    ] = "",
    data_dir: DataOption = None,
) -> None:
    """Classify spectra into a catalogue: one row per spectrum. A bad file gets a row too, and exit code 1.

    An ID (751-52251-160, a specObjID, a TARGETID ...) may stand for a file; `gasnet fetch` says where it is looked for.
    """
    from engine.catalogue import check_output, write_catalogue
    from engine.classify import check_separate, classify_files, find_files
    from engine.processes import available

    files = located(paths, data_dir, find_files)
    if scheduler:
        ensemble = chosen_ensemble(survey, model, device)
        options = {"device": device, "batch_size": batch_size, "crosscheck": crosscheck}
        _classify_shards(files, output, ensemble, model or survey, scheduler, options)
    check_separate(check_output(output), files)
    ensemble = chosen_ensemble(survey, model, device)
    workers = workers or (available() if ensemble.device.type == "cpu" else 1)
    with progress("classify") as advance:
        table = classify_files(files, ensemble, batch_size, advance, crosscheck, workers)
    write_catalogue(table, output)
    bad = [row for row in table if row["error"]]
    for row in bad:
        say(f"{row['path']}: {row['error']}")
    say(f"{len(table) - len(bad)} spectra classified, {len(bad)} errors -> {output}")
    raise typer.Exit(1 if bad else 0)


def _classify_shards(
    files: list[tuple[str, str]], output: Path, ensemble: Ensemble, model: str, scheduler: str, options: dict[str, Any]
) -> NoReturn:
    """classify with --scheduler: a Parquet dataset that the same command goes on with, whatever interrupted it."""
    from engine.shards import check_dataset, classify_dataset, make_job, make_shards

    shards, job = make_shards(files), make_job(check_dataset(output), ensemble, model, **options)
    with progress("classify") as advance:
        outcome = classify_dataset(shards, job, scheduler, advance)
    for part, reason in outcome.failed.items():
        say(f"{part}: {reason}")
    again = f", {len(outcome.failed)} parts missing: say the same again" if outcome.failed else ""
    say(f"{outcome.rows - outcome.errors} spectra classified, {outcome.errors} errors{again} -> {output}")
    raise typer.Exit(1 if outcome.errors or outcome.failed else 0)
