"""Commands that list what there is: networks, models."""

from __future__ import annotations

from engine.cli.terminal import SurveyOption, app, print_table


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
    print_table(("model", "survey", "network", "members", "size", "serves its survey"), rows)
