"""Which plots a population has: those its columns allow, in the order they are read."""

from __future__ import annotations

import numpy as np

from engine import Population
from gasnet_app.population.plots import Bars, Cloud, Confusion, Plot

WORDS = {
    "z-z": "z against catalogue z", "n(z)": "n(z)", "sigma": "SNR against uncertainty of z", "confusion": "Confusion",
    "classes": "Classes", "pit": "PIT of the true z", "sky": "Sky",
}  # fmt: skip


def plots_of(population: Population) -> list[Plot]:
    """The plots of a population, every object in each."""
    n = population.numbers
    with np.errstate(divide="ignore", invalid="ignore"):
        snr, zerr = (np.where(n[key] > 0, np.log10(n[key]), np.nan) for key in ("snr", "zerr"))
    plots: list[Plot] = []
    if np.isfinite(n["z_true"]).any():
        plots.append(Cloud("z-z", ("catalogue z", "z"), n["z_true"], n["z"], diagonal=True))
    plots.append(Bars("n(z)", "z", n["z"]))
    plots.append(Cloud("sigma", ("SNR", "σ of z"), snr, zerr, log="xy"))
    plots.append(_classes(population))
    if np.isfinite(pit := population.pit).any():
        plots.append(Bars("pit", "PIT", pit))
    if np.isfinite(n["ra"]).any():
        plots.append(Cloud("sky", ("right ascension, deg", "declination, deg"), n["ra"], n["dec"], flip=True))
    return plots


def _classes(population: Population) -> Plot:
    """Confusion of the classes, where labels of the same names exist; else how many there are of each."""
    true, answer = population.texts["class_true"], population.texts["class"]
    if (true != "").any() and not np.isin(true[true != ""], answer).any():
        answer = population.texts["spectype"]  # labels of coarser classes
    names = sorted((set(answer.tolist()) | set(true.tolist())) - {""})
    if not (true != "").any():
        return Bars("classes", "class", _codes(answer, names), [_short(name) for name in names])
    return Confusion(_codes(true, names), _codes(answer, names), [_short(name) for name in names])


def _codes(values: np.ndarray, names: list[str]) -> np.ndarray:
    """(N,) place of each value among sorted names; NaN for none."""
    return np.where(values != "", np.searchsorted(names, values), np.nan) if names else np.full(len(values), np.nan)


def _short(name: str) -> str:
    return name.removeprefix("GALAXY_").removeprefix("QSO_").removeprefix("STAR_").capitalize()
