"""The command that makes models: train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.terminal import DeviceOption, SurveyOption, TemplatesOption, app, progress, say


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; the same command goes on where it stopped.")],
    survey: SurveyOption = "sdss",
    network: Annotated[str, typer.Option("--network", help="Network to train; see `gasnet networks`.")] = "matched",
    members: Annotated[int, typer.Option("--members", min=1, help="Networks in the ensemble.")] = 5,
    spectra: Annotated[int | None, typer.Option(help="Mock spectra per member [default: 120000].")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes per member, instead of --spectra.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first member.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Members trained at a time; one per CPU core is fastest.")] = 1,
    name: Annotated[str | None, typer.Option(help="Name of the model in its card.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Model or run whose members the members start from; of any survey.")
    ] = None,
    rate_scale: Annotated[float, typer.Option(min=0.001, max=10, help="Factor on the learning rate.")] = 1.0,
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Train an ensemble on mock spectra. It may be stopped at any moment; the same command goes on."""
    from engine.train import TrainConfig
    from engine.train import train as run

    spectra = 120_000 if spectra is None and minutes is None else spectra
    config = TrainConfig(
        survey=survey, network=network, members=members, spectra=spectra, minutes=minutes, seed=seed, name=name,
        start_from=start_from, rate_scale=rate_scale, device=device, processes=processes,
        templates=str(templates) if templates else None,
    )  # fmt: skip
    with progress("train") as advance:
        done: dict[int, float] = {}

        def show(facts: dict[str, Any]) -> None:
            done[facts["member"]] = facts["done"]
            rate = f"member {facts['member'] + 1}/{members}, {facts['rate']:.0f} spectra/s, loss {facts['loss']:.3f}"
            advance(round(1000 * sum(done.values())), members * 1000, rate)

        folder = run(config, out, show)
    say(f"model in {folder}; try it: gasnet validate DIR --model {folder}")
