"""What the plot of a spectrum is made of: columns of numbers and words, without a widget.

Wavelengths are vacuum, observed frame, Angstrom, unless a name says rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import CrossCheck, Line, Spectrum
from gasnet_app import theme

FloatArray = NDArray[np.float64]
NOTHING = np.full(2, np.nan)  # Bokeh 3.9 paints a varea_step without points for ever
SHORTEST, LONGEST = 500.0, 20000.0  # rest wavelengths of lines that are typed (A)
TYPED = "typed"  # reference of a line that the reader typed
_TYPED_LINE = re.compile(r"(?P<name>.*?)\s*(?P<wave>\d+(?:\.\d*)?)")


def smoothed(spectrum: Spectrum, width: int) -> tuple[FloatArray, FloatArray]:
    """(flux, sigma), each (n,), NaN at bad pixels: a box of `width` pixels weighted by inverse variance."""
    return _smoothed(spectrum.flux, spectrum.ivar, width)


def _smoothed(flux: FloatArray, ivar: FloatArray, width: int) -> tuple[FloatArray, FloatArray]:
    good = ivar > 0
    box = np.ones(width)
    weight = np.convolve(ivar, box, mode="same")
    total = np.convolve(ivar * np.where(good, flux, 0.0), box, mode="same")
    mean = np.divide(total, weight, out=np.full(good.size, np.nan), where=good)
    sigma = np.divide(1.0, np.sqrt(weight), out=np.full(good.size, np.nan), where=good)
    return mean, sigma


def flux_columns(spectrum: Spectrum, width: int) -> dict[str, FloatArray]:
    """Columns of the flux source: wave, flux (NaN gaps kept), low and high (flux -+ sigma), masked (bad pixels only).

    The band is filled, and a filled path cannot hold NaN: at a bad pixel it is closed to zero height instead.
    """
    flux, sigma = smoothed(spectrum, width)
    good = spectrum.good
    bridge = np.interp(spectrum.wave, spectrum.wave[good], flux[good])
    sigma = np.nan_to_num(sigma)
    beside = ~good | np.r_[~good[1:], False] | np.r_[False, ~good[:-1]]
    masked = np.where(beside & np.isfinite(spectrum.flux), spectrum.flux, np.nan)
    return {"wave": spectrum.wave, "flux": flux, "low": bridge - sigma, "high": bridge + sigma, "masked": masked}


def arm_columns(spectrum: Spectrum, width: int) -> dict[str, FloatArray]:
    """Columns of the single cameras, wave and flux under the same kernel, one after another with a gap between."""
    wave, flux = [NOTHING], [NOTHING]
    for arm in spectrum.arms if len(spectrum.arms) > 1 else ():
        wave += [arm.wave, arm.wave[-1:]]
        flux += [_smoothed(arm.flux, arm.ivar, width)[0], np.full(1, np.nan)]
    return {"wave": np.concatenate(wave), "flux": np.concatenate(flux)}


def model_columns(spectrum: Spectrum, check: CrossCheck) -> dict[str, FloatArray]:
    """Columns of the model's source: wave and flux, on the spectrum's own pixels, NaN where nothing was fitted."""
    model = check.fit.model
    return {"wave": spectrum.wave, "flux": model} if np.isfinite(model).any() else {"wave": NOTHING, "flux": NOTHING}


def line_columns(lines: Sequence[Line], z: float, which: str, p: theme.Palette) -> dict[str, Any]:
    """Columns of the line source: rest and observed (wave) wavelengths at z, names, colours. Major lines come first.

    Lines that the reader typed are drawn whatever the choice. at, label, height are where a name stands in the plot,
    and the same with _close in the closer look; the browser fills them in (place.js).
    """
    own = [line for line in lines if line.reference == TYPED]
    listed = [
        line for line in lines if line.reference != TYPED and (which == "all" or (which == "major" and line.major))
    ]
    shown = own + sorted(listed, key=lambda line: not line.major)
    kinds = ["absorption" if line.kind == "absorption" else "emission" for line in shown]
    colours = {"absorption": p.absorption, "emission": p.emission}
    rest = np.array([line.wave for line in shown], dtype=float)
    height = np.array([0.03 if kind == "absorption" else 0.975 for kind in kinds])
    return {
        "rest": rest,
        "wave": rest * (1 + z),
        "at": rest * (1 + z),
        "at_close": rest * (1 + z),
        "name": [line.name for line in shown],
        "full": [line.label for line in shown],
        "label": ["" for _ in shown],
        "label_close": ["" for _ in shown],
        "kind": kinds,
        "height": height,
        "height_close": height.copy(),
        "colour": [
            p.rival if line.reference == TYPED else colours[kind] for line, kind in zip(shown, kinds, strict=True)
        ],
        "dash": ["4 3" if kind == "absorption" else "solid" for kind in kinds],
        "alpha": np.array([0.55 if line.major else 0.3 for line in shown]),
    }


def typed_lines(text: str) -> tuple[Line, ...]:
    """Lines from what the reader typed: rest wavelengths in vacuum (A), each with a name before it if it has one.

    "4182, CN 3883" gives two lines. Raises ValueError with the part that is none, and what would be one.
    """
    found = []
    for part in filter(None, (part.strip() for part in re.split(r"[,;\n]", text))):
        match = _TYPED_LINE.fullmatch(part)
        if match is None or not SHORTEST <= float(match["wave"]) <= LONGEST:
            form = f"a rest wavelength in vacuum, {SHORTEST:.0f} to {LONGEST:.0f} Å, with a name before it or without"
            raise ValueError(f"{part[:30]!r} is no line: write {form}, such as 4182 or CN 3883")
        wave = float(match["wave"])
        name = match["name"][:20] or f"{wave:g}"
        label = f"{name} {wave:g}" if match["name"] else f"{wave:g} Å"
        found.append(Line(f"typed_{wave:g}", name, label, wave, "both", True, TYPED))
    return tuple(found)


def flux_label(unit: str, width: int) -> str:
    """The vertical axis in words: what is drawn, in which unit, smoothed by which kernel."""
    short = unit.replace("10**-17", "1e-17").replace("erg/(s cm2 Angstrom)", "erg/s/cm²/Å").replace("Angstrom", "Å")
    kernel = f", box of {width} px weighted by ivar" if width > 1 else ""
    return f"flux{f' ({short})' if short else ''}{kernel}"


def robust_limits(columns: dict[str, FloatArray]) -> tuple[float, float]:
    """Vertical limits with room for labels: a lone hot pixel and the noisy ends must not flatten the spectrum.

    The running median of three unmasked pixels, where sigma is at most thrice its median (fit.js does the same).
    """
    good = np.isfinite(columns["flux"])
    flux, sigma = columns["flux"][good], (columns["high"] - columns["low"])[good]
    if flux.size < 3:
        return 0.0, 1.0
    middle = np.median(np.stack([flux[:-2], flux[1:-1], flux[2:]]), axis=0)
    quiet = middle[sigma[1:-1] <= 3 * np.median(sigma)]
    low, high = float(np.percentile(quiet, 0.3)), float(quiet.max())
    room = (high - low) or abs(high) or 1.0
    return low - 0.16 * room, high + 0.24 * room
