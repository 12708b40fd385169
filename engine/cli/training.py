"""The command that makes models: train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.terminal import DeviceOption, TemplatesOption, app, progress, say

if TYPE_CHECKING:
    from engine.plan import TrainConfig


@app.command()
def train(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the run; the same command goes on [default: $GASNET_HOME/runs/NAME]."),
    ] = None,
    survey: Annotated[
        str, typer.Option("--survey", help="Survey to train for [default: that of --from, else sdss].")
    ] = "",
    network: Annotated[
        str, typer.Option("--network", help="See `gasnet networks` [default: that of --from, else matched].")
    ] = "",
    members: Annotated[int, typer.Option("--members", min=1, help="Networks in the ensemble.")] = 5,
    spectra: Annotated[
        Path | None, typer.Option(help="Folder of labelled spectra (with --catalog), or a packed file.")
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="Labels of the spectra: spAll-, zcatalog-like or plain; docs/own-data.md.")
    ] = None,
    mix: Annotated[float, typer.Option(min=0, max=0.99, help="Share of mock spectra among labelled ones.")] = 0.0,
    shift: Annotated[int, typer.Option(min=0, max=100, help="Labelled spectra move by up to so many pixels.")] = 8,
    budget: Annotated[int | None, typer.Option(help="Spectra each member learns from [default: 120000].")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes per member, instead of --budget.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first member.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Members trained at a time; one per CPU core is fastest.")] = 1,
    name: Annotated[str | None, typer.Option(help="Name of the model in its card.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Model, survey or run whose members the members start from.")
    ] = None,
    rate_scale: Annotated[float, typer.Option(min=0.001, max=10, help="Factor on the learning rate.")] = 1.0,
    install: Annotated[bool, typer.Option("--install", help="Add the model to your own when it is trained.")] = False,
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Train an ensemble on mock spectra, or on labelled ones. It may be stopped; the same command goes on."""
    from engine.jobs import runs_dir
    from engine.plan import OwnData, TrainConfig
    from engine.survey import load_survey, survey_names
    from engine.versions import add, current_model, next_name
    from engine.warmstart import settled

    if catalog and not spectra:
        raise ValueError("--catalog needs the folder of its spectra: --spectra DIR")
    if start_from in survey_names():
        start_from = current_model(load_survey(start_from))
    config = settled(TrainConfig(
        survey=survey, network=network, members=members, minutes=minutes, seed=seed, name=name,
        spectra=120_000 if budget is None and minutes is None else budget,
        own_data=OwnData(str(spectra), str(catalog) if catalog else None, mix, shift) if spectra else None,
        start_from=start_from, rate_scale=rate_scale, device=device, processes=processes,
        templates=str(templates) if templates else None,
    ))  # fmt: skip
    out = out or runs_dir() / (name or next_name(config.survey, config.network))
    model = _followed(config, out)
    say(f"model in {model}; try it: gasnet validate DIR --survey {config.survey} --model {model}")
    if install:
        added = add(model, name)
        say(f"added {added}; gasnet compare {config.survey} {added}, then gasnet models promote {added} --reason ...")
    else:
        say(f"keep it among your own: gasnet models add {model}")


def _followed(config: TrainConfig, out: Path) -> Path:
    """Train with a bar; returns the model's folder. Ends the command when the run was stopped."""
    from engine.jobs import run
    from engine.trainer import Stopped

    with progress("train") as advance:
        done: dict[int, float] = {}

        def show(facts: dict[str, Any]) -> None:
            k, members = facts["member"], config.members
            done[k] = facts["done"]
            rate = f"member {k + 1}/{members}, {facts['rate']:.0f} spectra/s, loss {facts['loss']:.3f}"
            advance(round(1000 * sum(done.values())), members * 1000, rate)

        try:
            return run(config, out, show, say)
        except Stopped:
            say(f"stopped; what was learned is in {out}, and the same command goes on")
            raise typer.Exit(130) from None
