"""python -m benchmarks [MODEL]: measure, print, and write benchmarks/results/<date>-<commit>.json.
python -m benchmarks realism --templates DIR --real DIR: how real the mocks are (benchmarks/realism.py).

Without a model folder, an untrained ensemble of 5 members is timed (its speed is the same) and the command line is not.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import engine
from benchmarks import browser, realism, server, speed
from engine.ensemble import Ensemble
from engine.survey import assets_dir

RESULTS = Path(__file__).resolve().parent / "results"
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


def main() -> None:
    """Run every benchmark, print a table with the aims, and keep the numbers."""
    survey = engine.load_survey("sdss")
    model = sys.argv[1] if len(sys.argv) > 1 else survey.model
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
    RESULTS.mkdir(exist_ok=True)
    out = RESULTS / f"{time.strftime('%Y-%m-%d')}-{report['commit']}.json"
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {out.relative_to(RESULTS.parents[1])}")


def machine() -> dict[str, Any]:
    """What was measured, on what."""
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "load average at the end": round(os.getloadavg()[0], 1),
    }


def show(report: dict[str, Any], numbers: dict[str, float], networks: dict[str, dict[str, float]]) -> None:
    """Print the numbers beside their aims."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    facts = ("model", "members", "commit", "cores", "threads", "device", "load average at the end")
    table = Table("measured", "value", "aim", title=", ".join(f"{key} {report[key]}" for key in facts))
    for name, value in numbers.items():
        table.add_row(name, f"{value:.3g}", f"< {AIMS[name]:g}" if name in AIMS else "")
    for name, costs in networks.items():
        for what, value in costs.items():
            table.add_row(f"{name}, one member: {what}", f"{value:,.0f}", "")
    console.print(table)


if __name__ == "__main__":
    realism.main(sys.argv[2:]) if sys.argv[1:2] == ["realism"] else main()
