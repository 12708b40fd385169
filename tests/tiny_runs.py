"""Training runs of seconds: a tiny network, forty labelled spectra in one file, no mock spectra."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from makers import galaxy

import engine
from engine.evaluate import Comparison, write_comparison
from engine.networks import build
from engine.plan import OwnData, TrainConfig
from engine.registry import card_base, read_card, save_member, sha256_of, write_card

TINY = {"features": 4, "filters": 4, "hidden": 8}
LONG = 100_000_000  # spectra: longer than any test waits


def labelled_set(path: Path, n: int = 40) -> Path:
    """A packed set of galaxies and quasars; what they look like does not matter."""
    rng = np.random.default_rng(5)
    wave, flux, ivar = galaxy()
    kinds = [("GALAXY", "STARFORMING", 0.1), ("QSO", "BROADLINE", 1.5), ("GALAXY", "", 0.3)]
    chosen = [kinds[i % 3] for i in range(n)]
    np.savez(
        path, wave=wave, flux=flux + rng.normal(0, 0.1, (n, wave.size)), ivar=np.tile(ivar, (n, 1)),
        cls=[k[0] for k in chosen], subclass=[k[1] for k in chosen], z=[k[2] for k in chosen],
        id=[f"object-{i}" for i in range(n)],
    )  # fmt: skip
    return path


def tiny_model(folder: Path, seed: int = 1, survey_name: str = "sdss") -> Path:
    """The folder of an untrained model with a card that lets it serve."""
    folder.mkdir(parents=True)
    survey = engine.load_survey(survey_name)
    torch.manual_seed(seed)
    network = build("matched", survey, TINY)
    file = folder / "member-0.safetensors"
    save_member(network, file)
    card = card_base(folder.name, survey, network, [seed]) | {
        "members": [{"file": file.name, "seed": seed, "sha256": sha256_of(file)}],
        "mae": dict.fromkeys(survey.names, 0.01), "data": "none", "split": "none", "training": {"spectra": 1},
        "validation": {"n": 1, "classes": {"QSO": {"n": 1, "accuracy": 0.5}}}, "date": "2026-11-26",
        "calibration": None, "limits": "untrained",
    }  # fmt: skip
    write_card(folder, card)
    return folder


def tiny_comparison(folder: Path) -> None:
    """A model's folder gets a comparison of its weights, in which nothing was compared."""
    weights = tuple(member["sha256"] for member in read_card(folder)["members"])
    write_comparison(Comparison("before", folder.name, "sdss", "2026-11-26T00:00:00Z", 0, (), weights), folder)


def tiny_config(folder: Path, **changes: Any) -> TrainConfig:
    """Settings of a run of one chunk; folder : where its data lie, or are made."""
    data, source = folder / "labelled.npz", folder / "source"
    if not data.is_file():
        labelled_set(data)
        tiny_model(source)
    plain = {"members": 1, "spectra": 512, "device": "cpu", "network_config": TINY, "start_from": str(source)}
    return TrainConfig(**(plain | {"own_data": OwnData(str(data)), "checkpoint_seconds": 1.0} | changes))


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """As config.json has them."""
    return asdict(config)
