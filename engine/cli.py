"""The `gasnet` command. Each command is a thin face of one verb; what needs torch is imported when a command runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol

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


@app.command()
def classify(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, and directories to walk.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Catalogue: .ecsv, .csv, .fits or .parquet.")],
    survey: SurveyOption = "sdss",
    model: ModelOption = "",
    device: DeviceOption = "auto",
    batch_size: BatchOption = 128,
) -> None:
    """Classify spectra into a catalogue: one row per spectrum. A bad file gets a row too, and exit code 1."""
    from engine.catalogue import check_output, write_catalogue
    from engine.classify import check_separate, classify_files, find_files

    files = find_files(paths)
    check_separate(check_output(output), files)
    ensemble = _ensemble(survey, model, device)
    with _progress("classify") as advance:
        table = classify_files(files, ensemble, batch_size, advance)
    write_catalogue(table, output)
    bad = [row for row in table if row["error"]]
    for row in bad:
        _say(f"{row['path']}: {row['error']}")
    _say(f"{len(table) - len(bad)} spectra classified, {len(bad)} errors -> {output}")
    raise typer.Exit(1 if bad else 0)


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

    result = evaluate.validate(folder, _ensemble(survey, model, device))
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

    ensemble = _ensemble(survey, model, device)
    card = ensemble.card.get("validation", {})
    simulator = Simulator(ensemble.survey, templates, "validation", flat_share=0.0)
    _, found = validation_metrics(ensemble, simulator, n or card.get("n", 2600), card.get("seed", 0))
    keys = ("n", "accuracy", "type_accuracy", "good_fraction", "mae")
    rows = []
    for name, facts in found["classes"].items():
        told = card.get("classes", {}).get(name, {})
        rows.append((name, *(f"{facts[key]:g} ({told.get(key, '-')})" if key in facts else "" for key in keys)))
    rows.append(("mean", str(found["n"]), f"{found['accuracy']:g} ({card.get('accuracy', '-')})", "", "", ""))
    _print(("class", *keys), rows, f"{ensemble.name} on mock spectra; the card's numbers in brackets")


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; the same command goes on where it stopped.")],
    survey: SurveyOption = "sdss",
    network: Annotated[str, typer.Option("--network", help="Network to train; see `gasnet networks`.")] = "matched",
    members: Annotated[int, typer.Option("--members", min=1, help="Networks in the ensemble.")] = 5,
    spectra: Annotated[int | None, typer.Option(help="Mock spectra per member [default: 120000].")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes per member, instead of --spectra.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first member.")] = 0,
    name: Annotated[str | None, typer.Option(help="Name of the model in its card.")] = None,
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Train an ensemble on mock spectra. It may be stopped at any moment; the same command goes on."""
    from engine.train import TrainConfig
    from engine.train import train as run

    spectra = 120_000 if spectra is None and minutes is None else spectra
    config = TrainConfig(
        survey=survey, network=network, members=members, spectra=spectra, minutes=minutes, seed=seed, name=name,
        device=device, templates=str(templates) if templates else None,
    )  # fmt: skip
    with _progress("train") as advance:

        def show(facts: dict[str, Any]) -> None:
            rate = f"member {facts['member'] + 1}/{members}, {facts['rate']:.0f} spectra/s, loss {facts['loss']:.3f}"
            advance(facts["member"] * 1000 + round(1000 * facts["done"]), members * 1000, rate)

        folder = run(config, out, show)
    _say(f"model in {folder}; try it: gasnet validate DIR --model {folder}")


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the FITS files.")],
    n: Annotated[int, typer.Option("--n", min=1, max=9999, help="Number of spectra.")] = 100,
    survey: SurveyOption = "sdss",
    seed: Annotated[int, typer.Option(min=0, help="The same seed writes the same spectra.")] = 0,
    split: Annotated[str, typer.Option(help="Templates to use: train, validation or test.")] = "test",
    templates: TemplatesOption = None,
) -> None:
    """Write mock spectra as SDSS files, with the true class and redshift in their headers."""
    from engine.mock import Simulator
    from engine.mock.files import simulate as write
    from engine.survey import load_survey

    paths = write(Simulator(load_survey(survey), templates, split), n, seed, out)
    _say(f"{len(paths)} mock spectra in {out}")


@app.command()
def networks(survey: SurveyOption = "sdss") -> None:
    """List the networks: parameters and multiply-adds per spectrum of one ensemble member, and the input grid."""
    from engine.networks import NETWORKS, build
    from engine.networks.cost import multiply_adds, parameters
    from engine.survey import load_survey

    rows = []
    for name in NETWORKS:
        network = build(name, load_survey(survey))
        grid = network.grid
        span = f"{grid.n} px, {grid.kind}, {grid.wave[0]:.0f}-{grid.wave[-1]:.0f} A"
        rows.append((name, f"{parameters(network):,}", f"{multiply_adds(network) / 1e6:,.1f} M", span))
    _print(("network", "parameters", "multiply-adds", "input grid"), rows)


@app.command()
def models() -> None:
    """List the models: survey, network, members, size on disk, and which one serves its survey."""
    from engine.registry import model_names, models_dir, read_card
    from engine.survey import load_survey, survey_names

    serving = {load_survey(name).model for name in survey_names()}
    rows = []
    for name in model_names():
        card = read_card(models_dir() / name)
        size = sum(file.stat().st_size for file in (models_dir() / name).iterdir()) / 1e6
        mark = "yes" if name in serving else ""
        rows.append((name, card["survey"], card["network"], str(len(card["members"])), f"{size:.1f} MB", mark))
    _print(("model", "survey", "network", "members", "size", "serves its survey"), rows)


@app.command()
def serve(port: Annotated[int, typer.Option(help="Port on this machine.")] = 5006) -> None:
    """Open the app for browsers on this machine only: http://localhost:5006."""
    spec = importlib.util.find_spec("gasnet_app")
    if spec is None or not spec.submodule_search_locations:
        raise SurveyError("the package gasnet_app is not installed; run `pip install -e .` in the project folder")
    command = [sys.executable, "-m", "panel", "serve", spec.submodule_search_locations[0]]
    # A browser may come by either name of this machine; any other origin is refused.
    origins = [f"--allow-websocket-origin={host}:{port}" for host in ("localhost", "127.0.0.1")]
    raise typer.Exit(subprocess.call([*command, "--address", "127.0.0.1", "--port", str(port), *origins]))


def _ensemble(survey: str, model: str, device: str) -> Ensemble:
    from engine.ensemble import load_ensemble

    ensemble = load_ensemble(model or survey, device)
    if ensemble.survey.name != survey:
        raise SurveyError(f"model {ensemble.name} was trained for survey {ensemble.survey.name}; say --survey that")
    return ensemble


class _Advance(Protocol):
    def __call__(self, done: int, total: int, note: str = "") -> None: ...


@contextmanager
def _progress(what: str) -> Iterator[_Advance]:
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


def _print(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str | None = None) -> None:
    table = Screen(*head, title=title)
    for row in rows:
        table.add_row(*row)
    # A pipe has no width; a table cut to 80 columns would lose numbers.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _say(message: str) -> None:
    typer.echo(f"gasnet: {' '.join(message.split())}", err=True)


def _fail(message: str) -> NoReturn:
    _say(message)
    sys.exit(1)


def main() -> None:
    """Run the command line. Errors end in one line on stderr and exit code 1 (2 for wrong usage), never a traceback.

    GASNET_DEBUG=1 shows the traceback of an error nobody foresaw.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads leave the cores to others; read by torch
    try:
        app()
    except (ValueError, OSError) as error:  # SpectrumError, SurveyError, ModelError, CatalogueError are ValueErrors
        if os.environ.get("GASNET_DEBUG"):
            raise
        _fail(str(error))
    except Exception as error:
        if os.environ.get("GASNET_DEBUG"):
            raise
        _fail(f"internal error, {type(error).__name__}: {error}. GASNET_DEBUG=1 shows where; please report it")


if __name__ == "__main__":
    main()
