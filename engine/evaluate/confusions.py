"""Line confusions: a wrong redshift is mostly one line taken for another, and the ratio (1 + z') / (1 + z) tells which.

A line of rest wavelength a read as one of rest wavelength b turns z into z' with (1 + z') / (1 + z) = a / b, whatever
the object: H-alpha read as C III] gives 3.44.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.lines import load_lines

# Keys of assets/lines.csv: one strong line of each blend, as more would name chance ratios.
STRONG = ("Lya", "C_IV_1549", "C_III_1909", "Mg_II_2799", "O_II_3727", "Hb", "O_III_5008", "Ha")
TOLERANCE = 0.006  # in ln of the ratio: broad lines are off their rest wavelengths by 1000s of km/s
NEAR = 0.015  # in ln of the ratio: a redshift this near is inexact, not another solution
INEXACT, CHANCE = "no line: within 1.5 % of the truth", "no pair of strong lines"


@dataclass(frozen=True)
class Pair:
    """A line that was read as another one, in words, and the ratio (1 + z') / (1 + z) that follows."""

    words: str
    true: float  # rest wavelength, vacuum, Angstrom
    taken: float

    @property
    def ratio(self) -> float:
        """What (1 + z') / (1 + z) becomes."""
        return self.true / self.taken


@dataclass(frozen=True)
class Confusion:
    """Misses of one pair: its ratio (NaN for INEXACT and CHANCE), the median ratio found, and the objects."""

    words: str
    expected: float
    found: float
    objects: tuple[str, ...]

    @property
    def n(self) -> int:
        """How many misses."""
        return len(self.objects)


def pairs() -> tuple[Pair, ...]:
    """Every strong line read as every other."""
    strong = [line for line in load_lines() if line.key in STRONG]
    return tuple(
        Pair(f"{true.label} read as {taken.label}", true.wave, taken.wave)
        for true in strong
        for taken in strong
        if true.key != taken.key
    )


def mistaken(z: float, z_pred: float, wave_range: tuple[float, float]) -> Pair | None:
    """The pair of strong lines that turns z into z_pred, if the true one lies in wave_range (observed, A) at z."""
    ratio = (1 + z_pred) / (1 + z)
    if not ratio > 0:
        return None
    seen = [pair for pair in pairs() if wave_range[0] <= pair.true * (1 + z) <= wave_range[1]]
    near = [(abs(math.log(ratio / pair.ratio)), pair) for pair in seen]
    return min((n for n in near if n[0] < TOLERANCE), key=lambda n: n[0], default=(0.0, None))[1]


def confusions(misses: Sequence[tuple[str, float, float]], wave_range: tuple[float, float]) -> tuple[Confusion, ...]:
    """Misses (name, z, z_pred) sorted into pairs, the most frequent first; what fits no pair comes last."""
    found: dict[str, list[tuple[str, float]]] = {}
    expected: dict[str, float] = {}
    for name, z, z_pred in misses:
        pair, ratio = mistaken(z, z_pred, wave_range), (1 + z_pred) / (1 + z)
        words = pair.words if pair else INEXACT if abs(ratio - 1) < NEAR else CHANCE
        expected[words] = pair.ratio if pair else math.nan
        found.setdefault(words, []).append((name, ratio))
    made = [
        Confusion(words, expected[words], float(np.median([r for _, r in rows])), tuple(name for name, _ in rows))
        for words, rows in found.items()
    ]
    return tuple(sorted(made, key=lambda c: (math.isnan(c.expected), -c.n, c.words)))
