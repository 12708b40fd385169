"""A closer look at one feature, laid over the plot: the feature enlarged with all that is drawn over it, and which line
it could be. A tap on the spectrum opens it there; without a tap it shows what the answer rests on most."""

from __future__ import annotations

from collections.abc import Sequence

import panel as pn
from bokeh.core.properties import value
from bokeh.models import Button, ColumnDataSource, RadioButtonGroup, Range1d, Toggle
from bokeh.plotting import figure

from engine import Line, Naming, feature_at, namings, pull, strongest
from gasnet_app import theme
from gasnet_app.state import Explorer

REACH = 0.012  # of the wavelength, to either side: 3,600 km/s
MOST = 5  # names that are offered
WIDTH = 240
HEIGHT = 132
BESIDE = {"right": "62px", "left": "auto"}  # where the card stands: clear of the toolbar, or of the axis
OPPOSITE = {"right": "auto", "left": "76px"}
LIST_CSS = """
.bk-btn { text-align: left; border: 0; padding: 2px 8px; min-height: 21px; height: 21px; white-space: pre; }
.bk-btn:hover { background-color: color-mix(in srgb, var(--panel-primary-color) 12%, transparent); }
.bk-btn-group { width: 100%; }
"""
CARD = {
    "position": "absolute", "top": "118px", "z-index": "5", "padding": "0 0 4px",
    "background": "var(--panel-background-color)", "border": "1px solid var(--border-color)", "border-radius": "3px",
}  # fmt: skip


def naming_text(naming: Naming, answered: bool) -> str:
    """One choice in words: the redshift that follows, what the answer gives to it, and the line."""
    p = "" if not answered else f"   p {naming.p:.2f}" if naming.p >= 0.005 else "   p <.01"
    return f"z {naming.z:.5f}{p}   {naming.line.label}"


def main_feature(explorer: Explorer, lines: Sequence[Line]) -> float | None:
    """Observed wavelength (A) of what the answer rests on most; a strong line at z, or the middle, before the saliency
    is there; None without a spectrum."""
    spectrum, found, saliency = explorer.spectrum, explorer.prediction, explorer.saliency
    if spectrum is None:
        return None
    if found is not None and saliency is not None:
        weight = pull(spectrum, saliency.wave, saliency.main)
        top = strongest(saliency.wave, weight, found.best_z, lines, 1)
        if top:
            return feature_at(spectrum, top[0][0])
    first, last = float(spectrum.wave[0]), float(spectrum.wave[-1])
    moved = [line.wave * (1 + (explorer.z or 0.0)) for line in lines if line.major]
    return next((wave for wave in reversed(moved) if first < wave < last), 0.5 * (first + last))


class Closeup:
    """The card. explorer.closer opens it, explorer.feature says where it looks; both are the session's."""

    def __init__(self, explorer: Explorer, flux: ColumnDataSource, lines: ColumnDataSource) -> None:
        self.explorer = explorer
        self.offered: tuple[Naming, ...] = ()
        self.wave: float | None = None
        self.figure = self._figure(flux, lines)
        self.title = theme.html(css_classes=["feature"], margin=(4, 0, 0, 8))
        self.shut = Button(label="×", width=24, margin=(2, 4), name="close", stylesheets=[theme.CONTROL_CSS])
        self.names = RadioButtonGroup(labels=[], active=None, orientation="vertical", width=WIDTH - 8, margin=(0, 4),
                                      name="namings", stylesheets=[theme.CONTROL_CSS, LIST_CSS])  # fmt: skip
        self.button = Toggle(label="closer", active=explorer.closer, width=58, margin=(4, 4), name="closer",
                             stylesheets=[theme.CONTROL_CSS])  # fmt: skip
        self.view = pn.Column(
            pn.Row(self.title, pn.pane.Bokeh(self.shut, margin=0), margin=0, sizing_mode="stretch_width"),
            pn.pane.Bokeh(self.figure, margin=0), pn.pane.Bokeh(self.names, margin=0),
            width=WIDTH, margin=0, visible=False, css_classes=["closeup"], styles={**CARD, **BESIDE},
        )  # fmt: skip
        self.shut.on_click(self.close)
        self.button.on_change("active", lambda _attr, _old, new: self._look(new))
        self.names.on_change("active", lambda _attr, _old, new: self._name(new))

    def _figure(self, flux: ColumnDataSource, lines: ColumnDataSource) -> figure:
        fig = figure(width=WIDTH - 8, height=HEIGHT, x_range=Range1d(0, 1), y_range=Range1d(0, 1), tools="",
                     toolbar_location=None, name="closeup", lod_threshold=None, min_border=4)  # fmt: skip
        fig.extra_y_ranges = {"height": Range1d(0, 1)}
        fig.grid.visible = False
        fig.xaxis.ticker.desired_num_ticks = 4
        fig.yaxis.ticker.desired_num_ticks = 3
        self.masked = fig.step("wave", "masked", source=flux, mode="center", line_alpha=0.3, line_width=1)
        self.trace = fig.step("wave", "flux", source=flux, mode="center", line_width=1)
        fig.vspan("wave", source=lines, line_color="colour", line_dash="dash", line_alpha="alpha")
        fig.text("at_close", "height_close", "label_close", source=lines, y_range_name="height",
                 text_color="colour", text_font_size=theme.SMALL, text_font=value(theme.FONT),
                 text_align="center", text_baseline="middle")  # fmt: skip
        return fig

    # ---- what the reader did -------------------------------------------------------------------------------------

    def tap(self, wave: float) -> None:
        """Look at the feature nearest to a tap at an observed wavelength (A)."""
        spectrum = self.explorer.spectrum
        if spectrum is not None:
            self.explorer.param.update(closer=True, feature=feature_at(spectrum, wave))

    def close(self) -> None:
        """Put the card away."""
        self.explorer.param.update(closer=False, feature=None)

    def _look(self, open_: bool) -> None:
        if open_ != self.explorer.closer:
            self.explorer.param.update(closer=open_, feature=None)

    def _name(self, index: int | None) -> None:
        if index is not None and index < len(self.offered):
            z = round(self.offered[index].z, 9)
            if z != self.explorer.z:
                self.explorer.z = z

    # ---- showing -------------------------------------------------------------------------------------------------

    def show(self, lines: Sequence[Line], z_max: float, whole: tuple[float, float]) -> None:
        """Draw the feature that is looked at and offer names for it, from these lines and below this z.

        whole : the part of the spectrum in the plot (A); the card stands in the half where the feature is not
        """
        e = self.explorer
        self.wave = (e.feature if e.feature is not None else main_feature(e, lines)) if e.closer else None
        self.view.visible = self.wave is not None
        self.button.active = e.closer
        if self.wave is None:
            return
        low, high = self.wave * (1 - REACH), self.wave * (1 + REACH)
        self.figure.x_range.update(start=low, end=high)
        left = self.wave > 0.5 * (whole[0] + whole[1])
        self.view.styles = {**CARD, **(OPPOSITE if left else BESIDE)}
        self.title.object = f'<div class="line">{self.wave:.1f} Å <span class="quiet">this is</span></div>'
        self.offered = namings(self.wave, e.prediction, lines, z_max)[:MOST]
        labels = [naming_text(naming, e.prediction is not None) for naming in self.offered]
        self.names.update(active=None, labels=labels)
        self.show_chosen()

    def show_chosen(self) -> None:
        """Mark the name whose redshift is shown."""
        z = self.explorer.z
        found = (k for k, naming in enumerate(self.offered) if z is not None and abs(naming.z - z) < 1e-8)
        self.names.active = next(found, None)

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.masked.glyph.line_color = palette.danger
        self.trace.glyph.line_color = palette.ink
