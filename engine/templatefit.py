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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.basis import BINS, PHASES, Basis, basis_for, load_bases
from engine.fitwindow import STEP, Gridded, Window
from engine.prediction import C_KMS, Prediction
from engine.spectrum import Spectrum

FloatArray = NDArray[np.float64]

WINDOW_KMS = {"STAR": 900.0, "GALAXY": 550.0, "QSO": 2500.0}  # on either side
SCAN = {"STAR": 1, "GALAXY": 1, "QSO": 2}  # pixels of the first look from one of its steps to the next
WIDEST = {"STAR": 8, "GALAXY": 8, "QSO": 16}  # first and last steps of the descent, in quarter pixels
FINEST = {"STAR": 1, "GALAXY": 1, "QSO": 2}
ENOUGH = (0.5, 6.0)  # rise of the score over a step of which a parabola gives the error
MOST_STEPS = 24  # of a descent
LEAST_PIXELS = 200  # good pixels that a fit needs
LEAST_WEIGHT = 0.01  # of a peak of p(z) that is fitted
CERTAIN = 16.0  # difference of scores, per reduced chi2, at which one redshift is preferred to another
POOR, MISSING = 2.0, 0.03  # reduced chi2 and missing flux beyond which no model fits


@dataclass(frozen=True, eq=False)
class Fit:
    """The best fit of one hypothesis.

    spectype, z_start : the hypothesis; z, zerr : redshift of the best score and its formal error, NaN when the window
        holds no minimum; chi2, dof : with errors that count what the basis lacks; score : -2 ln evidence
    model : (n,) flux on the spectrum's own pixels, NaN beyond the fitted ones
    reason : why there is no redshift, in words; empty when there is one
    missing : rms of what neither the model nor the noise explains, relative to the flux
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
    missing: float = 0.0

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
    looks = _Looks(Gridded.of(spectrum))
    fits = [_fit(looks, found, kind, z) for kind, z in hypotheses(prediction)]
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
        if peaks:
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
    if best.reduced > POOR and best.missing > MISSING:
        return f"poor fit: reduced chi2 {best.reduced:.1f}"
    return "agrees" if not delta < limit else "agrees, but a rival fits nearly as well"


class _Looks:
    """A spectrum as the descent sees it, and as first looks do, binned when one is asked for."""

    def __init__(self, data: Gridded) -> None:
        self.data = data
        self._binned: dict[int, Gridded] = {}

    def coarse(self, width: int) -> Gridded:
        """The spectrum with `width` pixels in one."""
        if width not in self._binned:
            self._binned[width] = self.data.coarse(width)
        return self._binned[width]


def _fit(looks: _Looks, bases: tuple[Basis, ...], spectype: str, z: float) -> Fit:
    """The best redshift in the window around z: a scan of binned pixels, then a descent on all of them."""
    basis, data = basis_for(bases, spectype, z), looks.data

    def nothing(reason: str) -> Fit:
        nan = math.nan
        return Fit(spectype, z, nan, nan, nan, 0, nan, np.full(data.spectrum.wave.size, nan), reason)

    if basis is None:
        return nothing(f"no basis for type {spectype}")
    if not math.isfinite(z) or z <= -0.9:
        return nothing("no redshift to start from")
    binned = BINS[spectype]
    pixel_kms = C_KMS * STEP * math.log(10) * binned
    middle = round(math.log10(1 + z) / (STEP * binned))
    half = math.ceil(WINDOW_KMS[spectype] / pixel_kms / SCAN[spectype]) * SCAN[spectype]
    steps = np.arange(middle - half, middle + half + 1, SCAN[spectype]) * PHASES
    first = Window(looks.coarse(binned), basis.coarse, int(steps[0]), int(steps[-1]))
    beyond = WIDEST[spectype] * 2
    window = Window(data, basis, int(steps[0]) * binned - beyond, int(steps[-1]) * binned + beyond)
    if window.n_good < LEAST_PIXELS:
        return nothing(f"only {window.n_good} good pixels that the basis covers; {LEAST_PIXELS} are needed")
    scan = np.array([first.score(int(step)) for step in steps])
    steps *= binned
    best, apart = _descend(window, _vertex(steps, scan), (int(steps[0]), int(steps[-1])), spectype)
    score, chi2, coefficients = window.solve(best)
    dof = window.n_good - len(coefficients) - 1
    missing = math.sqrt(max(chi2 / dof - 1, 0.0)) / window.snr
    found = Fit(
        spectype, z, math.nan, math.nan, chi2, dof, score, window.model(best), "no minimum in the window", missing
    )  # fmt: skip
    if not steps[0] < best < steps[-1]:
        return found
    return _refined(window, steps, scan, best, apart, found)


def _vertex(steps: NDArray[np.int64], scan: FloatArray) -> int:
    """The lowest point of a parabola through the scan's lowest score and its neighbours."""
    k = int(scan.argmin())
    if not 0 < k < scan.size - 1:
        return int(steps[k])
    low, high = scan[k - 1] - scan[k], scan[k + 1] - scan[k]
    return round(steps[k] + 0.5 * (low - high) / (low + high) * (steps[1] - steps[0]))


def _descend(window: Window, at: int, ends: tuple[int, int], spectype: str) -> tuple[int, int]:
    """(best, apart): a step whose neighbours at `apart` score higher, by about one if steps that fine exist; or one
    at the window's ends."""
    apart, finest = WIDEST[spectype], FINEST[spectype]
    for _ in range(MOST_STEPS):
        here, low, high = (window.score(step) for step in (at, at - apart, at + apart))
        if min(low, high) < here:
            at += -apart if low < high else apart
            if not ends[0] < at < ends[1]:
                return min(max(at, ends[0]), ends[1]), apart
            continue
        rise = 0.5 * (low + high) - here
        if apart == finest or rise < ENOUGH[1]:
            break
        at += round(0.25 * (low - high) / rise * apart)
        apart = max(finest, min(apart // 2, 2 ** math.floor(math.log2(apart * math.sqrt(2.0 / rise) + 1e-9))))
    return at, apart


def _refined(window: Window, steps: NDArray[np.int64], scan: FloatArray, best: int, apart: int, found: Fit) -> Fit:
    """Parabola through three scores around the best, with the noise as it is: its size and correlation are those of
    the residuals. Where it is wide the scores of the scan widen the error, and so do other minima nearly as good."""
    here = window.score(best)
    low, high = window.score(best - apart) - here, window.score(best + apart) - here
    curvature = (low + high) / 2  # of the score, per apart^2
    if min(low, high) < 0 or curvature <= 0:
        return found
    step = best + (low - high) / (4 * curvature) * apart
    noise = max(1.0, found.reduced) * window.correlation(best, apart)
    variance = apart**2 / curvature * noise
    spacing, away = int(steps[1] - steps[0]), steps - step
    share = np.exp(-0.5 * np.maximum(scan - _lowest(scan), 0) / noise)
    wide = float((share * away**2).sum() / max(share.sum(), 1e-9))
    far = np.abs(away) > max(spacing, 3 * math.sqrt(variance))
    share = share[far] * spacing / math.sqrt(2 * math.pi * variance)
    variance += float((share * away[far] ** 2).sum() / (1 + share.sum()))
    if math.sqrt(variance) > spacing / 2:  # the scan resolves it
        variance = max(variance, wide)
    growth = 10.0 ** (step * STEP / PHASES)
    zerr = math.hypot(math.sqrt(variance) * STEP / PHASES * math.log(10), window.basis.floor_kms / C_KMS) * growth
    return replace(found, z=growth - 1, zerr=zerr, score=here, reason="")


def _lowest(scan: FloatArray) -> float:
    """The lowest score of a scan, between its steps."""
    k = int(scan.argmin())
    if not 0 < k < scan.size - 1:
        return float(scan[k])
    low, high = scan[k - 1] - scan[k], scan[k + 1] - scan[k]
    return float(scan[k] - (low - high) ** 2 / (8 * (low + high)))
