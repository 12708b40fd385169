"""The command that answers: classify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    data_dir: DataOption = None,
) -> None:
    """Classify spectra into a catalogue: one row per spectrum. A bad file gets a row too, and exit code 1.

    An ID (751-52251-160, a specObjID, a TARGETID ...) may stand for a file; `gasnet fetch` says where it is looked for.
    """
    from engine.catalogue import check_output, write_catalogue
    from engine.classify import check_separate, classify_files, find_files
    from engine.processes import available

    files = located(paths, data_dir, find_files)
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
