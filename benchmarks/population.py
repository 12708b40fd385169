"""Time from a brush to everything redrawn, at 200,000 objects: `python -m benchmarks.population [N]`."""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from astropy.table import Table

from engine import Population
from engine.population import as_population
from gasnet_app.population import PopulationView
from gasnet_app.state import Explorer
from gasnet_app.worker import Worker

CLASSES = np.array(["STAR_M", "GALAXY_STARFORMING", "GALAXY_PASSIVE", "QSO"])


def mock_table(n: int, seed: int = 0) -> Table:
    """A labelled catalogue of n invented objects: 3 % of the redshifts are far off, 4 % of the classes wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, n)
    z_true = np.where(true == 0, 0.0, np.where(true == 3, rng.gamma(4, 0.4, n), rng.gamma(3, 0.05, n)))
    zerr = np.where(true == 0, np.nan, 10 ** rng.normal(-3.6, 0.4, n))
    z = np.where(rng.random(n) < 0.03, rng.uniform(0, 4, n), z_true + rng.normal(0, np.nan_to_num(zerr)))
    answer = np.where(rng.random(n) < 0.04, rng.integers(0, 4, n), true)
    return Table({
        "path": np.char.add("night/", np.arange(n).astype(str)), "object_id": np.arange(n).astype(str),
        "class": CLASSES[answer], "z": z, "zerr": zerr, "snr": 10 ** rng.normal(0.9, 0.35, n),
        "zwarn": rng.integers(0, 2, n), "class_true": CLASSES[true], "z_true": z_true,
        "ra": rng.uniform(110, 260, n), "dec": rng.normal(25, 15, n),
    })  # fmt: skip


def brush_times(view: PopulationView, repeats: int = 7) -> dict[str, float]:
    """Median processor milliseconds from a brush in each plot to all plots and the table set anew."""
    times = {}
    for plot in view.plots:
        x, y = plot.figure.x_range, plot.figure.y_range
        box = (min(x.start, x.end), (x.start + x.end) / 2, *sorted((y.start or 0, y.end or 1)))
        taken = []
        for _ in range(repeats):
            view.boxes = {}
            start = time.process_time()
            view.brush(plot.name, (box[0], box[1], box[2], box[3]))
            taken.append(1000 * (time.process_time() - start))
        times[plot.name] = float(np.median(taken))
    return times


def main(n: int) -> None:
    """Print a table of times and the memory of the process."""
    table = mock_table(n)
    start = time.process_time()
    population: Population = as_population(table, "mock.fits")
    made = time.process_time() - start
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    explorer = Explorer(Worker())
    explorer.tab = "population"
    view = PopulationView(explorer)
    start = time.process_time()
    view.show(population)
    shown = time.process_time() - start
    print(f"{n} objects; process time: arrays {made:.2f} s, first drawing {shown:.2f} s")
    for name, ms in brush_times(view).items():
        print(f"  brush {name:10s} {ms:6.0f} ms")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory: {after / 1024:.0f} MB at most, {(after - before) / 1024:.0f} of them for the page")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
