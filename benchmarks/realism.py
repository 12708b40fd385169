"""How real the mocks are: `python -m benchmarks realism --templates DIR --real DIR`.

Each real SDSS or BOSS spectrum (engine.evaluate's pooled set) is paired with mocks like it (benchmarks/pairs.py). Then
noise (autocorrelation, tails), real-versus-mock discriminators (benchmarks/discriminator.py) and line positions are
printed. The real spectra are looked at here only; nothing is made of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import engine
from benchmarks.discriminator import verdicts
from benchmarks.pairs import GRID, FloatArray, Sample, mock_sample, paired, real_sample, residuals
from engine.mock import Simulator
from engine.prediction import C_KMS

BANDS = ((4100.0, 5000.0), (6500.0, 7500.0), (8200.0, 8900.0))
# Vacuum rest wavelengths (A) of lines, and the class in whose mocks they are looked for.
POSITIONS = {
    "[O III] 5008": (5008.24, "GALAXY_AGN"), "H alpha": (6564.61, "GALAXY_STARBURST"), "Ca K": (3934.78, "GALAXY"),
    "Ca K of F stars": (3934.78, "STAR_F5"), "H beta of A stars": (4862.69, "STAR_A0"),
    "H alpha of A stars": (6564.61, "STAR_A0"),
}  # fmt: skip


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
