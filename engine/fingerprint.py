"""Fingerprints: what the members' class heads read of a spectrum, short enough to keep for every object of a session.

A fingerprint is DIMENSIONS random projections of all members' whitened features (Johnson & Lindenstrauss 1984), so that
distances between fingerprints are those between the features, within a tenth. Only fingerprints of one model compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

DIMENSIONS = 128
_SEED = 20240


@dataclass(frozen=True)
class Neighbour:
    """Another object and how far from the first it lies. distance : root mean square over features of the members,
    in units of what two spectra of one class usually lie apart."""

    key: str
    distance: float


def fingerprints(features: NDArray[np.float32], whiten: NDArray[np.float64] | None) -> Float32Array:
    """(B, DIMENSIONS) of features (M, B, F). whiten : (M, F, F) of the spread about the classes, None to take them raw.

    Scaled so that the distance of two fingerprints is 1 when the features lie as far apart as those of two spectra of
    one class.
    """
    white = features.astype(np.float64) if whiten is None else features @ whiten
    members, n, size = white.shape
    flat = white.transpose(1, 0, 2).reshape(n, members * size)
    return np.asarray(flat @ _projection(members * size) / np.sqrt(2.0 * members * size), dtype=np.float32)


def neighbours(mine: Float32Array, others: Mapping[str, Float32Array], most: int = 5) -> tuple[Neighbour, ...]:
    """The objects whose fingerprints lie nearest to mine (DIMENSIONS,), nearest first."""
    if not others:
        return ()
    distance = np.linalg.norm(np.stack(list(others.values())) - mine, axis=1)
    keys = list(others)
    return tuple(Neighbour(keys[k], float(distance[k])) for k in np.argsort(distance, kind="stable")[:most])


@lru_cache(maxsize=4)
def _projection(size: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(_SEED).standard_normal((size, DIMENSIONS))
    draw.setflags(write=False)
    return draw / np.sqrt(DIMENSIONS)
