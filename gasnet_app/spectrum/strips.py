"""Under the spectrum: what the answer rests on, as curves over the same wavelengths, their strongest lines named."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from engine import Line, pull, strongest
from gasnet_app import theme
from gasnet_app.spectrum.columns import NOTHING
from gasnet_app.state import Explorer

ROOM_FOR_NAME = 450.0  # A between two names over a strip
TITLES = {"dz": "|dz/dλ|", "dp": "|dP/dλ|"}


class Strips:
    """Two thin plots: what z rests on (dz) and what the class rests on (dp), each scaled to its own peak."""

    def __init__(self, explorer: Explorer, lines: Sequence[Line], x_range: Range1d) -> None:
        self.explorer, self.lines = explorer, lines
        self.saliency = ColumnDataSource({k: NOTHING for k in ("wave", "zero", "dz", "dp")}, name="saliency")
        self.named = {key: ColumnDataSource({"wave": [], "name": []}, name=f"named {key}") for key in TITLES}
        self.figures = {key: self._strip(key, text, x_range) for key, text in TITLES.items()}

    def _strip(self, key: str, text: str, x_range: Range1d) -> figure:
        fig = figure(sizing_mode="stretch_width", height=58, x_range=x_range, y_range=Range1d(0, 1.35),
                     toolbar_location=None, tools="", min_border_left=64, min_border_top=0, min_border_bottom=2,
                     name=key)  # fmt: skip
        fig.min_border_right = 40
        fig.xaxis.visible = False
        fig.grid.visible = False
        fig.yaxis.axis_label, fig.yaxis.axis_label_orientation = text, "horizontal"
        fig.yaxis.ticker = []
        fig.varea_step("wave", "zero", key, source=self.saliency, step_mode="center", fill_alpha=0.8)
        fig.text("wave", 1.2, "name", source=self.named[key], text_align="center", text_baseline="middle",
                 text_font_size=theme.SMALL, text_font=value(theme.FONT))  # fmt: skip
        return fig

    def show(self) -> None:
        """Draw the saliency that the session holds, or nothing."""
        found, prediction, spectrum = self.explorer.saliency, self.explorer.prediction, self.explorer.spectrum
        if found is None or prediction is None or spectrum is None:
            self.saliency.data = {k: NOTHING for k in ("wave", "zero", "dz", "dp")}
            for source in self.named.values():
                source.data = {"wave": [], "name": []}
            return
        zero = np.zeros(found.wave.size)
        curves = {"dp": found.dp, "dz": zero if found.dz is None else found.dz}
        scaled = {key: curve / (curve.max() or 1.0) for key, curve in curves.items()}
        self.saliency.data = {"wave": found.wave, "zero": zero, **scaled}
        for key, curve in curves.items():
            weight = pull(spectrum, found.wave, curve)
            kept: list[tuple[float, str]] = []
            for wave, name in strongest(found.wave, weight, prediction.best_z, self.lines):
                if name and all(abs(wave - other) > ROOM_FOR_NAME for other, _ in kept):
                    kept.append((wave, name))
            self.named[key].data = {"wave": [wave for wave, _ in kept], "name": [name for _, name in kept]}

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        for key, strip in self.figures.items():
            fill, names = strip.renderers
            fill.glyph.fill_color = palette.accent if key == "dz" else palette.rival
            names.glyph.text_color = palette.ink
