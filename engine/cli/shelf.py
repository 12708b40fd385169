"""Commands that list what there is, and say which model serves a survey: networks, models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.cli.terminal import SurveyOption, app, print_table, say, screen

if TYPE_CHECKING:
    from engine.card import Section

models = typer.Typer(help="The models: which there are, their cards, and which one serves each survey.")
app.add_typer(models, name="models")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Model by name; see `gasnet models`.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]


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
    print_table(("network", "parameters", "multiply-adds", "input grid"), rows)


@models.callback(invoke_without_command=True)
def listing(context: typer.Context) -> None:
    """List the models: which one is current for its survey, where they come from, and what is wrong with any."""
    if context.invoked_subcommand:
        return
    from engine.versions import versions

    rows = []
    for v in versions():
        place = "shipped" if v.shipped else "own" if v.folder else ""
        what = (v.network, str(v.members), f"{v.size / 1e6:.1f} MB") if v.folder else ("", "", "")
        note = v.problem if v.folder or v.problem else "no model yet"
        rows.append((v.survey, v.name, "current" if v.current else "", *what, place, note))
    print_table(("survey", "model", "serves", "network", "members", "size", "from", "note"), rows)


@models.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="Model, survey, or folder of a run.")]) -> None:
    """Print a model's card: what it is, data, split, numbers, calibration, limits, checksums, licence."""
    from engine.card import card_sections, missing
    from engine.registry import find_model, read_card
    from engine.survey import load_survey, survey_names
    from engine.versions import current_folder

    folder = current_folder(load_survey(name)) if name in survey_names() else find_model(name)
    card = read_card(folder)
    console = screen()
    console.print(Text(card["model"], style="bold"), Text(str(folder), style="dim"))
    for section in card_sections(card):
        console.print(_rendered(section))
    lacks = missing(card)
    if lacks:
        console.print(Text(f"The card is incomplete. It lacks: {', '.join(lacks)}", style="red"))


def _rendered(section: Section) -> Group:
    parts: list[Padding] = [Padding(Text(line), (0, 0, 0, 2)) for line in section.words]
    if section.facts:
        facts = Table.grid(padding=(0, 2))
        facts.add_column(style="dim")
        for what, value in section.facts:
            facts.add_row(what, value)
        parts.append(Padding(facts, (0, 0, 0, 2)))
    if section.rows:
        table = Table(*section.head, box=None, header_style="dim")
        for row in section.rows:
            table.add_row(*row)
        parts.append(Padding(table, (0, 0, 0, 1)))
    return Group(Text(""), Text(section.title, style="bold"), *parts)


@models.command()
def add(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished training run.")],
    name: Annotated[str | None, typer.Option("--name", help="Name; default: SURVEY-NETWORK-vN, the next N.")] = None,
) -> None:
    """Copy a finished run to your own models ($GASNET_HOME). It serves its survey once it is promoted."""
    from engine.versions import add as copy

    name = copy(run, name)
    say(f"added {name}; compare it, then make it the current one: gasnet models promote {name} --reason ...")


@models.command()
def promote(name: NameArgument, reason: ReasonOption) -> None:
    """Make a model the current one of its survey, once it was compared with the one that is (gasnet compare)."""
    from engine.jobs import promote as change

    done = change(name, reason)
    say(f"{done.survey}: {done.after} serves from now on, instead of {done.before}")


@models.command()
def rollback(
    survey: Annotated[str, typer.Argument(metavar="SURVEY", help="Survey whose last promotion to undo.")],
    reason: ReasonOption,
) -> None:
    """Undo the last promotion of a survey."""
    from engine.jobs import roll_back as change

    done = change(survey, reason)
    say(f"{done.survey}: {done.after} serves again, instead of {done.before}")


@models.command()
def history() -> None:
    """List every promotion and rollback: when, who, from which model to which, why."""
    from engine.versions import history as changes

    rows = [(c.when, c.who, c.action, c.survey, c.before, c.after, c.reason) for c in changes()]
    print_table(("when", "who", "what", "survey", "from", "to", "reason"), rows)
