"""The classical cross-check: chi2 of a rest-frame basis around the network's redshift and around its rivals.

Each hypothesis (type, z) is a narrow window of redshifts. At every step the spectrum is fitted by weighted linear
least squares with components of the type (engine/basis.py), narrow emission lines and a cubic polynomial; all
coefficients but that of the mean have Gaussian priors, those of the mocks, widened. The score is minus twice the
log of the evidence: chi2, plus what the priors say, plus Occam's factor (Bolton et al. 2012, section 3, without
the last two). Its minimum is the refined redshift, its curvature the formal error (score + 1).

The fit stands beside the network's answer and never replaces it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from engine.basis import LYMAN_ALPHA, PHASES, Basis, basis_for, load_bases
from engine.grid import LogGrid, regrid
from engine.prediction import Prediction
from engine.spectrum import Spectrum

FloatArray = NDArray[np.float64]

STEP = 1e-4  # dex: one pixel, 69 km/s
WINDOW_KMS = {"STAR": 900.0, "GALAXY": 550.0, "QSO": 2500.0}  # on either side
COARSE = {"STAR": 16, "GALAXY": 8, "QSO": 32}  # first steps through the window, in quarter pixels
FINE = {"STAR": 1, "GALAXY": 1, "QSO": 2}  # last steps
BLOCK = 2048  # pixels
MOST_COLUMNS = 24  # components of a basis
LEAST_PIXELS = 200  # good pixels that a fit needs
WIDENED = 3.0  # coefficients may scatter this much more than those of the mocks
LINE_EW, TILT = 60.0, 0.15  # prior scatter: rest equivalent width of narrow lines in A, polynomial relative to the flux
FOREST = 0.4  # scatter of the Lyman-alpha forest, relative to the flux around it
LEAST_WEIGHT = 0.01  # of a peak of p(z) that is fitted
CERTAIN = 16.0  # difference of scores, per reduced chi2, at which one redshift is preferred to another
POOR = 2.0  # reduced chi2 beyond which no model fits
C_KMS = 299792.458


@dataclass(frozen=True, eq=False)
class Fit:
    """The best fit of one hypothesis.

    spectype, z_start : the hypothesis; z, zerr : redshift of the best score and its formal error, NaN when the window
        holds no minimum; chi2, dof : with errors that count what the basis lacks; score : -2 ln evidence
    model : (n,) flux on the spectrum's own pixels, NaN beyond the fitted ones
    reason : why there is no redshift, in words; empty when there is one
    """

    spectype: str
    z_start: float
    z: float
    zerr: float
    chi2: float
    dof: int
    score: float
    model: FloatArray
    reason: str = ""

    @property
    def reduced(self) -> float:
        """chi2 / dof."""
        return self.chi2 / self.dof if self.dof > 0 else math.nan


@dataclass(frozen=True, eq=False)
class CrossCheck:
    """What the template fit says of a prediction: the fit at its (class, z), and its rivals, best score first.

    delta_chi2 : score of the best rival minus that of the fit; negative when the rival fits better, NaN without rivals
    """

    fit: Fit
    rivals: tuple[Fit, ...]
    delta_chi2: float
    verdict: str

    @property
    def agrees(self) -> bool:
        """True when the fit finds the prediction's redshift and no rival fits better."""
        return self.verdict.startswith("agrees")


def crosscheck(spectrum: Spectrum, prediction: Prediction, bases: Sequence[Basis] | None = None) -> CrossCheck:
    """Fit a spectrum at its prediction, at the next peaks of p(z), and as each other type.

    Too few pixels, or no basis for the type, give a fit of NaN with its reason. Raises ModelError when the shipped
    basis is missing or damaged.
    """
    found = tuple(bases) if bases is not None else load_bases()
    data = _Data.of(spectrum)
    fits = [_fit(data, found, kind, z) for kind, z in hypotheses(prediction)]
    best, rivals = fits[0], sorted((f for f in fits[1:] if math.isfinite(f.score)), key=lambda f: f.score)
    delta = rivals[0].score - best.score if rivals and math.isfinite(best.score) else math.nan
    return CrossCheck(best, tuple(rivals), delta, _verdict(best, rivals, delta))


def hypotheses(prediction: Prediction) -> list[tuple[str, float]]:
    """(type, z) of the prediction, of the next peaks of p(z) of its class, and of the best class of each other type."""
    survey = prediction.survey
    row = prediction.row(prediction.best)
    found = [(prediction.spectype, prediction.best_z)]
    if row is not None:
        peaks = [peak.z for peak in prediction.peaks(row) if peak.weight > LEAST_WEIGHT]
        if peaks:  # the mean of members that disagree is the redshift of none of them
            found = [(prediction.spectype, peaks[0])] + [(prediction.spectype, z) for z in peaks[1:]]
    for kind in ("STAR", "GALAXY", "QSO"):
        classes = [i for i, c in enumerate(survey.classes) if c.spectype == kind]
        if kind == prediction.spectype or not classes:
            continue
        other = prediction.row(max(classes, key=lambda i: prediction.p[i]))
        peak = prediction.peaks(other, most=1) if other is not None else ()
        found.append((kind, peak[0].z if peak else 0.0 if other is None else float(prediction.z[other])))
    return found


def _verdict(best: Fit, rivals: Sequence[Fit], delta: float) -> str:
    if best.reason:
        return f"no fit: {best.reason}"
    limit = CERTAIN * max(1.0, min([best.reduced, *(f.reduced for f in rivals[:1])]))
    if delta < -limit:
        rival = rivals[0]
        where = "a star" if rival.spectype == "STAR" else f"{rival.spectype} at z = {rival.z:.4f}"
        return f"prefers the rival {where}"
    if best.reduced > POOR:
        return f"poor fit: reduced chi2 {best.reduced:.1f}"
    return "agrees" if not delta < limit else "agrees, but a rival fits nearly as well"


@dataclass(frozen=True, eq=False)
class _Data:
    """A spectrum on the pixels of the basis: the original, the flux unit in which it is about 1, first pixel's log10
    wave; flux, ivar (N,) in that unit, the polynomial (4, N), the flux around each pixel (N,), working room."""

    spectrum: Spectrum
    unit: float
    first: float
    flux: FloatArray
    ivar: FloatArray
    poly: FloatArray
    level: FloatArray
    room: FloatArray

    @classmethod
    def of(cls, spectrum: Spectrum) -> _Data:
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
        return cls(spectrum, unit, grid.loglam_min, flux, ivar, poly, level, np.empty((MOST_COLUMNS, grid.n)))


class _Window:
    """One hypothesis: scores of redshifts, which are counted in quarter pixels of log10(1 + z)."""

    def __init__(self, data: _Data, basis: Basis, lowest: int, highest: int) -> None:
        self.data, self.basis = data, basis
        # The rest pixel of the first observed pixel at z = 0, in quarters; steps of z go to the blue from there.
        self.origin = round((data.first - basis.grid.loglam_min) / STEP) * PHASES
        low, high = -((self.origin - highest) // PHASES), basis.grid.n - 1 - (self.origin - lowest) // PHASES
        self.kept = slice(max(0, low), min(len(data.flux), high))
        self.flux = data.flux[self.kept]
        ivar = data.ivar[self.kept]
        misfit = (basis.misfit * data.level[self.kept]) ** 2
        self.weight = np.where(ivar > 0, ivar / (1 + ivar * misfit), 0.0)
        forest = (FOREST * data.level[self.kept]) ** 2
        self.forest = np.where(ivar > 0, ivar / (1 + ivar * forest), 0.0) if basis.spectype == "QSO" else None
        # ln of how much the errors grow: evidence compares hypotheses that trust the same pixels differently.
        trust = np.log(np.where(ivar > 0, self.weight, 1.0) / np.where(ivar > 0, ivar, 1.0))
        self.trust = np.r_[0.0, np.cumsum(trust)]
        if self.forest is not None:
            blue = np.log(np.where(ivar > 0, self.forest, 1.0) / np.where(ivar > 0, ivar, 1.0))
            self.trust_forest = np.r_[0.0, np.cumsum(blue)]
            z = 10.0 ** (data.first + STEP * np.arange(len(data.flux)))[self.kept] / LYMAN_ALPHA - 1
            depth = np.maximum(0.751 * ((1 + np.maximum(z, 0)) / 4.5) ** 2.9 - 0.132, 0.0)  # Becker et al. (2013)
            self.depth = depth
            # Near the quasar its own light has cleared the gas.
            away = C_KMS * STEP * math.log(10) * np.arange(len(depth))[::-1]
            self.cleared = 1 - 0.6 * np.exp(-away / 800.0)
        self.poly = data.poly[:, self.kept]
        self.tilted = self.poly * self.weight
        self.n_good = int((ivar > 0).sum())
        self.known: dict[int, tuple[float, float, FloatArray]] = {}
        self.amplitude = 0.0

    def columns(self, step: int) -> tuple[FloatArray, FloatArray, NDArray[np.int64], FloatArray]:
        """Components (K, N), weight (N,), and lines: observed pixels (U,), shapes (L, U)."""
        start, phase = divmod(self.origin + self.kept.start * PHASES - step, PHASES)
        parts = self.basis.phases[phase][:, start : start + self.flux.size]
        weight = self.weight
        if self.forest is not None:
            blue = self.blue(start)
            if blue:
                parts = parts.copy()
                parts[:, :blue] *= self.through(blue)
                weight = np.r_[self.forest[:blue], weight[blue:]]
        at, shapes = self.basis.lines
        inside = slice(*np.searchsorted(at, (start, start + self.flux.size)))
        return parts, weight, at[inside] - start, shapes[phase][:, inside]

    def through(self, blue: int) -> FloatArray:
        """(blue,) mean transmission of the Lyman-alpha forest in the first pixels, which end at the quasar."""
        return np.exp(-self.depth[:blue] * self.cleared[self.cleared.size - blue :])

    def blue(self, start: int) -> int:
        """How many pixels lie blueward of Lyman alpha."""
        grid = self.basis.grid
        return int(np.clip((np.log10(LYMAN_ALPHA) - grid.loglam_min) / grid.step - start, 0, self.flux.size))

    def solve(self, step: int) -> tuple[float, float, FloatArray]:
        """(score, chi2, coefficients) at one redshift."""
        if step in self.known:
            return self.known[step]
        parts, weight, at, shapes = self.columns(step)
        k, n = len(parts), len(parts) + len(self.poly)
        size = n + len(shapes)
        # Into room that is there already: fresh arrays of this size cost page faults.
        weighted = np.multiply(parts, weight, out=self.data.room[:k, : weight.size])
        tilted = self.tilted if weight is self.weight else self.poly * weight
        normal = np.empty((size, size))
        # Blocks that stay in the processor's cache are twice as fast.
        blocks = [slice(i, i + BLOCK) for i in range(0, weight.size, BLOCK)]
        normal[:k, :k] = sum(weighted[:, i] @ parts[:, i].T for i in blocks)
        normal[k:n, :k] = tilted @ parts.T
        normal[:k, k:n] = normal[k:n, :k].T
        normal[k:n, k:n] = tilted @ self.poly.T
        lines = shapes * weight[at]
        normal[n:, :k] = lines @ parts[:, at].T
        normal[n:, k:n] = lines @ self.poly[:, at].T
        normal[:n, n:] = normal[n:, :n].T
        normal[n:, n:] = lines @ shapes.T
        right = np.r_[weighted @ self.flux, tilted @ self.flux, lines @ self.flux[at]]
        if not self.amplitude:
            self.amplitude = max(abs(right[0]) / normal[0, 0], normal[0, 0] ** -0.5)
        prior = self.prior(k, n, size)
        normal[np.diag_indices(size)] += prior
        factor = cho_factor(normal, lower=True, check_finite=False, overwrite_a=True)
        coefficients = cho_solve(factor, right, check_finite=False)
        fitted = float(weight @ self.flux**2 - coefficients @ right)
        occam = 2 * np.log(np.diag(factor[0])).sum() - np.log(prior).sum()
        chi2 = fitted - float((prior * coefficients**2).sum())
        start = (self.origin + self.kept.start * PHASES - step) // PHASES
        blue = self.blue(start) if self.forest is not None else 0
        trust = self.trust[-1] - self.trust[blue] + (self.trust_forest[blue] if blue else 0.0)
        self.known[step] = (fitted + float(occam) - float(trust), chi2, coefficients)
        return self.known[step]

    def prior(self, k: int, n: int, size: int) -> FloatArray:
        """(size,) inverse variance of the coefficients: mean, components, polynomial, lines."""
        a = self.amplitude
        prior = np.empty(size)
        prior[0] = (100 * a) ** -2
        prior[1:k] = (WIDENED * a) ** -2
        prior[k:n] = 1.0
        prior[n:] = (LINE_EW * a) ** -2
        return prior

    def score(self, step: int) -> float:
        """-2 ln evidence at one redshift."""
        return self.solve(step)[0]

    def model(self, step: int) -> FloatArray:
        """(n,) the fit on the pixels of the whole spectrum, NaN where nothing was fitted."""
        parts, _, at, shapes = self.columns(step)
        c = self.solve(step)[2]
        k, n = len(parts), len(parts) + len(self.poly)
        flux = c[:k] @ parts + c[k:n] @ self.poly
        flux[at] += c[n:] @ shapes
        loglam = self.data.first + STEP * np.arange(self.kept.start, self.kept.stop)
        return np.interp(np.log10(self.data.spectrum.wave), loglam, flux, left=np.nan, right=np.nan) * self.data.unit


def _fit(data: _Data, bases: tuple[Basis, ...], spectype: str, z: float) -> Fit:
    """The best redshift in the window around z."""
    basis = basis_for(bases, spectype, z)

    def nothing(reason: str) -> Fit:
        nan = math.nan
        return Fit(spectype, z, nan, nan, nan, 0, nan, np.full(data.spectrum.wave.size, nan), reason)

    if basis is None:
        return nothing(f"no basis for type {spectype}")
    if not math.isfinite(z) or z <= -0.9:
        return nothing("no redshift to start from")
    middle = round(math.log10(1 + z) / STEP * PHASES)
    quarter_kms = C_KMS * STEP * math.log(10) / PHASES
    coarse = COARSE[spectype]
    half = math.ceil(WINDOW_KMS[spectype] / quarter_kms / coarse) * coarse
    # The search steps less than `coarse` beyond the scan, the parabola eight fine steps.
    beyond = half + max(coarse, 8 * FINE[spectype])
    window = _Window(data, basis, middle - beyond, middle + beyond)
    if window.n_good < LEAST_PIXELS:
        return nothing(f"only {window.n_good} good pixels that the basis covers; {LEAST_PIXELS} are needed")
    scan = range(middle - half, middle + half + 1, coarse)
    best = min(scan, key=window.score)
    step = coarse
    while step > FINE[spectype]:
        step //= 2
        best = min((best - step, best, best + step), key=window.score)
    score, chi2, coefficients = window.solve(best)
    dof = window.n_good - len(coefficients) - 1
    found = Fit(spectype, z, math.nan, math.nan, chi2, dof, score, window.model(best), "no minimum in the window")
    if not middle - half < best < middle + half:
        return found
    return _refined(window, scan, best, found)


def _refined(window: _Window, scan: range, best: int, found: Fit) -> Fit:
    """Parabola through three scores around the best, as far apart as the score takes to rise by about one; other
    minima of the scan that are nearly as good widen the error."""
    here, fine = window.score(best), FINE[found.spectype]
    for apart in (fine, 2 * fine, 4 * fine, 8 * fine):
        low, high = window.score(best - apart) - here, window.score(best + apart) - here
        if min(low, high) > 0 and max(low, high) > 1:
            break
    curvature = (low + high) / 2  # of the score, per apart^2
    if min(low, high) < 0 or curvature <= 0:
        return found
    step = best + (low - high) / (4 * curvature) * apart
    inflated = max(1.0, found.reduced)
    variance = apart**2 / curvature * inflated
    far = np.array([s for s in scan if abs(s - best) > scan.step and abs(s - best) > 3 * math.sqrt(variance)], float)
    if far.size:
        rise = np.array([window.score(int(s)) for s in far]) - here
        share = np.exp(-0.5 * rise / inflated) * scan.step / math.sqrt(2 * math.pi * variance)
        variance += float((share * (far - step) ** 2).sum() / (1 + share.sum()))
    growth = 10.0 ** (step * STEP / PHASES)
    zerr = math.hypot(math.sqrt(variance) * STEP / PHASES * math.log(10), window.basis.floor_kms / C_KMS) * growth
    return Fit(found.spectype, found.z_start, growth - 1, zerr, found.chi2, found.dof, here, found.model)
