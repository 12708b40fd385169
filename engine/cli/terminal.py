"""What the commands share: options, the chosen ensemble, progress, tables and messages."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer
from rich.console import Console
from rich.table import Table as Screen

from engine.survey import SurveyError

if TYPE_CHECKING:
    from engine.ensemble import Ensemble

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What every spectrum of a sky survey is, at what redshift, how sure, and why.",
)

SurveyOption = Annotated[str, typer.Option("--survey", help="Survey whose classes and model to use.")]
ModelOption = Annotated[str, typer.Option("--model", help="Model name or folder instead of the survey's own.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
TemplatesOption = Annotated[
    Path | None, typer.Option("--templates", envvar="GASNET_TEMPLATES", help="Folder of templates to simulate from.")
]
BatchOption = Annotated[int, typer.Option("--batch-size", min=1, help="Spectra per call of the networks.")]


def chosen_ensemble(survey: str, model: str, device: str) -> Ensemble:
    """The ensemble that --survey, --model and --device name."""
    from engine.ensemble import load_ensemble

    ensemble = load_ensemble(model or survey, device)
    if ensemble.survey.name != survey:
        raise SurveyError(f"model {ensemble.name} was trained for survey {ensemble.survey.name}; say --survey that")
    return ensemble


class Advance(Protocol):
    """How a verb tells how far it is."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A bar with remaining time on a terminal's stderr; nothing in a log file."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task(what, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note or f"{done}/{total}")

        yield advance


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str | None = None) -> None:
    """Print rows of text as a table on stdout."""
    table = Screen(*head, title=title)
    for row in rows:
        table.add_row(*row)
    screen().print(table)


def screen() -> Console:
    """The console of stdout. A pipe has no width; a table cut to 80 columns would lose numbers."""
    return Console(width=None if sys.stdout.isatty() else 200)


def say(message: str) -> None:
    """One line on stderr."""
    typer.echo(f"gasnet: {' '.join(message.split())}", err=True)
