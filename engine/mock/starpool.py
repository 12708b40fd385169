"""Stars with physical parameters, for surveys whose stellar classes are populations rather than spectral types.

Ordinary stars are real ones (MILES with published Teff, log g, [Fe/H]; PyHammer's co-added BOSS stars by type and
[Fe/H]) and redrock's archetypes, each of which takes the parameters of the MILES star it resembles most. All are
brought to the resolution of MILES and SDSS, so that no population is told by the library it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from engine.mock.templates import REST, Float32Array, FloatArray, air_to_vacuum, load, split_of, to_rest_grid

LSF_KMS = 65.0  # sigma of MILES and SDSS
MILES_RED = 7330.0  # MILES ends at 7410 A in air; redder, the archetype that resembles the star most
WINDOW = slice(int((np.log10(4000) - 2.9) / 1e-4), int((np.log10(7250) - 2.9) / 1e-4), 3)  # where stars are compared
TYPE_TEFF = {"O": 33000, "B": 15000, "A": 8500, "F": 6600, "G": 5600, "K": 4600, "M": 3400, "L": 2200}
MAGELLANIC_BLUE = ("A1Iae", "A2Ia", "A3Iae", "A5Ia", "B0.5Iae", "B2Iaevar", "B3Ib/II", "B5Ib", "B8Ib", "A2II", "A5II")
CEPHEID_LIKE = ("F0Ib", "F5Ib", "F6Iab", "F8Ibvar", "F6II", "F0II", "G0Ib", "G3Ib", "G5Iab", "G9Ib")


@dataclass(frozen=True, eq=False)
class Stars:
    """N stars at rest: flux (N, REST.n), teff in K, logg, feh (N,)."""

    flux: Float32Array
    teff: FloatArray
    logg: FloatArray
    feh: FloatArray

    def where(self, chosen: NDArray) -> Stars:
        """Those of a mask or of indices."""
        return Stars(self.flux[chosen], self.teff[chosen], self.logg[chosen], self.feh[chosen])

    def __add__(self, other: Stars) -> Stars:
        return Stars(
            np.concatenate([self.flux, other.flux]), np.concatenate([self.teff, other.teff]),
            np.concatenate([self.logg, other.logg]), np.concatenate([self.feh, other.feh]),
        )  # fmt: skip


class StarPool:
    """Populations of stars by name; each holds the stars of one split only, in order of temperature."""

    def __init__(self, folder: Path, split: str, populations: tuple[str, ...]) -> None:
        ordinary = _ordinary(folder)
        self.populations: dict[str, Float32Array] = {}
        for name in populations:
            stars = POPULATIONS[name](folder, ordinary)
            # Too few to be split: they are trained on, and their population is tested on its other members.
            kept = stars.where(split_of(len(stars.teff), split)) if len(stars.teff) >= 10 else stars
            self.populations[name] = kept.flux[np.argsort(kept.teff, kind="stable")]

    def draw(self, name: str, n: int, rng: np.random.Generator) -> Float32Array:
        """(n, REST.n) stars of a population: each between two neighbours in temperature."""
        pool = self.populations[name]
        first = rng.integers(0, len(pool), n)
        second = np.clip(first + rng.integers(-2, 3, n), 0, len(pool) - 1)
        weight = rng.random((n, 1), dtype=np.float32) * 0.5
        return (1 - weight) * pool[first] + weight * pool[second]


def scaled(flux: Float32Array) -> Float32Array:
    """Spectra on the rest grid, divided by their medians between 5000 and 7000 A."""
    window = (REST.wave > 5000) & (REST.wave < 7000)
    return (flux / np.median(flux[:, window], axis=1, keepdims=True)).astype(np.float32)


def archetypes(folder: Path, letter: str, every: int) -> Stars:
    """Every n-th of redrock's archetypes of a type, never negative; temperature by type and colour, [Fe/H] unknown."""
    star = load(folder, f"redrock-templates/star_{letter}.npz")
    basis = to_rest_grid(star["wave"].astype(float), star["basis"], LSF_KMS)
    flux = scaled(np.maximum(star["coeff"][::every] @ basis, 1e-4).astype(np.float32))
    n = len(flux)
    blue = flux[:, _at(4200)] / flux[:, _at(6500)]  # hotter is bluer: an order to interpolate along
    return Stars(flux, TYPE_TEFF.get(letter, 15000) * blue.astype(float) ** 0.3, np.full(n, 4.5), np.full(n, np.nan))


def _ordinary(folder: Path) -> Stars:
    """MILES, PyHammer and the archetypes of F, G, K stars, all with parameters."""
    theory = archetypes(folder, "A", 12) + archetypes(folder, "F", 4) + archetypes(folder, "G", 3)
    theory = theory + archetypes(folder, "K", 4) + archetypes(folder, "M", 24)
    miles = _miles(folder, theory)
    nearest = _resemblance(theory.flux, miles.flux).argmax(axis=1)
    theory = Stars(theory.flux, miles.teff[nearest], miles.logg[nearest], miles.feh[nearest])
    return miles + theory + _pyhammer(folder)


def _miles(folder: Path, theory: Stars) -> Stars:
    library, table = load(folder, "mangadap/miles_stars.npz"), load(folder, "mangadap/miles_params.npz")
    row = {str(name)[:4]: k for k, name in enumerate(library["names"])}
    known = np.array([str(i) in row for i in table["miles_id"]])
    flux = library["flux"][[row[str(i)] for i in table["miles_id"][known]]].astype(float)
    covered = (flux != 0).mean(axis=0) > 0.5
    rest = scaled(to_rest_grid(air_to_vacuum(library["wave"][covered].astype(float)), flux[:, covered]))
    like = theory.flux[_resemblance(rest, theory.flux).argmax(axis=1)]
    stars = Stars(_spliced(rest, like, MILES_RED), *(table[k][known].astype(float) for k in ("teff", "logg", "feh")))
    return stars.where(np.isfinite(stars.teff + stars.logg + stars.feh) & (rest[:, WINDOW].min(axis=1) > 0))


def _spliced(flux: Float32Array, red: Float32Array, at: float) -> Float32Array:
    """flux up to a wavelength, `red` scaled to meet it beyond."""
    k = _at(at)
    meet = np.median(flux[:, k - 120 : k], axis=1) / np.median(red[:, k - 120 : k], axis=1)
    out = flux.copy()
    out[:, k:] = red[:, k:] * meet[:, None]
    return out


def _resemblance(flux: Float32Array, other: Float32Array) -> FloatArray:
    """(N, M) correlation of spectra, half by lines (continuum removed), half by colour."""

    def features(spectra: Float32Array) -> FloatArray:
        logs = np.log(np.maximum(spectra[:, WINDOW], 1e-3))
        smooth = gaussian_filter1d(logs, 60, axis=1, mode="nearest")
        lines, colour = logs - smooth, smooth - smooth.mean(axis=1, keepdims=True)
        return np.concatenate([lines, 0.5 * colour], axis=1)

    a, b = features(flux), features(other)
    return np.asarray(2 * a @ b.T - (a**2).sum(axis=1)[:, None] - (b**2).sum(axis=1)[None])


def _pyhammer(folder: Path) -> Stars:
    library = load(folder, "PyHammer/templates.npz")
    names = [str(name) for name in library["names"]]
    flux = scaled(to_rest_grid(library["wave"].astype(float), library["flux"]))
    teff = np.array([TYPE_TEFF[name[0]] - 90.0 * int(name[1]) for name in names])
    feh = np.array([float(name.split("_")[1]) if "_" in name else 0.0 for name in names])
    logg = np.array([2.5 if "Giant" in name else 4.5 for name in names])
    stars = Stars(flux, teff, logg, feh)
    return stars.where(np.isfinite(flux).all(axis=1) & np.array([n[0] in "AFGKM" for n in names]))


def _named(folder: Path, wanted: tuple[str, ...], teff: float) -> Stars:
    """Stars of the BOSS pipeline's 123 templates by the beginning of their names."""
    library = load(folder, "idlspec2d/spEigenStar-55734.npz")
    rows = [k for k, name in enumerate(library["names"]) if str(name).split(" ")[0].rstrip(".:") in wanted]
    flux = scaled(to_rest_grid(library["wave"].astype(float), library["flux"][rows]))
    blue = np.maximum(flux[:, _at(4200)] / flux[:, _at(6500)], 0.1).astype(float)
    n = len(rows)
    return Stars(flux, teff * blue**0.3, np.full(n, 1.0), np.full(n, 0.0))


def _at(wave: float) -> int:
    return round((math.log10(wave) - REST.loglam_min) / REST.step)


def _halo(folder: Path, ordinary: Stars) -> Stars:
    return ordinary.where(ordinary.feh < -1.0)


def _disc(folder: Path, ordinary: Stars) -> Stars:
    return ordinary.where((ordinary.feh > -0.8) & (ordinary.logg > 1.5) & (ordinary.teff < 9000))


def _magellanic(folder: Path, ordinary: Stars) -> Stars:
    giants = ordinary.where((ordinary.logg < 2.3) & (ordinary.feh > -1.5) & (ordinary.feh < -0.25))
    return giants + _named(folder, MAGELLANIC_BLUE, 12000)


def _cepheid(folder: Path, ordinary: Stars) -> Stars:
    bright = ordinary.where(
        (ordinary.teff > 4800) & (ordinary.teff < 7000) & (ordinary.logg < 2.0) & (ordinary.feh > -0.7)
    )
    return bright + _named(folder, CEPHEID_LIKE, 6000)


def _da(folder: Path, ordinary: Stars) -> Stars:
    """Hydrogen white dwarfs: Koester's grid, TLUSTY's, redrock's archetypes."""
    grid, hot = load(folder, "Koester_DA/da_grid.npz"), load(folder, "redmonster/wd_da_tlte.npz")
    koester = to_rest_grid(air_to_vacuum(grid["wave"].astype(float)), grid["flux"].astype(float), LSF_KMS)
    tlusty = to_rest_grid(hot["wave"].astype(float), hot["flux"].reshape(-1, hot["wave"].size), LSF_KMS)
    flux = scaled(np.concatenate([koester, tlusty]))
    teff = np.r_[grid["teff_logg"][:, 0].astype(float), np.repeat(np.linspace(20000, 65000, 19), 6)]
    models = Stars(flux, teff, np.full(len(teff), 8.0), np.zeros(len(teff)))
    return models + archetypes(folder, "WD", 40)


def _other_wd(folder: Path, ordinary: Stars) -> Stars:
    return _named(folder, ("CalciumWD", "Carbon", "WDcooler", "WDhotter", "WDmagnetic"), 9000)


# Population -> how its stars are chosen (simulation recipe, sections 2 and 3).
POPULATIONS: dict[str, Callable[[Path, Stars], Stars]] = {
    "halo": _halo,
    "disc": _disc,
    "magellanic": _magellanic,
    "cepheid": _cepheid,
    "white dwarf DA": _da,
    "white dwarf other": _other_wd,
    "fgk": lambda folder, ordinary: ordinary.where((ordinary.teff > 3900) & (ordinary.teff < 7500)),
    "hot": lambda folder, ordinary: archetypes(folder, "B", 6) + archetypes(folder, "A", 4),
    "m dwarf": lambda folder, ordinary: archetypes(folder, "M", 6),
}
