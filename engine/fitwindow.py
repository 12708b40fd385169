"""The linear fits of one hypothesis: what the template fit does at each step of redshift, and the arrays it needs.

A spectrum lies on pixels of constant log10 wave, those of the basis; for a first look, several of them in one.
Observed frame, vacuum, Angstrom; flux in the spectrum's own unit over `Gridded.unit`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from engine.basis import LYMAN_ALPHA, PHASES, Basis
from engine.grid import LogGrid, regrid
from engine.prediction import C_KMS
from engine.spectrum import Spectrum

FloatArray = NDArray[np.float64]

STEP = 1e-4  # dex: one pixel, 69 km/s
BLOCK = 2048  # pixels
MOST_COLUMNS = 32  # components of a basis, the polynomial, the flux
WIDENED = 3.0  # coefficients may scatter this much more than those of the mocks
TILT = 0.15  # prior scatter of the polynomial, relative to the flux
# Prior scatter of narrow lines, rest equivalent width in A: a galaxy has weak ones or strong ones. With the wide prior
# alone the noise of faint passive galaxies passes for lines.
LINE_EWS = (3.0, 60.0)
FOREST = 0.4  # scatter of the Lyman-alpha forest, relative to the flux around it
LAGS = 3  # neighbouring pixels whose noise may be correlated
OUTLYING = 4.0  # residuals beyond, in sigma, are cosmic rays and the like
LEAST_CORRELATION = 0.5


@dataclass(frozen=True, eq=False)
class Gridded:
    """A spectrum on the pixels of the basis.

    unit : the flux in which it is about 1; first, step : log10 wave of the first pixel, and of a pixel's width
    flux, ivar : (N,) in that unit; poly : (4, N) the polynomial; level : (N,) the flux around each pixel
    room : (MOST_COLUMNS, N) working room: fresh arrays of this size would cost page faults
    """

    spectrum: Spectrum
    unit: float
    first: float
    step: float
    flux: FloatArray
    ivar: FloatArray
    poly: FloatArray
    level: FloatArray
    room: FloatArray

    @classmethod
    def of(cls, spectrum: Spectrum) -> Gridded:
        """Put a spectrum on pixels of STEP."""
        good = spectrum.good & np.isfinite(spectrum.flux)
        ends = spectrum.wave[good][[0, -1]] if good.any() else spectrum.wave[[0, -1]]
        grid = LogGrid.covering((max(float(ends[0]), 1000.0), min(float(ends[1]), 30000.0)), STEP, 1)
        # Fluxes in erg/s/cm2/A would leave single precision when squared.
        unit = float(np.median(np.abs(spectrum.flux[good]))) if good.any() else 1.0
        unit = unit if unit > 0 else 1.0
        scaled = spectrum.with_(flux=spectrum.flux / unit, ivar=spectrum.ivar * unit**2, arms=())
        flux, ivar = (a.astype(np.float64) for a in regrid(scaled, grid))
        flux = np.where(ivar > 0, flux, 0.0)
        box = np.ones(51)
        count = np.convolve(ivar > 0, box, "same")
        level = np.abs(np.convolve(flux, box, "same")) / np.maximum(count, 1)
        scale = np.median(level[ivar > 0]) if (ivar > 0).any() else 1.0
        x = np.linspace(-1, 1, grid.n)
        poly = TILT * scale * np.stack([np.ones_like(x), x, 1.5 * x**2 - 0.5, 2.5 * x**3 - 1.5 * x])
        room = np.empty((MOST_COLUMNS, grid.n))
        return cls(spectrum, unit, grid.loglam_min, STEP, flux, ivar, poly, level, room)

    def coarse(self, width: int) -> Gridded:
        """The same, `width` pixels in one: averaged by inverse variance. The bins are those of log10 wave = 0."""
        skip = -round(self.first / self.step) % width
        n = (self.flux.size - skip) // width

        def bins(values: FloatArray) -> FloatArray:
            return values[..., skip : skip + n * width].reshape(*values.shape[:-1], n, width)

        ivar = bins(self.ivar).sum(axis=-1)
        flux = np.divide(bins(self.flux * self.ivar).sum(axis=-1), ivar, out=np.zeros(n), where=ivar > 0)
        first = self.first + (skip + 0.5 * (width - 1)) * self.step
        return Gridded(self.spectrum, self.unit, first, width * self.step, flux, ivar, bins(self.poly).mean(axis=-1),
                       bins(self.level).mean(axis=-1), self.room)  # fmt: skip


class Solved(NamedTuple):
    """The fit at one redshift: -2 ln evidence, chi2, coefficients (components, polynomial, lines)."""

    score: float
    chi2: float
    coefficients: FloatArray


class Window:
    """One hypothesis: scores of redshifts, which are counted in quarter pixels of log10(1 + z)."""

    def __init__(self, data: Gridded, basis: Basis, lowest: int, highest: int) -> None:
        self.data, self.basis = data, basis
        # The rest pixel of the first observed pixel at z = 0, in quarters; steps of z go to the blue from there.
        self.origin = round((data.first - basis.grid.loglam_min) / data.step) * PHASES
        low, high = -((self.origin - highest) // PHASES), basis.grid.n - 1 - (self.origin - lowest) // PHASES
        self.kept = slice(max(0, low), min(len(data.flux), high))
        self.flux = data.flux[self.kept]
        self.poly = data.poly[:, self.kept]
        ivar = data.ivar[self.kept]
        good = ivar > 0
        self.n_good = int(good.sum())
        self.weight, self.trust = _weights(ivar, basis.misfit * data.level[self.kept])
        self.squares = self.flux**2
        typical = np.sqrt(self.weight[good]) * data.level[self.kept][good]
        self.snr = max(float(np.median(typical)), 1e-3) if self.n_good else math.nan
        self.forest: FloatArray | None = None
        if basis.spectype == "QSO":
            self.forest, self.trust_forest = _weights(ivar, FOREST / math.sqrt(basis.bin) * data.level[self.kept])
            z = 10.0 ** (data.first + data.step * np.arange(len(data.flux)))[self.kept] / LYMAN_ALPHA - 1
            self.depth = np.maximum(0.751 * ((1 + np.maximum(z, 0)) / 4.5) ** 2.9 - 0.132, 0.0)  # Becker et al. (2013)
            # Near the quasar its own light has cleared the gas.
            away = C_KMS * data.step * math.log(10) * np.arange(len(self.depth))[::-1]
            self.cleared = 1 - 0.6 * np.exp(-away / 800.0)
        self.known: dict[int, Solved] = {}
        self.amplitude = 0.0

    def start(self, step: int) -> tuple[int, int]:
        """The rest pixel under the first observed one, and the phase."""
        return divmod(self.origin + self.kept.start * PHASES - step, PHASES)

    def columns(self, step: int) -> tuple[FloatArray, FloatArray, int]:
        """Components (K, N), weight (N,), and how many of the first pixels lie in the Lyman-alpha forest."""
        start, phase = self.start(step)
        parts = self.basis.phases[phase][:, start : start + self.flux.size]
        blue = self.blue(start) if self.forest is not None else 0
        if not blue or self.forest is None:
            return parts, self.weight, 0
        parts = parts.copy()
        # Mean transmission; the forest ends at the quasar.
        parts[:, :blue] *= np.exp(-self.depth[:blue] * self.cleared[self.cleared.size - blue :])
        return parts, np.r_[self.forest[:blue], self.weight[blue:]], blue

    def blue(self, start: int) -> int:
        """How many pixels lie blueward of Lyman alpha."""
        grid = self.basis.grid
        return int(np.clip((np.log10(LYMAN_ALPHA) - grid.loglam_min) / grid.step - start, 0, self.flux.size))

    def solve(self, step: int) -> Solved:
        """The fit at one redshift."""
        if step not in self.known:
            self.known[step] = self._solve(step)
        return self.known[step]

    def _solve(self, step: int) -> Solved:
        parts, weight, blue = self.columns(step)
        k, n = len(parts), len(parts) + len(self.poly)
        # Rows of one array: components, polynomial and flux, each times the weight.
        rows = self.data.room[: n + 1, : weight.size]
        np.multiply(parts, weight, out=rows[:k])
        np.multiply(self.poly, weight, out=rows[k:n])
        np.multiply(self.flux, weight, out=rows[n])
        # Blocks that stay in the processor's cache are twice as fast.
        products = rows[:, :BLOCK] @ parts[:, :BLOCK].T
        for i in range(BLOCK, weight.size, BLOCK):
            products += rows[:, i : i + BLOCK] @ parts[:, i : i + BLOCK].T
        tilted = rows[k:] @ self.poly.T
        lines = len(self.basis.lines[1][0])
        normal, right = np.zeros((n + lines, n + lines)), np.empty(n + lines)
        normal[:k, :k], normal[:k, k:n], normal[k:n, k:n] = products[:k], products[k:n].T, tilted[:-1]
        right[:k], right[k:n] = products[n], tilted[-1]
        if lines:
            across, right[n:], normal[n:, n:] = self._line_products(step, rows, weight)
            normal[:n, n:] = across.T
        if not self.amplitude:
            self.amplitude = max(abs(right[0]) / normal[0, 0], normal[0, 0] ** -0.5)
        squares = float(weight @ self.squares)
        trust = float(self.trust[-1] - self.trust[blue] + (self.trust_forest[blue] if blue else 0.0))
        fits = [
            self._evidence(normal, right, squares, trust, self.prior(k, n, n + lines, width))
            for width in (LINE_EWS if lines else LINE_EWS[:1])
        ]
        best = min(fits, key=lambda fit: fit.score)
        if len(fits) == 1:
            return best
        # Either is as likely: the mean of their evidences.
        worse = max(fits, key=lambda fit: fit.score)
        return best._replace(score=best.score - 2 * math.log(0.5 + 0.5 * math.exp(0.5 * (best.score - worse.score))))

    def _evidence(
        self, normal: FloatArray, right: FloatArray, squares: float, trust: float, prior: FloatArray
    ) -> Solved:
        """The fit by its normal equations (upper triangle) and one prior; squares : weighted sum of flux^2."""
        normal = normal.copy()
        normal.ravel()[:: len(prior) + 1] += prior
        # The transpose lies in memory as LAPACK wants it; it reads the triangle that is filled.
        factor, failed = dpotrf(normal.T, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError(f"{self.data.spectrum.object_id}: the template fit's normal matrix is singular")
        coefficients = dpotrs(factor, right, lower=1)[0]
        fitted = squares - float(coefficients @ right)
        occam = 2 * np.log(factor.diagonal()).sum() - np.log(prior).sum()
        chi2 = fitted - float((prior * coefficients**2).sum())
        return Solved(fitted + float(occam) - trust, chi2, coefficients)

    def _line_products(
        self, step: int, rows: FloatArray, weight: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weighted products of the lines with the components and the polynomial (L, n), with the flux (L,), with each
        other (L, L)."""
        start, phase = self.start(step)
        at = self.basis.lines[0]
        shapes, pairs = self.basis.sparse_lines[phase]
        inside = slice(*np.searchsorted(at, (start, start + weight.size)))
        seen = at[inside] - start
        under = np.zeros((len(rows), at.size))
        under[:, inside] = rows[:, seen]
        weights = np.zeros(at.size)
        weights[inside] = weight[seen]
        across = shapes @ under.T
        return across[:, :-1], across[:, -1], (pairs @ weights).reshape(len(across), -1)

    def prior(self, k: int, n: int, size: int, line_ew: float) -> FloatArray:
        """(size,) inverse variance of the coefficients: mean, components, polynomial, lines."""
        a = self.amplitude
        prior = np.empty(size)
        prior[0] = (100 * a) ** -2
        prior[1:k] = (WIDENED * a) ** -2
        prior[k:n] = 1.0
        prior[n:] = (line_ew * a) ** -2
        return prior

    def score(self, step: int) -> float:
        """-2 ln evidence at one redshift."""
        return self.solve(step).score

    def fitted(self, step: int, coefficients: FloatArray) -> FloatArray:
        """(N,) what coefficients add up to at a redshift, on the fitted pixels."""
        parts, _, _ = self.columns(step)
        k, n = len(parts), len(parts) + len(self.poly)
        flux = coefficients[:k] @ parts + coefficients[k:n] @ self.poly
        start, phase = self.start(step)
        at, shapes = self.basis.lines
        inside = slice(*np.searchsorted(at, (start, start + self.flux.size)))
        flux[at[inside] - start] += coefficients[n:] @ shapes[phase][:, inside]
        return np.asarray(flux)

    def correlation(self, step: int, apart: int) -> float:
        """How much the variance of the redshift exceeds that of independent noise: pixels' noise correlates as the
        residuals do, and counts as far as what moves with redshift is alike in neighbouring pixels."""
        solved = self.solve(step)
        root = np.sqrt(self.columns(step)[1])
        residual = (self.flux - self.fitted(step, solved.coefficients)) * root
        size = math.sqrt(float((residual**2).mean())) or 1.0
        residual = np.clip(residual, -OUTLYING * size, OUTLYING * size)
        slope = (self.fitted(step + apart, solved.coefficients) - self.fitted(step - apart, solved.coefficients)) * root

        def alike(values: FloatArray, lag: int) -> float:
            return float(values[lag:] @ values[:-lag]) / max(float(values @ values), 1e-30)

        excess = 2 * sum(alike(residual, lag) * alike(slope, lag) for lag in range(1, LAGS + 1))
        return max(LEAST_CORRELATION, 1 + excess)

    def model(self, step: int) -> FloatArray:
        """(n,) the fit on the pixels of the whole spectrum in its unit, NaN where nothing was fitted."""
        flux = self.fitted(step, self.solve(step).coefficients)
        loglam = self.data.first + self.data.step * np.arange(self.kept.start, self.kept.stop)
        return np.interp(np.log10(self.data.spectrum.wave), loglam, flux, left=np.nan, right=np.nan) * self.data.unit


def _weights(ivar: FloatArray, lacking: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N,) inverse variance with what the basis lacks (in sigma), and (N + 1,) the sum of ln of how much it fell:
    evidence compares hypotheses that trust the same pixels differently."""
    factor = 1 / (1 + ivar * lacking**2)
    return ivar * factor, np.r_[0.0, np.cumsum(np.log(factor))]
