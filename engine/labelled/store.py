"""A set of labelled spectra on a network's grid: written once into a run's folder, then read page by page.

flux.f32 and ivar.f32 are rows of float32 on the grid, objects.csv has a row per spectrum in their order, left_out.csv
what could not be used and why, set.json, written last, what it was made from. Without it there is no set.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.survey import Survey

SHARES = (("train", 0.70), ("validation", 0.15), ("test", 0.15))
SPLIT_RULE = "70/15/15 % for training, validation and tests, by the sha256 of the object id"
SHOWN = 3  # names given with each reason for leaving out


def split_of(object_id: str) -> str:
    """train, validation or test: where an object belongs, the same whenever and wherever it is asked."""
    position = int.from_bytes(hashlib.sha256(object_id.encode()).digest()[:8], "big") / 2**64
    for name, share in SHARES:
        if position < share:
            return name
        position -= share
    return SHARES[-1][0]


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """N labelled spectra. flux, ivar : (N, n) float32 on the network's grid, memory-mapped, ivar 0 at bad pixels;
    label : (N,) class index; z : (N,), 0 for stars; snr : (N,) median per native pixel; split : (N,) train, validation
    or test; name : (N,) object ids; facts : what it was made from; left_out : reason -> how many."""

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    label: NDArray[np.int64]
    z: NDArray[np.float64]
    snr: NDArray[np.float64]
    split: NDArray[np.str_]
    name: NDArray[np.str_]
    facts: Mapping[str, Any]
    left_out: Mapping[str, int]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of the spectra of a split."""
        return np.flatnonzero(self.split == split)

    def counts(self, survey: Survey, split: str) -> dict[str, int]:
        """How many spectra of each class a split holds."""
        n = np.bincount(self.label[self.rows(split)], minlength=len(survey.names))
        return {name: int(count) for name, count in zip(survey.names, n, strict=True)}


class Writer:
    """Writes a set row by row; it becomes one when `finish` has run. Raises OSError when the disk is full."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.objects = folder, [("name", "class_index", "z", "snr", "split")]
        self.left_out: dict[str, list[str]] = {}
        self._files = [(folder / f"{name}.f32").open("wb") for name in ("flux", "ivar")]

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in self._files:
            file.close()

    def add(
        self, name: str, split: str, label: tuple[int, float], snr: float, arrays: Sequence[NDArray[np.float32]]
    ) -> None:
        """One spectrum: (flux, ivar) on the grid."""
        for file, array in zip(self._files, arrays, strict=True):
            file.write(np.ascontiguousarray(array, dtype=np.float32).tobytes())
        self.objects.append((name, str(label[0]), repr(float(label[1])), repr(float(snr)), split_of(split)))

    def leave_out(self, name: str, reason: str) -> None:
        """One object that cannot be used. What follows ": " in the reason is the object's own."""
        reason, _, detail = reason.partition(": ")
        self.left_out.setdefault(reason, []).append(f"{name} ({detail})" if detail else name)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the tables, and last what makes the folder a set."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        _write_csv(self.folder / "objects.csv", self.objects)
        rows = [(reason, name) for reason, names in self.left_out.items() for name in names]
        _write_csv(self.folder / "left_out.csv", [("reason", "name"), *rows])
        part = self.folder / "set.json.part"
        part.write_text(json.dumps(dict(facts), indent=1) + "\n")
        os.replace(part, self.folder / "set.json")

    def words(self) -> list[str]:
        """What was left out: reason, count, the first names."""
        lines = []
        for reason, names in sorted(self.left_out.items()):
            more = ", ..." if len(names) > SHOWN else ""
            lines.append(f"left out, {reason}: {len(names)} ({', '.join(names[:SHOWN])}{more})")
        return lines


def open_set(folder: Path) -> LabelledSet:
    """The set in a folder. Raises OSError or ValueError when it is damaged."""
    facts = json.loads((folder / "set.json").read_text())
    _, *objects = _read_csv(folder / "objects.csv")
    name, label, z, snr, split = zip(*objects, strict=True)
    shape = (len(objects), int(facts["grid"]["n"]))
    flux, ivar = (np.memmap(folder / f"{part}.f32", np.float32, "r", shape=shape) for part in ("flux", "ivar"))
    left_out = Counter(reason for reason, _ in _read_csv(folder / "left_out.csv")[1:])
    return LabelledSet(
        flux, ivar, np.array(label, dtype=np.int64), np.array(z, dtype=np.float64),
        np.array(snr, dtype=np.float64), np.array(split), np.array(name), facts, dict(left_out),
    )  # fmt: skip


def _write_csv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))
