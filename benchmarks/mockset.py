"""Fixed sets of mock spectra on disk: the same training, validation and test spectra for every network.

A set is a folder of arrays (flux.npy, ivar.npy, read where they lie) and facts.npz, which is written last: a set
without it is made anew. Spectra come from Simulator.batch, the one door, until every class has its number; those of a
class that is full already are left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.dataset import Sample, on_grid
from engine.grid import Grid, LinearGrid, LogGrid
from engine.mock import MockBatch, Simulator

CHUNK = 512
PATIENCE = 40  # chunks without a single spectrum that is still wanted
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MockSet:
    """N mock spectra on native pixels, in the order they were made, as MockBatch has them.

    flux, ivar : (N, n), memory maps; label, z, snr : (N,)
    """

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    label: IntArray
    z: NDArray[np.float64]
    snr: NDArray[np.float64]
    grid: Grid

    def rows(self, label: int, n: int) -> IntArray:
        """The first n spectra of a class."""
        return np.flatnonzero(self.label == label)[:n]

    def sample(self, rows: IntArray, grid: Grid) -> Sample:
        """Some spectra on a network's grid."""
        taken = {key: np.asarray(getattr(self, key)[rows]) for key in ("flux", "ivar", "label", "z", "snr")}
        return on_grid(MockBatch(**taken, grid=self.grid), grid, torch.device("cpu"))


def mock_set(folder: Path, simulator: Callable[[], Simulator], wanted: Sequence[int], seed: int) -> MockSet:
    """The set in a folder, made if it is not there: wanted[k] spectra of class k, reproducible from the seed.

    simulator : called only when there is something to make, as it takes time to prepare

    Raises ValueError naming a class that the simulation does not make.
    """
    if not (folder / "facts.npz").is_file():
        _make(folder, simulator(), np.asarray(wanted), seed)
    with np.load(folder / "facts.npz", allow_pickle=False) as facts:
        native = json.loads(str(facts["grid"]))
        label, z, snr = facts["label"], facts["z"], facts["snr"]
    grid = (LogGrid if native["kind"] == "log" else LinearGrid)(**native)
    flux, ivar = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("flux", "ivar"))
    return MockSet(flux, ivar, label, z, snr, grid)


def _make(folder: Path, simulator: Simulator, wanted: IntArray, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shape = (int(wanted.sum()), simulator.grid.n)
    pixels = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)
        for name in ("flux", "ivar")
    }
    facts: dict[str, list[NDArray]] = {"label": [], "z": [], "snr": []}
    left, done, chunk, in_vain = wanted.copy(), 0, 0, 0
    while left.any():
        batch = simulator.batch(CHUNK, [seed, chunk])
        # An object is taken while its class has room: the how-manieth of its class it is in this chunk.
        order = np.array([(batch.label[:k] == label).sum() for k, label in enumerate(batch.label)])
        rows = np.flatnonzero(order < left[batch.label])
        for name, array in pixels.items():
            array[done : done + rows.size] = getattr(batch, name)[rows]
        for name, values in facts.items():
            values.append(getattr(batch, name)[rows])
        left -= np.bincount(batch.label[rows], minlength=left.size)
        done, chunk, in_vain = done + rows.size, chunk + 1, 0 if rows.size else in_vain + 1
        if in_vain == PATIENCE:
            name = simulator.survey.names[int(left.argmax())]
            raise ValueError(f"the simulation makes no {name}: {left.max()} are still wanted after {chunk} chunks")
    for array in pixels.values():
        array.flush()
    arrays = {name: np.concatenate(values) for name, values in facts.items()}
    arrays["grid"] = np.array(json.dumps(asdict(simulator.grid)))
    part = folder / "part-facts.npz"
    np.savez(part, allow_pickle=False, **arrays)
    os.replace(part, folder / "facts.npz")
