"""What is laid over the spectrum: lines at a redshift, and the template fit, whose model can be switched off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, CustomJS, Toggle
from bokeh.plotting import figure
from numpy.typing import NDArray

from engine import CrossCheck, Line, Spectrum
from gasnet_app import theme
from gasnet_app.words import z_text

NOTHING = np.full(2, np.nan)


def line_columns(lines: Sequence[Line], z: float, which: str, p: theme.Palette) -> dict[str, Any]:
    """Columns of the line source: rest and observed (wave) wavelengths at z, names, colours. Major lines come first."""
    shown = [line for line in lines if which == "all" or (which == "major" and line.major)]
    shown.sort(key=lambda line: not line.major)
    kinds = ["absorption" if line.kind == "absorption" else "emission" for line in shown]
    rest = np.array([line.wave for line in shown], dtype=float)
    return {
        "rest": rest,
        "wave": rest * (1 + z),
        "at": rest * (1 + z),
        "name": [line.name for line in shown],
        "label": ["" for _ in shown],
        "kind": kinds,
        "height": np.array([0.03 if kind == "absorption" else 0.975 for kind in kinds]),
        "colour": [p.absorption if kind == "absorption" else p.emission for kind in kinds],
        "dash": ["4 3" if kind == "absorption" else "solid" for kind in kinds],
        "alpha": np.array([0.55 if line.major else 0.3 for line in shown]),
    }


def fit_words(check: CrossCheck) -> str:
    """The template fit in one phrase: its redshift with formal error, and its verdict."""
    if not math.isfinite(check.fit.z):
        return f"template fit: {check.verdict}"
    return f"template fit z = {z_text(check.fit.z, check.fit.zerr)}, {check.verdict}"


def model_columns(spectrum: Spectrum, check: CrossCheck) -> dict[str, NDArray[np.float64]]:
    """Columns of the model's source: wave and flux, on the spectrum's own pixels, NaN where nothing was fitted."""
    model = check.fit.model
    return {"wave": spectrum.wave, "flux": model} if np.isfinite(model).any() else {"wave": NOTHING, "flux": NOTHING}


class Overlay:
    """A line in the plot of the spectrum and the button that hides it, in the browser alone."""

    def __init__(self, plot: figure) -> None:
        self.source = ColumnDataSource({"wave": NOTHING, "flux": NOTHING}, name="model")
        self.line = plot.line("wave", "flux", source=self.source, line_width=1.3, line_alpha=0.9)
        self.button = Toggle(label="model", active=True, width=62, margin=(4, 4), name="model",
                             stylesheets=[theme.CONTROL_CSS])  # fmt: skip
        self.button.js_on_change("active", CustomJS(args={"line": self.line}, code="line.visible = cb_obj.active"))

    def show(self, spectrum: Spectrum | None, check: CrossCheck | None) -> None:
        """Draw the model of a fit, or nothing."""
        known = spectrum is not None and check is not None and check.fit.model.size == spectrum.wave.size
        empty = {"wave": NOTHING, "flux": NOTHING}
        self.source.data = model_columns(spectrum, check) if known and spectrum and check else empty

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.line.glyph.line_color = palette.rival
