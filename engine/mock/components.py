"""The shipped basis of the template fit: principal components of this project's own noise-free mock spectra.

Continua of galaxies come without emission lines, which the fit adds as templates of their own; quasars are cut into
ranges of redshift, as no spectrum shows all of their lines at once and those vary one by one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from engine.mock.galaxies import Galaxies
from engine.mock.quasars import Quasars
from engine.mock.starpool import archetypes
from engine.mock.stars import Stars
from engine.mock.templates import REST, Float32Array, find_templates, ingredients, load
from engine.registry import sha256_of, written

N_POOL = {"GALAXY": 500, "QSO": 2400}
COMPONENTS = {"GALAXY": 11, "QSO": 16, "STAR": 16}  # the mean among them
QSO_RANGES = ((0.0, 0.6), (0.6, 1.3), (1.3, 2.2), (2.2, 7.1))
# Least errors in km/s: what is left in pulls of bright mocks of the validation split (docs/log.md).
QSO_FLOORS = (10.0, 30.0, 40.0, 50.0)
OBSERVED = (3550.0, 10400.0)  # A
HOST_Z = 1.0  # quasars' hosts matter below


@dataclass(frozen=True)
class _Recipe:
    name: str
    spectype: str
    z_range: tuple[float, float]
    lines: bool
    floor_kms: float

    @property
    def seen(self) -> slice:
        """The rest pixels that some observed spectrum shows."""
        ends = OBSERVED[0] / (1 + self.z_range[1]), OBSERVED[1] / (1 + self.z_range[0])
        first, last = np.searchsorted(REST.wave, ends)
        return slice(int(first), int(last))


RECIPES = (
    _Recipe("GALAXY", "GALAXY", (0.0, 2.0), True, 0.3),
    *(_Recipe(f"QSO_{k}", "QSO", QSO_RANGES[k], QSO_RANGES[k][0] < 1.5, QSO_FLOORS[k]) for k in range(4)),
    _Recipe("STAR", "STAR", (-0.01, 0.01), False, 2.0),
)


class Rows:
    """Noise-free spectra at rest of each type, of one split of the templates."""

    def __init__(self, folder: Path, split: str) -> None:
        rng = np.random.default_rng(5)
        vdisp = load(folder, "sdss_distributions/gasnet2_z_snr_vdisp.npz")["GALAXY_nan_vdisp"].astype(float)
        pools = Galaxies(folder, split, vdisp, N_POOL["GALAXY"]).pools
        self.galaxies = np.concatenate(list(pools.values()))
        self.quasars = Quasars(folder, split, N_POOL["QSO"]).flux
        m_dwarfs = archetypes(folder, "M", 12).flux
        self.stars = np.concatenate([Stars(folder, split).flux, m_dwarfs])
        hosts = np.concatenate([pools["host"], pools["starforming"]])
        hosts = hosts[rng.integers(0, len(hosts), len(self.quasars))]
        share = rng.beta(1.1, 1.6, (len(hosts), 1)).astype(np.float32)
        level = self.quasars[:, _OPTICAL].mean(axis=1, keepdims=True) / hosts[:, _OPTICAL].mean(axis=1, keepdims=True)
        self.hosted = np.concatenate([self.quasars, self.quasars * (1 - share) + hosts * level * share])

    def of(self, recipe: _Recipe) -> Float32Array:
        """(m, REST.n) rows of a basis, of mean square 1 where they are seen."""
        if recipe.spectype == "QSO":
            rows = self.hosted if recipe.z_range[0] < HOST_Z else self.quasars
        else:
            rows = self.galaxies if recipe.spectype == "GALAXY" else self.stars
        rows = rows[np.isfinite(rows).all(axis=1)]
        return rows / np.sqrt((rows[:, recipe.seen] ** 2).mean(axis=1, keepdims=True))


_OPTICAL = slice(int(np.searchsorted(REST.wave, 4500)), int(np.searchsorted(REST.wave, 6500)))


def principal(rows: Float32Array, seen: slice, n: int) -> tuple[Float32Array, float]:
    """(n, REST.n) mean and principal components times the standard deviation of their scores, found where they are
    seen and held at its ends; and the share of the variance around the mean that they explain."""
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = (rows[:, seen] - mean[seen]).astype(np.float64)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    directions = vectors[:, : n - 1].T @ centred / np.sqrt(len(rows))
    # The largest excursion is positive: the sign of a component is nobody's choice but must be somebody's.
    directions *= np.sign(directions[np.arange(n - 1), np.abs(directions).argmax(axis=1)])[:, None]
    out = np.empty((n, REST.n))
    for row, values_seen in zip(out, [mean[seen], *directions], strict=True):
        row[:] = np.r_[[values_seen[0]] * seen.start, values_seen, [values_seen[-1]] * (REST.n - seen.stop)]
    return out.astype(np.float32), float(values[: n - 1].sum() / values.sum())


def misfit(rows: Float32Array, components: Float32Array, seen: slice) -> float:
    """Typical relative residual of rows outside the basis: what pixels lack when the noise is gone."""
    basis = components[:, seen].T.astype(np.float64)
    target = rows[:, seen].T.astype(np.float64)
    residual = target - basis @ np.linalg.lstsq(basis, target, rcond=None)[0]
    scale = np.maximum(np.abs(target), 0.2)
    return float(np.median(np.sqrt((residual**2).mean(axis=0) / (scale**2).mean(axis=0))))


def make_bases(out: Path, templates: str | Path | None = None) -> dict[str, Any]:
    """Write the basis file and its card into a folder, the same bytes each time; returns the card.

    Raises TemplateError when templates are missing or changed, ModelError when the folder cannot be written.
    """
    folder = find_templates(templates)
    train, validation = Rows(folder, "train"), Rows(folder, "validation")
    tensors: dict[str, Float32Array] = {}
    entries: list[dict[str, Any]] = []
    for recipe in RECIPES:
        rows = train.of(recipe)
        components, explained = principal(rows, recipe.seen, COMPONENTS[recipe.spectype])
        tensors[recipe.name] = components
        entries.append({
            "name": recipe.name, "spectype": recipe.spectype, "z_range": list(recipe.z_range), "lines": recipe.lines,
            "floor_kms": recipe.floor_kms,
            "components": len(components), "spectra": len(rows), "variance explained": round(explained, 5),
            "misfit": round(misfit(validation.of(recipe), components, recipe.seen), 5),
        })  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    file = out / "basis.safetensors"
    with written(file) as part:
        save_file(tensors, str(part))
    card = _card(file, entries)
    with written(out / "card.json") as part:
        part.write_text(json.dumps(card, indent=1) + "\n")
    return card


def _card(file: Path, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "what": "rest-frame components of galaxies, quasars and stars for the template fit (engine/templatefit.py)",
        "made by": "gasnet basis, from the project's own noise-free mock spectra, templates of the training split",
        "misfit": "median relative residual of mock spectra of the validation split outside the basis",
        "templates": {path: row["sha256"] for path, row in sorted(ingredients().items())},
        "file": file.name,
        "sha256": sha256_of(file),
        "grid": {"loglam_min": REST.loglam_min, "step": REST.step, "n": REST.n},
        "frame": "rest, vacuum",
        "bases": list(entries),
        "licence": "BSD-3-Clause",
    }
