"""The command that makes pages to hand on: report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.finding import DataOption, located
from engine.cli.terminal import DeviceOption, ModelOption, SurveyOption, app, chosen_ensemble, progress, say

if TYPE_CHECKING:
    from engine.ensemble import Ensemble
    from engine.spectrum import Spectrum


@app.command()
def report(
    objects: Annotated[list[str], typer.Argument(metavar="OBJECT...", help="Files, directories to walk, IDs.")],
    html: Annotated[bool, typer.Option("--html", help="As HTML pages: the only form there is.")] = True,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pages, named after the objects.")] = Path(),
    survey: SurveyOption = "sdss",
    model: ModelOption = "",
    device: DeviceOption = "auto",
    data_dir: DataOption = None,
) -> None:
    """Write a page for each spectrum that opens without a server or a network, with lines that follow a z slider.

    Prints the pages' paths. What cannot be read is said in a line each, with exit code 1; the others are written.
    """
    from engine.classify import find_files, read_file

    files = located(objects, data_dir, find_files)
    ensemble = chosen_ensemble(survey, model, device)
    out.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    failed = 0
    with progress("report") as advance:
        for done, (path, error) in enumerate(files, start=1):
            spectra, error = ([], error) if error else read_file(path, catalogue=True)
            errors = [error] if error else [_written(spectrum, ensemble, out, names) for spectrum in spectra]
            for words in filter(None, errors):
                failed += 1
                say(f"{path}: {words}")
            advance(done, len(files))
    raise typer.Exit(1 if failed else 0)


def _written(spectrum: Spectrum, ensemble: Ensemble, folder: Path, names: list[str]) -> str:
    """Write one page under a name that is not among `names`, and add it; the reason where there is no answer."""
    from engine.classify import refusal
    from engine.gradients import saliency
    from engine.templatefit import crosscheck
    from gasnet_app.object_page import file_name, write_page  # the screen, when a page is to be written

    (prediction,) = ensemble.predict([spectrum])
    if reason := refusal(prediction):
        return reason
    names.append(file_name(spectrum.object_id, names))
    path = folder / names[-1]
    found = saliency(ensemble, spectrum, prediction.best)
    write_page(path, spectrum, prediction, found, crosscheck(spectrum, prediction))
    typer.echo(path)
    return ""
