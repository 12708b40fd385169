"""Commands that answer: classify, serve."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
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
from engine.survey import SurveyError


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, directories to walk, IDs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Catalogue: .ecsv, .csv, .fits or .parquet.")],
    survey: SurveyOption = "sdss",
    model: ModelOption = "",
    device: DeviceOption = "auto",
    batch_size: BatchOption = 128,
    crosscheck: Annotated[
        bool, typer.Option("--crosscheck", help="Add redshifts of a template fit beside the networks' own.")
    ] = False,
    data_dir: DataOption = None,
) -> None:
    """Classify spectra into a catalogue: one row per spectrum. A bad file gets a row too, and exit code 1.

    An ID (751-52251-160, a specObjID, a TARGETID ...) may stand for a file; `gasnet fetch` says where it is looked for.
    """
    from engine.catalogue import check_output, write_catalogue
    from engine.classify import check_separate, classify_files, find_files

    files = located(paths, data_dir, find_files)
    check_separate(check_output(output), files)
    ensemble = chosen_ensemble(survey, model, device)
    with progress("classify") as advance:
        table = classify_files(files, ensemble, batch_size, advance, crosscheck)
    write_catalogue(table, output)
    bad = [row for row in table if row["error"]]
    for row in bad:
        say(f"{row['path']}: {row['error']}")
    say(f"{len(table) - len(bad)} spectra classified, {len(bad)} errors -> {output}")
    raise typer.Exit(1 if bad else 0)


@app.command()
def serve(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5006, data_dir: DataOption = None) -> None:
    """Open the app for browsers on this machine only: http://localhost:5006."""
    spec = importlib.util.find_spec("gasnet_app")
    if spec is None or not spec.submodule_search_locations:
        raise SurveyError("the package gasnet_app is not installed; run `pip install -e .` in the project folder")
    command = [sys.executable, "-m", "panel", "serve", spec.submodule_search_locations[0]]
    # A browser may come by either name of this machine; any other origin is refused.
    origins = [f"--allow-websocket-origin={host}:{port}" for host in ("localhost", "127.0.0.1")]
    if data_dir is not None:
        os.environ["GASNET_DATA"] = str(data_dir.resolve())  # the server's process inherits it
    raise typer.Exit(subprocess.call([*command, "--address", "127.0.0.1", "--port", str(port), *origins]))
