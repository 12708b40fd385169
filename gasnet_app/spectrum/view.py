"""The plot of the spectrum with all that is laid over it, and the controls that change what it shows.

Wavelengths are vacuum, observed frame, Angstrom, on the lower axis; the upper axis is the rest frame at the z shown.
Lines follow the z slider in the browser, without asking Python; Python hears of z when the slider is let go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import panel as pn
from bokeh.core.properties import value
from bokeh.layouts import column
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CustomJS,
    HoverTool,
    LinearAxis,
    PanTool,
    Range1d,
    ResetTool,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure

from engine import Line, load_sky
from gasnet_app import theme
from gasnet_app.javascript import script
from gasnet_app.spectrum.closeup import Closeup
from gasnet_app.spectrum.columns import NOTHING, flux_columns, flux_label, line_columns, robust_limits, typed_lines
from gasnet_app.spectrum.controls import ROW, Controls
from gasnet_app.spectrum.layers import Arms, Hidden, Overlay, Sky
from gasnet_app.spectrum.picture import Picture
from gasnet_app.spectrum.strips import Strips
from gasnet_app.state import Explorer
from gasnet_app.turn import later
from gasnet_app.words import fit_words, headline

UNFOCUS = """
    let at = document.activeElement
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
    at?.blur()"""


class SpectrumView:
    """Draws what the Explorer holds and passes on what the reader does to z, lines and smoothing."""

    def __init__(self, explorer: Explorer, lines: Sequence[Line], marker: Span) -> None:
        self.explorer, self.line_list = explorer, list(lines)
        self.palette = theme.palette(False)
        self.own: tuple[Line, ...] = ()
        self.problem = ""
        self.flux = ColumnDataSource({k: NOTHING for k in ("wave", "flux", "low", "high", "masked")})
        self.lines = ColumnDataSource(line_columns([], 0.0, "none", self.palette), name="lines")
        self.controls = Controls(explorer)
        self.closeup = Closeup(explorer, self.flux, self.lines)
        self._build_flux()
        self.strips = Strips(explorer, self.line_list, self.figure.x_range)
        figures = [self.figure, *self.strips.figures.values()]
        self.picture = Picture(explorer, figures, self.controls.slider)
        self.figure.add_tools(self.picture.tool)
        self._wire(marker)
        self.headline = theme.html(css_classes=["headline"], height=22, margin=(2, 8, 0, 8))
        self.status = theme.html(css_classes=["status"], height=18, margin=(0, 8))
        buttons = [layer.button for layer in (self.overlay, self.sky, self.arms, self.closeup)]
        self.view = pn.Column(
            self.headline, self.status,
            pn.pane.Bokeh(column(*figures, sizing_mode="stretch_both"), sizing_mode="stretch_both",
                          styles={"min-width": "0"}),
            *(pn.pane.Bokeh(row, sizing_mode="stretch_width", min_height=height, margin=0)
              for row, height in zip(self.controls.rows(*buttons, *self.picture.buttons), (ROW, 0), strict=True)),
            self.closeup.view,
            sizing_mode="stretch_both", styles={"position": "relative", "min-width": "0"}, css_classes=["middle"],
        )  # fmt: skip
        self._z_shown: float | None = None
        self._watch()
        for show in (self._show_spectrum, self._show_lines, self.strips.show, self._show_status, self._look_closer):
            show()

    def _watch(self) -> None:
        for show, names in (
            (self._show_spectrum, ["selected", "smoothing"]),
            (self._show_lines, ["selected", "z", "lines", "prediction"]),
            (self._show_saliency, ["saliency"]),
            (self._show_fit, ["check"]),
            (self.controls.reach, ["worker"]),
            (self._show_hidden, ["hidden"]),
            (self._look_closer, ["closer", "feature", "selected", "prediction"]),
            (self._show_status, ["spectrum_stage", "prediction_stage", "saliency_stage", "reading", "hidden"]),
        ):
            self.explorer.param.watch(later(show), names)

    # ---- building ------------------------------------------------------------------------------------------------

    def _build_flux(self) -> None:
        zoom = WheelZoomTool(dimensions="width")
        fig = figure(
            sizing_mode="stretch_both", min_height=200, x_range=Range1d(3600, 9300), y_range=Range1d(0, 1),
            tools=[PanTool(dimensions="width"), zoom, BoxZoomTool(), ResetTool()],
            toolbar_location="right", min_border_left=64, name="flux", output_backend="canvas",
            lod_threshold=None,
        )  # fmt: skip
        fig.toolbar.active_scroll = zoom
        fig.toolbar.logo = None
        fig.extra_y_ranges = {"height": Range1d(0, 1)}
        self.rest_range = Range1d(3600, 9300, name="rest")
        fig.extra_x_ranges = {"rest": self.rest_range}
        fig.add_layout(LinearAxis(x_range_name="rest", axis_label="rest wavelength, vacuum (Å)"), "above")
        fig.xaxis[1].axis_label = "observed wavelength, vacuum (Å)"
        fig.xaxis.axis_label_standoff = 2
        plots = (fig, self.closeup.figure)
        self.hidden = Hidden(plots, self._hide)
        self.sky = Sky(plots, load_sky())
        self.arms = Arms(plots)
        self.band = fig.varea_step("wave", "low", "high", source=self.flux, step_mode="center", fill_alpha=0.25)
        self.masked = fig.step("wave", "masked", source=self.flux, mode="center", line_alpha=0.3, line_width=1)
        self.trace = fig.step("wave", "flux", source=self.flux, mode="center", line_width=1)
        self.trace.name = "trace"
        self.overlay = Overlay(plots)
        hover = fig.line("wave", "flux", source=self.flux, line_alpha=0)
        fig.add_tools(HoverTool(renderers=[hover], mode="vline", line_policy="nearest", attachment="above",
                                tooltips=theme.tip("@wave{0.0} Å &nbsp; @flux{0.000}")))  # fmt: skip
        self.stems = fig.vspan("wave", source=self.lines, line_color="colour", line_dash="dash", line_alpha="alpha")
        fig.add_tools(HoverTool(renderers=[self.stems], attachment="below", visible=False,
                                tooltips=theme.tip("@full, rest @rest{0.00} Å")))  # fmt: skip
        self.labels = fig.text("at", "height", "label", source=self.lines, y_range_name="height",
                               text_color="colour", text_font_size=theme.SMALL, text_font=value(theme.FONT),
                               text_align="center", text_baseline="middle")  # fmt: skip
        for event in ("tap", "panend"):  # a mouse needs no mark of the focus; the keyboard's stays
            fig.js_on_event(event, CustomJS(code=UNFOCUS))
        fig.on_event("tap", lambda event: self.closeup.tap(float(event.x)))
        self.figure = fig

    def _wire(self, marker: Span) -> None:
        fig, close = self.figure, self.closeup.figure
        place = script("place.js", lines=self.lines, sky=self.sky.names, flux=fig, close=close, rest=self.rest_range,
                       slider=self.controls.slider, typed=self.controls.typed, marker=marker)  # fmt: skip
        self.controls.follow(place, self._on_slider, self._on_own)
        self.lines.js_on_change("data", place)
        for plot in (fig, close):
            plot.js_on_change("inner_width", place)
            fit = script("fit.js", source=self.flux, flux=plot)
            for end in ("start", "end"):
                plot.x_range.js_on_change(end, place, fit)

    # ---- what the reader did -------------------------------------------------------------------------------------

    def _on_slider(self, z: float) -> None:
        self._z_shown = z  # the browser shows it already: do not send it back
        self.explorer.z = z

    def _on_own(self, text: str) -> None:
        """Draw the lines that were typed; say what is wrong with what is none."""
        try:
            self.own, self.problem = typed_lines(text), ""
        except ValueError as error:
            self.problem = str(error)
        self._show_lines()
        self._show_status()

    def _hide(self, region: tuple[float, float]) -> None:
        self.explorer.hidden = (*self.explorer.hidden, region)

    # ---- showing -------------------------------------------------------------------------------------------------

    def _show_spectrum(self) -> None:
        spectrum = self.explorer.spectrum
        self.controls.show()
        self.arms.show(spectrum, self.explorer.smoothing)
        if spectrum is None:
            self.flux.data = {k: NOTHING for k in self.flux.data}
            return
        columns = flux_columns(spectrum, self.explorer.smoothing)
        self.flux.data = columns
        start, end = float(spectrum.wave[0]), float(spectrum.wave[-1])
        if self.flux.tags != [self.explorer.selected]:  # another object: show it whole; smoothing keeps the zoom
            self.flux.tags = [self.explorer.selected]
            self.figure.x_range.update(start=start, end=end, reset_start=start, reset_end=end)
            low, high = robust_limits(columns)
            self.figure.y_range.update(start=low, end=high, reset_start=low, reset_end=high)
        self.figure.yaxis[0].axis_label = flux_label(spectrum.flux_unit, self.explorer.smoothing)

    def _show_lines(self) -> None:
        z = self.explorer.z
        self.controls.show()
        self.stems.visible = self.labels.visible = z is not None
        if z is not None and z != self._z_shown:
            self.controls.reach()
            self.controls.slider.value = math.log1p(z)
            self.rest_range.update(start=self.figure.x_range.start / (1 + z), end=self.figure.x_range.end / (1 + z))
        self._z_shown = z
        known = [*self.own, *self.line_list]
        self.lines.data = line_columns(known, z or 0.0, self.explorer.lines, self.palette)
        self.closeup.show_chosen()
        self._show_headline()

    def _show_headline(self) -> None:
        """The object in one line above the plot, and the title of a saved picture."""
        record, found, z = self.explorer.record, self.explorer.prediction, self.explorer.z
        self.picture.show(self.palette)
        if record is None:
            self.headline.object = ""
            return
        text = headline(record.spectrum) if record.spectrum else [record.file]
        if found is not None and z is not None:
            tuned = abs(z - found.best_z) > 1e-7
            most = self.controls.farthest()
            by_hand = f", by hand, beyond the classes' {most:g}" if z > most else ", by hand" if tuned else ""
            text = [text[0], f"lines at z = {z:.5f}{by_hand}", *text[1:]]
        first, *rest = (pn.util.escape(part) for part in text)
        facts = "".join(f"<span>{part}</span>" for part in rest)
        self.headline.object = f'<div class="line"><b>{first}</b><span class="facts">{facts}</span></div>'

    def _show_fit(self) -> None:
        self.overlay.show(self.explorer.spectrum, self.explorer.check)
        self._show_status()

    def _show_saliency(self) -> None:
        self.strips.show()
        if self.explorer.feature is None:  # the closer look is at what the answer rests on
            self._look_closer()

    def _show_hidden(self) -> None:
        self.hidden.show(self.explorer.hidden)

    def _look_closer(self) -> None:
        spectrum = self.explorer.spectrum
        wave = (0.0, 0.0) if spectrum is None else spectrum.wave
        known = [*self.own, *self.line_list]
        self.closeup.show(known, self.controls.farthest(), (float(wave[0]), float(wave[-1])))

    def _show_status(self) -> None:
        e = self.explorer
        bad = e.spectrum_stage.words if e.spectrum_stage.state == "failed" else self.problem
        stages = (e.spectrum_stage, e.prediction_stage, e.saliency_stage)  # the right column tells their failures
        waiting = next((s.words for s in stages if s.state == "waiting"), "")
        empty = e.spectrum_stage.words if e.spectrum_stage.state == "empty" else ""
        fit = fit_words(e.check) if e.check is not None else ""
        n = len(e.hidden)
        without = f"{n} region{'s' if n > 1 else ''} hidden for the page Why; Esc shows all" if n else ""
        done = " · ".join(filter(None, (fit, without)))
        text = bad or (f"{e.reading or waiting} …" if e.reading or waiting else empty or done)
        self.status.object = f'<div class="line {"bad" if bad else "quiet"}">{pn.util.escape(text)}</div>'

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours. Axes and grounds are the page's business."""
        self.palette = palette
        self.band.glyph.fill_color = palette.band
        self.masked.glyph.line_color = palette.danger
        self.trace.glyph.line_color = palette.ink
        for part in (self.overlay, self.arms, self.sky, self.hidden, self.strips, self.closeup):
            part.apply(palette)
        self._show_lines()
