"""How real the mocks are: `python -m benchmarks realism --templates DIR --real DIR`.

Each real SDSS or BOSS spectrum (engine.evaluate's pooled set) is paired with mocks of its type, redshift and SNR. Then
the noise (autocorrelation, tails), a cross-validated real-versus-mock discriminator, and line positions are printed.
The real spectra are looked at here only; nothing is made of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import median_filter, uniform_filter1d

import engine
from engine.evaluate.labels import POOLED, labelled, true_class
from engine.grid import LogGrid, regrid
from engine.mock import Simulator
from engine.prediction import C_KMS
from engine.survey import SPECTYPES

FloatArray = NDArray[np.float64]
GRID = LogGrid()  # SDSS's own pixels
BANDS = ((4100.0, 5000.0), (6500.0, 7500.0), (8200.0, 8900.0))
MODEL_PIXELS = 25  # width of the running median that stands for the spectrum's model
PER_REAL = 4  # mocks paired with each real spectrum
# Vacuum rest wavelengths (A) of lines, and the class in whose mocks they are looked for.
POSITIONS = {
    "[O III] 5008": (5008.24, "GALAXY_AGN"), "H alpha": (6564.61, "GALAXY_STARBURST"), "Ca K": (3934.78, "GALAXY"),
    "Ca K of F stars": (3934.78, "STAR_F5"), "H beta of A stars": (4862.69, "STAR_A0"),
    "H alpha of A stars": (6564.61, "STAR_A0"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """n spectra on GRID. flux, ivar (n, GRID.n); spectype, name (class, "" unknown), z, snr (measured) (n,)."""

    flux: FloatArray
    ivar: FloatArray
    spectype: NDArray[np.str_]
    name: NDArray[np.str_]
    z: FloatArray

    @property
    def snr(self) -> FloatArray:
        """(n,) median of flux / sigma over the good pixels of 4000-9000 A."""
        inside = (GRID.wave > 4000) & (GRID.wave < 9000)
        ratio = np.where(self.ivar > 0, self.flux * np.sqrt(self.ivar), np.nan)[:, inside]
        return np.asarray(np.nanmedian(ratio, axis=1))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Sample:
        """Some of the spectra."""
        return Sample(self.flux[rows], self.ivar[rows], self.spectype[rows], self.name[rows], self.z[rows])


def real_sample(folder: Path) -> Sample:
    """The pooled labelled SDSS and BOSS spectra of a folder (engine.evaluate). Raises SpectrumError."""
    items = [item for item in labelled(folder, []) if item.group == POOLED]
    arrays = [regrid(item.spectrum, GRID) for item in items]
    types = [item.label.spectype for item in items]
    return Sample(
        np.array([flux for flux, _ in arrays], dtype=float),
        np.array([ivar for _, ivar in arrays], dtype=float),
        np.array(types),
        np.array([true_class(item.label.spectype, item.label.subclass) for item in items]),
        np.array([item.label.z if kind != "STAR" else 0.0 for item, kind in zip(items, types, strict=True)]),
    )


def mock_sample(simulator: Simulator, n: int, seed: int) -> Sample:
    """n mocks, in batches of 512."""
    batches = [simulator.batch(min(512, n - start), [seed, start]) for start in range(0, n, 512)]
    label = np.concatenate([b.label for b in batches])
    types = np.array([c.spectype for c in simulator.survey.classes])
    return Sample(
        np.concatenate([b.flux for b in batches]),
        np.concatenate([b.ivar for b in batches]),
        types[label],
        np.array(simulator.survey.names)[label],
        np.concatenate([b.z for b in batches]),
    )


def paired(real: Sample, mock: Sample, k: int = PER_REAL) -> tuple[Sample, NDArray[np.int64]]:
    """Each real spectrum with the k nearest unused mocks of its type (and class, where known) in log(1 + z) and SNR,
    preferably of the same spectrograph (BOSS begins below 3700 A).

    Returns the mocks, and for each mock the row of its real spectrum.
    """
    real_snr, mock_snr = np.log(np.maximum(real.snr, 0.3)), np.log(np.maximum(mock.snr, 0.3))
    first, of_mocks = (GRID.wave[np.argmax(sample.ivar > 0, axis=1)] for sample in (real, mock))
    unused = np.ones(len(mock.z), dtype=bool)
    rows, owner = [], []
    for i in range(len(real.z)):
        distance = ((np.log1p(mock.z) - np.log1p(real.z[i])) / 0.08) ** 2 + ((mock_snr - real_snr[i]) / 0.15) ** 2
        distance += 4.0 * ((first[i] < 3700) != (of_mocks < 3700))
        distance[~unused | (mock.spectype != real.spectype[i])] = np.inf
        if real.name[i] in mock.name:
            distance[mock.name != real.name[i]] += 9.0
        nearest = np.argsort(distance)[:k]
        nearest = nearest[np.isfinite(distance[nearest])]
        unused[nearest] = False
        rows += nearest.tolist()
        owner += [i] * len(nearest)
    return mock.take(np.array(rows, dtype=int)), np.array(owner, dtype=int)


def residuals(sample: Sample) -> FloatArray:
    """(n, GRID.n) (flux - running median) / sigma; NaN where bad or not covered."""
    out = np.full(sample.flux.shape, np.nan)
    pixel = np.arange(GRID.n)
    for k, (flux, ivar) in enumerate(zip(sample.flux, sample.ivar, strict=True)):
        good = ivar > 0
        filled = np.interp(pixel, pixel[good], flux[good])
        model = uniform_filter1d(median_filter(filled, MODEL_PIXELS, mode="nearest"), 5)
        out[k, good] = ((flux - model) * np.sqrt(ivar))[good]
    return out


def one_angstrom(sample: Sample, wave: FloatArray) -> Sample:
    """The spectra interpolated linearly to other wavelengths, as the paper does (1 A). A neighbour of a bad pixel is
    bad, so that every pixel is made of two good ones."""
    position = np.interp(wave, GRID.wave, np.arange(GRID.n))
    low = np.minimum(position.astype(int), GRID.n - 2)
    fraction = position - low
    flux = sample.flux[:, low] * (1 - fraction) + sample.flux[:, low + 1] * fraction
    ivar = sample.ivar[:, low] * (1 - fraction) + sample.ivar[:, low + 1] * fraction
    ivar = np.where((sample.ivar[:, low] > 0) & (sample.ivar[:, low + 1] > 0), ivar, 0)
    return Sample(flux, ivar, sample.spectype, sample.name, sample.z)


def autocorrelation(residual: FloatArray, lag: int) -> float:
    """Correlation of pixels `lag` apart, outliers beyond 4 sigma left out."""
    clipped = np.where(np.abs(residual) < 4, residual, np.nan)
    product = clipped[:, lag:] * clipped[:, :-lag]
    return float(np.nanmean(product) / np.nanvar(clipped))


def noise_numbers(sample: Sample) -> dict[str, float]:
    """Autocorrelation and tails of the residuals, on native pixels and on 1 A."""
    native = residuals(sample)
    inside = (GRID.wave > 4000) & (GRID.wave < 9000)
    spread = 1.4826 * np.nanmedian(np.abs(native[:, inside]))
    size = np.abs(native[:, inside])
    size = size[np.isfinite(size)]
    numbers = {"robust sigma": float(spread), "> 3 sigma (%)": 100 * float((size > 3).mean()),
               "> 5 sigma (%)": 100 * float((size > 5).mean()), "bad pixels (%)":
               100 * float((sample.ivar[:, inside] == 0).mean())}  # fmt: skip
    numbers |= {f"native lag {lag}": autocorrelation(native[:, inside], lag) for lag in (1, 2)}
    for low, high in BANDS:
        wave = np.arange(low, high)
        position = np.interp(wave, GRID.wave, np.arange(GRID.n))
        at = np.minimum(position.astype(int), GRID.n - 2)
        f = position - at
        # The model is taken on native pixels, so that the same wavelengths are smoothed on both grids.
        sigma = np.where(sample.ivar > 0, 1 / np.sqrt(np.maximum(sample.ivar, 1e-30)), np.nan)
        excess = native * sigma
        flux = excess[:, at] * (1 - f) + excess[:, at + 1] * f
        ivar = sigma[:, at] ** -2 * (1 - f) + sigma[:, at + 1] ** -2 * f
        for lag in (1, 2):
            numbers[f"1 A lag {lag}, {low:.0f}-{high:.0f}"] = autocorrelation(flux * np.sqrt(ivar), lag)
    return numbers


def residual_features(sample: Sample) -> dict[str, FloatArray]:
    """What tells noise from noise, per object: scatter, correlation and tails of the residuals in the bands."""
    residual = residuals(sample)
    features: dict[str, FloatArray] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for name, here in _bands():
            part = residual[:, here]
            clipped = np.where(np.abs(part) < 4, part, np.nan)
            spread = np.nanvar(clipped, axis=1)
            features[f"sigma {name}"] = np.log(1.4826 * np.nanmedian(np.abs(part), axis=1))
            for lag in (1, 2, 4):
                product = np.nanmean(clipped[:, lag:] * clipped[:, :-lag], axis=1)
                features[f"lag {lag} {name}"] = product / spread
            for limit in (3, 5):
                beyond = (np.abs(part) > limit).sum(axis=1) / np.maximum(np.isfinite(part).sum(axis=1), 1)
                features[f"> {limit} sigma {name}"] = np.sqrt(beyond)
    return {name: np.nan_to_num(value) for name, value in features.items()}


def error_features(sample: Sample) -> dict[str, FloatArray]:
    """What tells one pipeline's errors from another's, per object and band: bad pixels, level and roughness of ivar."""
    ivar = np.where(sample.ivar > 0, sample.ivar, np.nan)
    features: dict[str, FloatArray] = {}
    with np.errstate(invalid="ignore"):
        level = np.log(np.nanmedian(ivar, axis=1))
        for name, here in _bands():
            part = np.log(ivar[:, here])
            features[f"bad {name}"] = np.sqrt(np.isnan(part).mean(axis=1))
            features[f"ivar level {name}"] = _median(part) - level
            features[f"ivar roughness {name}"] = np.log(np.nanmean(np.abs(np.diff(part, axis=1)), axis=1) + 1e-3)
    return {name: np.nan_to_num(value) for name, value in features.items()}


def _bands() -> list[tuple[str, NDArray[np.bool_]]]:
    limits = (3900, 4400, 5000, 5800, 6100, 6800, 7500, 8200, 9000)
    return [(f"{low}-{high}", (GRID.wave > low) & (GRID.wave < high)) for low, high in pairwise(limits)]


def shape_features(sample: Sample, n: int = 40) -> dict[str, FloatArray]:
    """Broad shape: medians in n bins of 3850-9150 A over their mean, arcsinh, and the noise's shape likewise."""
    edges = np.geomspace(3850, 9150, n + 1)
    flux = np.where(sample.ivar > 0, sample.flux, np.nan)
    bins = [(GRID.wave >= low) & (GRID.wave < high) for low, high in pairwise(edges)]
    with np.errstate(invalid="ignore"):
        median = np.stack([_median(flux[:, here]) for here in bins], axis=1)
    median /= np.maximum(np.nanmean(np.abs(median), axis=1, keepdims=True), 1e-9)
    median = np.arcsinh(np.nan_to_num(median, nan=1.0))
    return {f"flux {edges[k]:.0f}": median[:, k] for k in range(n)}


def _median(values: FloatArray) -> FloatArray:
    empty = np.isnan(values).all(axis=1)
    return np.asarray(np.where(empty, np.nan, np.nanmedian(np.where(empty[:, None], 0.0, values), axis=1)))


def discriminate(real: FloatArray, mock: FloatArray, owner: NDArray[np.int64], folds: int = 5) -> FloatArray:
    """Cross-validated logit of being real of each real and mock spectrum, real ones first.

    Ridge logistic regression by Newton's method on standardised features and their squares; real and mock weigh the
    same; a real spectrum and its mocks are in the same fold.
    """
    x = np.concatenate([real, mock])
    truth = np.r_[np.ones(len(real)), np.zeros(len(mock))]
    fold = np.r_[np.arange(len(real)), owner] % folds
    logit = np.empty(len(x))
    for k in range(folds):
        train = fold != k
        centre, spread = x[train].mean(axis=0), x[train].std(axis=0) + 1e-9
        scaled = np.clip((x - centre) / spread, -4, 4)
        design = np.c_[np.ones(len(x)), scaled, (scaled**2 - 1) / 2]
        weight = np.where(truth == 1, 1.0, len(real) / len(mock))
        beta = _logistic(design[train], truth[train], weight[train])
        logit[~train] = design[~train] @ beta
    return logit


def _logistic(design: FloatArray, truth: FloatArray, weight: FloatArray, ridge: float = 5.0) -> FloatArray:
    beta = np.zeros(design.shape[1])
    penalty = np.full(len(beta), ridge)
    penalty[0] = 1e-6
    for _ in range(12):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -20, 20)))
        gradient = design.T @ (weight * (p - truth)) + penalty * beta
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        beta = beta - np.linalg.solve(curvature, gradient)
    return beta


FEATURES: Mapping[str, Callable[[Sample], dict[str, FloatArray]]] = {
    "residuals": residual_features,
    "errors": error_features,
    "shape": shape_features,
}


@dataclass(frozen=True)
class Verdict:
    """One discriminator in one group (a type, or a class of it): n real and n mock spectra, balanced accuracy and its
    error, and the features whose means differ most, in units of the mocks' scatter (of a type only)."""

    what: str
    group: str
    n_real: int
    n_mock: int
    accuracy: float
    error: float
    telling: tuple[tuple[str, float], ...] = ()


def verdicts(real: Sample, mock: Sample, owner: NDArray[np.int64]) -> list[Verdict]:
    """Each discriminator trained for each spectral type with ten real spectra, and judged for its classes too."""
    found = []
    for what, make in FEATURES.items():
        features, of_mocks = make(real), make(mock)
        names = list(features)
        a, b = (np.stack(list(values.values()), axis=1) for values in (features, of_mocks))
        for kind in SPECTYPES:
            mine = np.flatnonzero(real.spectype == kind)
            if len(mine) < 10:
                continue
            theirs = np.flatnonzero(np.isin(owner, mine))
            local = np.searchsorted(mine, owner[theirs])
            logit = discriminate(a[mine], b[theirs], local)
            difference = (a[mine].mean(axis=0) - b[theirs].mean(axis=0)) / (b[theirs].std(axis=0) + 1e-3)
            telling = tuple((names[k], float(difference[k])) for k in np.argsort(-np.abs(difference))[:3])
            for name in ("", *sorted(set(real.name[mine]) - {""})):
                chosen = (real.name[mine] == name) | (not name)
                hits, passes = logit[: len(mine)][chosen] > 0, logit[len(mine) :][chosen[local]] <= 0
                error = float(np.sqrt(hits.var() / len(hits) + passes.var() / len(passes)) / 2)
                accuracy = float(hits.mean() + passes.mean()) / 2
                group, words = (name, ()) if name else (f"all {kind}", telling)
                found.append(Verdict(what, group, len(hits), len(passes), accuracy, error, words))
    return found


def line_positions(mock: Sample) -> dict[str, tuple[float, int]]:
    """Rest-frame offset (A) of each of POSITIONS: centroid, within 600 km/s, of the median of the 200 brightest mocks'
    spectra over their surroundings, less the line's wavelength; and how many mocks that is."""
    found = {}
    for line, (wave, name) in POSITIONS.items():
        chosen = np.flatnonzero((mock.name == name) & (mock.z < 0.35))
        chosen = chosen[np.argsort(-mock.snr[chosen])[:200]]
        rest = wave * np.exp(np.linspace(-2000, 2000, 161) / C_KMS)
        stack = []
        for k in chosen:
            good = mock.ivar[k] > 0
            piece = np.interp(rest * (1 + mock.z[k]), GRID.wave[good], mock.flux[k, good])
            edges = np.interp(rest, rest[[0, -1]], [np.median(piece[:40]), np.median(piece[-40:])])
            stack.append(piece / edges - 1)
        profile = np.abs(np.median(stack, axis=0))
        core = np.abs(np.linspace(-2000, 2000, 161)) < 600
        weight = np.maximum(profile[core] - 0.3 * profile[core].max(), 0)
        found[line] = (float((weight * (rest[core] - wave)).sum() / weight.sum()), len(chosen))
    return found


def main(arguments: list[str]) -> None:
    """Print how real the mocks are: noise, discriminators, line positions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks realism", description=main.__doc__)
    parser.add_argument("--templates", help="folder of templates, default $GASNET_TEMPLATES")
    parser.add_argument("--real", type=Path, required=True, help="folder of labelled real spectra (manifest.csv)")
    parser.add_argument("--n", type=int, default=12288, help="mocks to choose the pairs from")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    real = real_sample(options.real)
    simulator = Simulator(engine.load_survey("sdss"), options.templates)
    everything = mock_sample(simulator, options.n, options.seed)
    mock, owner = paired(real, everything)
    console = Console(width=None if sys.stdout.isatty() else 120)
    noise = Table("residuals", "real", "mock", title=f"noise: {len(real.z)} real, {len(mock.z)} mock spectra")
    of_mocks = noise_numbers(mock)
    for name, value in noise_numbers(real).items():
        noise.add_row(name, f"{value:.3f}", f"{of_mocks[name]:.3f}")
    console.print(noise)
    table = Table("discriminator", "group", "n real", "n mock", "balanced accuracy", "most telling")
    for v in verdicts(real, mock, owner):
        words = ", ".join(f"{name} {difference:+.1f}" for name, difference in v.telling)
        table.add_row(v.what, v.group, str(v.n_real), str(v.n_mock), f"{v.accuracy:.3f} ± {v.error:.3f}", words)
    console.print(table)
    lines = Table("line", "offset (A)", "n", title="positions in the brightest mocks")
    for name, (offset, n) in line_positions(everything).items():
        lines.add_row(name, f"{offset:+.3f}", str(n))
    console.print(lines)
