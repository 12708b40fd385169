"""What a simulation makes, class by class, beside the numbers of the paper's tables."""

from __future__ import annotations

import numpy as np

from engine.mock import Simulator
from engine.survey import SurveyClass

HEAD = ("class", "n", "mean z (paper)", "z range (paper)", "mean SNR (paper)", "bad pixels")
CHUNK = 256


def summary(simulator: Simulator, n: int, seed: int) -> list[tuple[str, ...]]:
    """Rows of HEAD for n spectra: what was simulated, with the paper's numbers in brackets."""
    labels, redshifts, depths, bad = [], [], [], []
    for start in range(0, n, CHUNK):
        batch = simulator.batch(min(CHUNK, n - start), [seed, start])
        covered = (batch.flux != 0).sum(axis=1)
        labels.append(batch.label)
        redshifts.append(batch.z)
        depths.append(batch.snr)
        bad.append(((batch.ivar == 0) & (batch.flux != 0)).sum(axis=1) / covered)
    label, z, snr, share = (np.concatenate(part) for part in (labels, redshifts, depths, bad))
    return [_row(klass, z[label == i], snr[label == i], share[label == i])
            for i, klass in enumerate(simulator.survey.classes)]  # fmt: skip


def _row(klass: SurveyClass, z: np.ndarray, snr: np.ndarray, bad: np.ndarray) -> tuple[str, ...]:
    if not z.size:
        return (klass.name, "0", "", "", "", "")
    extragalactic = ("", "")
    if klass.z_range:
        low, high = klass.z_range
        extragalactic = (f"{z.mean():.3f} ({klass.mean_z or '-'})", f"{z.min():.3f}-{z.max():.2f} ({low:g}-{high:g})")
    return (klass.name, str(z.size), *extragalactic, f"{snr.mean():.2f} ({klass.mean_snr or '-'})", f"{bad.mean():.3f}")
