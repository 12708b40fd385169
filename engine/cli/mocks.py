"""The command that makes mock spectra: simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import SurveyOption, TemplatesOption, app, print_table, say


@app.command()
def simulate(
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the FITS files.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Number of spectra.")] = 100,
    survey: SurveyOption = "sdss",
    seed: Annotated[int, typer.Option(min=0, help="The same seed writes the same bytes.")] = 0,
    split: Annotated[str, typer.Option(help="Templates to use: train, validation or test.")] = "test",
    summary: Annotated[
        bool, typer.Option("--summary", help="Print what is simulated beside the paper's tables, and write nothing.")
    ] = False,
    flat_share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Objects with rare redshifts [default: .4; 0 for --summary].")
    ] = None,
    templates: TemplatesOption = None,
) -> None:
    """Write mock spectra in their survey's file format, with the true class and redshift in their headers."""
    from engine.device import keep_freed_memory
    from engine.mock import FLAT_SHARE, SCENES, Simulator
    from engine.mock.summary import HEAD
    from engine.mock.summary import summary as summarise
    from engine.mock.templates import SPLITS
    from engine.survey import load_survey

    if split not in SPLITS:
        raise ValueError(f"--split {split!r} is none of {', '.join(SPLITS)}")
    if summary == (out is not None):
        raise ValueError("give either --out FOLDER, to write spectra, or --summary, to print what they would be")
    if out is not None and survey in SCENES:
        from engine.mock.files import check_number

        check_number(survey, n)
    keep_freed_memory()  # page faults would take most of the time
    share = (0.0 if summary else FLAT_SHARE) if flat_share is None else flat_share
    simulator = Simulator(load_survey(survey), templates, split, share)
    if out is None:
        rows = summarise(simulator, n, seed)
        print_table(HEAD, rows, f"{survey}, {split} templates, seed {seed}, {share:.0%} with rare redshifts")
        return
    from engine.mock.files import simulate as write

    paths = write(simulator, n, seed, out)
    say(f"{n} mock spectra in {len(paths)} files in {out}")
