"""How fast: one spectrum from file to saliency, a folder to a catalogue, each network by itself."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

import engine
from engine.catalogue import write_catalogue
from engine.classify import classify
from engine.ensemble import Ensemble
from engine.mock import Simulator
from engine.networks import NETWORKS, build
from engine.networks.cost import multiply_adds, parameters

Numbers = dict[str, float]


def seconds(work: Callable[[], object], repeat: int = 10) -> float:
    """Median time of some work, once it is warm."""
    work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def one_spectrum(ensemble: Ensemble, sample: Path) -> Numbers:
    """Seconds from a file on disk to each of the page's three answers, warm; class and p(z) come in one call."""

    def to_class() -> engine.Prediction:
        return ensemble.predict(engine.read(sample))[0]

    def to_peaks() -> None:
        prediction = to_class()
        for row in range(len(prediction.z_classes)):
            prediction.peaks(row)

    def to_saliency() -> None:
        (spectrum,) = engine.read(sample)
        engine.saliency(ensemble, spectrum, ensemble.predict([spectrum])[0].best)

    return {
        "file to class (s)": seconds(to_class),
        "file to p(z) and its peaks (s)": seconds(to_peaks),
        "file to saliency (s)": seconds(to_saliency),
    }


def throughput(ensemble: Ensemble, samples: list[Path], n: int = 200) -> Numbers:
    """Spectra per second from files on disk to a catalogue on disk, warm; and reading alone."""
    with tempfile.TemporaryDirectory() as folder:
        night = fill(Path(folder) / "night", samples, n)

        def work() -> None:
            write_catalogue(classify([night], ensemble), Path(folder) / "out.fits")

        reading = seconds(lambda: [engine.read(path, catalogue=False) for path in sorted(night.iterdir())], repeat=3)
        return {"classify (spectra/s)": n / seconds(work, repeat=3), "read only (spectra/s)": n / reading}


def fill(folder: Path, samples: list[Path], n: int) -> Path:
    """A folder of n files, copies of the samples."""
    folder.mkdir()
    for k in range(n):
        shutil.copy(samples[k % len(samples)], folder / f"{k:04d}.fits")
    return folder


def simulation(n: int = 2048) -> Numbers:
    """Mock spectra made per second, on one thread; needs the template folder of docs/simulation.md."""
    if not os.environ.get("GASNET_TEMPLATES"):
        print("GASNET_TEMPLATES is not set: the simulation is not timed")
        return {}
    simulator = Simulator(engine.load_survey("sdss"))
    return {"simulate (spectra/s)": 512 / seconds(lambda: simulator.batch(512, 0), repeat=n // 512)}


def network_speed(batch: int = 64) -> dict[str, Numbers]:
    """Cost and speed of one member of each network."""
    survey, found = engine.load_survey("sdss"), {}
    for name in NETWORKS:
        network = build(name, survey).eval()
        flux = torch.rand(batch, network.grid.n)

        def run(network: torch.nn.Module = network, flux: torch.Tensor = flux) -> None:
            with torch.inference_mode():
                network(flux, torch.ones_like(flux))

        found[name] = {
            "parameters": parameters(network),
            "multiply-adds (M)": multiply_adds(network) / 1e6,
            f"batch {batch} (spectra/s)": batch / seconds(run, repeat=3),
        }
    return found
