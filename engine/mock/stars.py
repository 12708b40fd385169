"""Stars labelled as the SDSS pipeline labels them: by the best of its own 40 templates times a cubic polynomial."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engine.mock.templates import REST, Float32Array, FloatArray, load, split_of, to_rest_grid
from engine.prediction import C_KMS

SDSS_TYPES = ("A0", "F5", "F9", "G2", "K1", "K3", "K5")
LSF_KMS = 65.0  # SDSS line spread function, sigma, at the middle of the spectrum
# Neighbours of the seven types: stars a survey meets that the paper leaves out. They carry the label of the best of
# the seven, so that they are at least called stars. M dwarfs, white dwarfs and carbon stars stay unknown.
NEIGHBOURS = ("A0p", "B6", "B9", "F2", "G0", "G5", "K7")
NEIGHBOUR_SHARE = 0.15
COLOUR_SCATTER = 0.2  # of ln (blue / red flux) among stars of one type
HOT_SCATTER = 0.35  # among A0, which the cubic gives to all stars of 7500-11000 K that hardly show but hydrogen
OBSERVED_WEIGHT = 6.0  # of real stars against archetypes, of which there are ten times as many
GRAIN = 0.012  # relative scatter at 7500-8200 A above which an observed star is noise


class Stars:
    """A pool of real and theoretical stars at rest, each with its SDSS type."""

    def __init__(self, folder: Path, split: str) -> None:
        theory, observed = _theoretical(folder), _observed(folder)
        flux = np.concatenate([theory, observed])
        kept = split_of(len(flux), split)
        self.flux = flux[kept]
        best, seven = sdss_type(folder, self.flux)
        self.pure = [np.flatnonzero(best == name) for name in SDSS_TYPES]
        near = np.isin(best, NEIGHBOURS)
        self.near = [np.flatnonzero(near & (seven == name)) for name in SDSS_TYPES]
        reality = np.repeat([1.0, OBSERVED_WEIGHT], [len(theory), len(observed)])[kept]
        self.weight = reality * colour_weight(folder, self.flux, seven)

    def draw(self, type_index: NDArray[np.int64], rng: np.random.Generator) -> tuple[Float32Array, FloatArray]:
        """Rest-frame spectra (B, REST.n) of the given types and radial velocities as z (B,).

        Scarce types are multiplied by mixing two stars of the same type.
        """
        first, second = np.empty(len(type_index), int), np.empty(len(type_index), int)
        for t in np.unique(type_index):
            here = np.flatnonzero(type_index == t)
            pools = np.where(rng.random(here.size) < NEIGHBOUR_SHARE, 1, 0)
            for number, pool in enumerate((self.pure[t], self.near[t] if self.near[t].size else self.pure[t])):
                chosen = here[pools == number]
                weight = self.weight[pool] / self.weight[pool].sum()
                first[chosen] = rng.choice(pool, chosen.size, p=weight)
                second[chosen] = rng.choice(pool, chosen.size, p=weight)
        share = rng.random((len(type_index), 1), dtype=np.float32) ** 2
        flux = self.flux[first] * (1 - share) + self.flux[second] * share
        return flux.astype(np.float32), rng.normal(0, 120, len(type_index)) / C_KMS


def sdss_type(folder: Path, flux: Float32Array) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """For each spectrum on the rest grid: the best of all 40 SDSS star templates, and the best of the seven.

    Least squares of template x cubic polynomial over 3850-9100 A (Bolton et al. 2012, section 3.2).
    """
    templates = load(folder, "idlspec2d/spEigenStar-53724.npz")
    names = templates["names"].astype(str)
    basis = to_rest_grid(templates["wave"].astype(float), templates["flux"])
    window = (REST.wave > 3850) & (REST.wave < 9100)
    x = np.linspace(-1, 1, window.sum())
    cubic = np.stack([x**k for k in range(4)], axis=1)
    target = flux[:, window].astype(np.float64)
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    explained = np.empty((len(names), len(flux)))
    for k, template in enumerate(basis):
        q, _ = np.linalg.qr(template[window, None] * cubic)
        explained[k] = ((target @ q) ** 2).sum(axis=1)
    seven = np.array([name in SDSS_TYPES for name in names])
    return names[explained.argmax(axis=0)], names[seven][explained[seven].argmax(axis=0)]


def _theoretical(folder: Path) -> Float32Array:
    """Redrock's archetypes, at the resolution of SDSS."""
    parts = []
    for letter in "BAFGK":
        star = load(folder, f"redrock-templates/star_{letter}.npz")
        basis = to_rest_grid(star["wave"].astype(float), star["basis"], LSF_KMS)
        parts.append(np.maximum(star["coeff"][::2] @ basis, 0))
    return _scaled(np.concatenate(parts))


def _observed(folder: Path) -> Float32Array:
    """Co-added BOSS stars (PyHammer) and the templates of both SDSS pipelines, without noisy ones."""
    parts = []
    for name, sharp in (
        ("PyHammer/templates.npz", False),
        ("idlspec2d/spEigenStar-55734.npz", True),  # mostly of higher resolution than SDSS's
        ("idlspec2d/spEigenStar-53724.npz", False),
    ):
        star = load(folder, name)
        parts.append(to_rest_grid(star["wave"].astype(float), star["flux"], LSF_KMS if sharp else 0.0))
    flux = _scaled(np.concatenate(parts))
    red = flux[:, (REST.wave > 7500) & (REST.wave < 8200)]
    grain = np.median(np.abs(red - gaussian_filter1d(red, 8.0, axis=1)), axis=1) * 1.48 / np.median(red, axis=1)
    return flux[np.isfinite(flux).all(axis=1) & (flux.min(axis=1) > -0.2) & (grain < GRAIN)]


def _scaled(flux: Float32Array) -> Float32Array:
    window = (REST.wave > 5000) & (REST.wave < 8000)
    return flux / np.median(flux[:, window], axis=1, keepdims=True)


def _colour(flux: Float32Array) -> FloatArray:
    """(n,) ln of the flux at 4400-4600 over that at 7200-7500 A."""
    blue, red = ((REST.wave > low) & (REST.wave < high) for low, high in ((4400, 4600), (7200, 7500)))
    ratio = np.median(flux[:, blue], axis=1) / np.maximum(np.median(flux[:, red], axis=1), 1e-3)
    return np.log(np.maximum(ratio, 1e-3)).astype(np.float64)


def colour_weight(folder: Path, flux: Float32Array, types: NDArray[np.str_]) -> FloatArray:
    """How often (n,) each spectrum on the rest grid is drawn, by how well its colour is that of SDSS's own template of
    its type: the cubic makes labels blind to colour, but stars whose colour does not fit their lines are rare."""
    templates = load(folder, "idlspec2d/spEigenStar-53724.npz")
    colour = _colour(to_rest_grid(templates["wave"].astype(float), templates["flux"]))
    of_type = dict(zip(templates["names"].astype(str), colour, strict=True))
    offset = _colour(flux) - np.array([of_type[name] for name in types])
    scatter = np.where(types == "A0", HOT_SCATTER, COLOUR_SCATTER)
    return np.asarray(0.05 + np.exp(-0.5 * (offset / scatter) ** 2))
