"""python -m benchmarks speed [MODEL]: what a user waits for; written to benchmarks/results/<date>-<commit>.json.

Without a model folder, an untrained ensemble of 5 members is timed (its speed is the same) and the command line is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

import engine
from benchmarks import browser, server, speed
from benchmarks.record import RESULTS, console, machine, write
from engine.ensemble import Ensemble
from engine.survey import assets_dir

AIMS = {
    "file to class (s)": 0.3,
    "file to p(z) and its peaks (s)": 0.3,
    "file to saliency (s)": 1.0,
    "cold start to first page (s)": 10.0,
    "dropped file to class (s)": 0.3,
    "dropped file to p(z) (s)": 0.3,
    "dropped file to saliency (s)": 1.0,
    "server peak memory in use (GB)": 1.5,
}


def main(arguments: Sequence[str]) -> None:
    """Run every benchmark, print a table with the aims, and keep the numbers."""
    survey = engine.load_survey("sdss")
    model = arguments[0] if arguments else survey.model
    trained = model in engine.model_names() or (Path(model) / "card.json").is_file()
    ensemble = engine.load_ensemble(model) if trained else Ensemble.untrained("matched", survey, 5)
    samples = sorted((assets_dir() / "spectra").glob("*.fits"))
    numbers: dict[str, Any] = {
        **speed.one_spectrum(ensemble, samples[0]),
        **speed.throughput(ensemble, samples),
        **(server.command_line(model, samples) if trained else {}),
        **server.cold_start(),
        **(browser.dropped_files(samples) if trained else {}),
        **speed.simulation(),
    }
    networks = speed.network_speed()
    report = {"model": ensemble.name, "members": len(ensemble.members), **machine(), **numbers, "networks": networks}
    show(report, numbers, networks)
    out = RESULTS / f"{time.strftime('%Y-%m-%d')}-{report['commit']}.json"
    write(out, report)
    print(f"written to {out.relative_to(RESULTS.parents[1])}")


def show(report: dict[str, Any], numbers: dict[str, float], networks: dict[str, dict[str, float]]) -> None:
    """Print the numbers beside their aims."""
    facts = ("model", "members", "commit", "cores", "threads", "device", "load average at the end")
    table = Table("measured", "value", "aim", title=", ".join(f"{key} {report[key]}" for key in facts))
    for name, value in numbers.items():
        table.add_row(name, f"{value:.3g}", f"< {AIMS[name]:g}" if name in AIMS else "")
    for name, costs in networks.items():
        for what, value in costs.items():
            table.add_row(f"{name}, one member: {what}", f"{value:,.0f}", "")
    console().print(table)
