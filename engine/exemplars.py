"""Exemplars: mock spectra as a model's members read them, kept beside it, for other objects to be compared with.

What is kept are the raw features of the class heads: the fingerprints that follow from them and from the outlier
statistics are made when the model is loaded, so that another calibration does not make the file stale. Other members
do; the file names those it was made with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from engine.dataset import on_grid
from engine.ensemble import Ensemble
from engine.fingerprint import Neighbour, fingerprints, neighbours
from engine.mock import MockBatch, Simulator
from engine.registry import EXEMPLARS, ModelError, find_model, written

PER_CLASS = 20
SEED = 424_243  # other mocks than those of training, validation and calibration


@dataclass(frozen=True, eq=False)
class Exemplars:
    """N mock spectra. fingerprint : (N, 128); label : (N,) class index; z : (N,), 0 for stars; snr : (N,) median."""

    fingerprint: NDArray[np.float32]
    label: NDArray[np.int64]
    z: NDArray[np.float64]
    snr: NDArray[np.float64]

    def nearest(self, mine: NDArray[np.float32], most: int = 5) -> tuple[Neighbour, ...]:
        """The exemplars that look most like a fingerprint (128,), nearest first; their keys are row numbers."""
        return neighbours(mine, {str(k): row for k, row in enumerate(self.fingerprint)}, most)


def write_exemplars(
    folder: str | Path, ensemble: Ensemble, simulator: Simulator, seed: int = 0, per_class: int = PER_CLASS
) -> Path:
    """Put mock spectra to the ensemble of a folder and keep what its members read of them there.

    per_class : spectra wanted of each class; label rules turn some into others. Raises ModelError on a full disk.
    """
    n = per_class * len(ensemble.survey.classes)
    batches = [simulator.batch(min(128, n - at), [seed, SEED, at]) for at in range(0, n, 128)]
    batch = MockBatch.joined(batches)
    sample = on_grid(batch, ensemble.grid, torch.device("cpu"))
    features = ensemble.outputs(sample.flux.numpy(), sample.ivar.numpy()).features
    arrays: dict[str, NDArray[Any]] = {
        "features": features.astype(np.float16),
        "label": batch.label,
        "z": batch.z,
        "snr": batch.snr,
    }
    path = Path(folder) / EXEMPLARS
    with written(path) as part:
        save_file(arrays, str(part), {"members": _members(ensemble.card)})
    return path


def load_exemplars(ensemble: Ensemble) -> Exemplars | None:
    """The exemplars beside a model; None where it has none.

    Raises ModelError naming the file when it is damaged or was made with other members.
    """
    try:
        path = find_model(ensemble.name) / EXEMPLARS
    except ModelError:  # loaded from a folder that no name leads to
        return None
    if "members" not in ensemble.card or not path.is_file():
        return None
    again = "run `gasnet calibrate` again"
    try:
        with safe_open(str(path), "numpy") as file:
            made_with = (file.metadata() or {}).get("members")
            features, label, z, snr = (file.get_tensor(name) for name in ("features", "label", "z", "snr"))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read: {error}; {again}") from error
    if made_with != _members(ensemble.card):
        raise ModelError(f"{path}: made with other members than the card's; {again}")
    whiten = None if ensemble.outliers is None else ensemble.outliers.whiten
    return Exemplars(fingerprints(features.astype(np.float32), whiten), label, z, snr)


def _members(card: Mapping[str, Any]) -> str:
    """A digest of the members' digests; empty for an ensemble that was never written."""
    digests = "".join(member["sha256"] for member in card.get("members", ()))
    return hashlib.sha256(digests.encode()).hexdigest() if digests else ""
