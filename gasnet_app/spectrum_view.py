"""The spectrum: flux and its noise, masked pixels, lines at z, and under them what the answer rests on.

Wavelengths are vacuum, observed frame, Angstrom, on the lower axis; the upper axis is the rest frame at the z shown.
Lines follow the z slider in the browser, without asking Python; Python hears of z when the slider is let go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
from bokeh.core.properties import value
from bokeh.layouts import column, row
from bokeh.models import (
    BoxZoomTool,
    Button,
    ColumnDataSource,
    CustomJS,
    HoverTool,
    LinearAxis,
    NumericInput,
    PanTool,
    RadioButtonGroup,
    Range1d,
    ResetTool,
    SaveTool,
    Select,
    Slider,
    Span,
    WheelZoomTool,
)  # fmt: skip
from bokeh.plotting import figure
from numpy.typing import NDArray

from engine import Line, Spectrum, pull, strongest
from gasnet_app import theme
from gasnet_app.overlay import Overlay, fit_words, line_columns
from gasnet_app.state import SMOOTHING, Explorer
from gasnet_app.words import headline

FloatArray = NDArray[np.float64]
JAVASCRIPT = Path(__file__).parent / "javascript"
NOTHING = np.full(2, np.nan)  # Bokeh 3.9 paints a varea_step without points for ever
STEPS = ("1e-3", "1e-4", "1e-5")
LOWEST_Z = -0.01
ROOM_FOR_NAME = 450.0  # A between two names over a strip
LINE_SETS = [("major", "major lines"), ("all", "all lines"), ("none", "no lines")]


def smoothed(spectrum: Spectrum, width: int) -> tuple[FloatArray, FloatArray]:
    """(flux, sigma), each (n,), NaN at bad pixels: a box of `width` pixels weighted by inverse variance."""
    good = spectrum.good
    box = np.ones(width)
    weight = np.convolve(spectrum.ivar, box, mode="same")
    flux = np.convolve(spectrum.ivar * np.where(good, spectrum.flux, 0.0), box, mode="same")
    flux = np.divide(flux, weight, out=np.full(good.size, np.nan), where=good)
    sigma = np.divide(1.0, np.sqrt(weight), out=np.full(good.size, np.nan), where=good)
    return flux, sigma


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


class SpectrumView:
    """Draws what the Explorer holds and passes on what the reader does to z, lines and smoothing."""

    def __init__(self, explorer: Explorer, lines: Sequence[Line], marker: Span) -> None:
        self.explorer, self.line_list = explorer, list(lines)
        self.palette = theme.palette(False)
        self.flux = ColumnDataSource({k: NOTHING for k in ("wave", "flux", "low", "high", "masked")})
        self.lines = ColumnDataSource(line_columns([], 0.0, "none", self.palette), name="lines")
        self.saliency = ColumnDataSource({k: NOTHING for k in ("wave", "zero", "dz", "dp")}, name="saliency")
        self.named = {key: ColumnDataSource({"wave": [], "name": []}, name=f"named {key}") for key in ("dz", "dp")}
        self._build_flux()
        self.strips = {key: self._strip(key, text) for key, text in (("dz", "|dz/dλ|"), ("dp", "|dP/dλ|"))}
        self._build_controls()
        self._wire(marker)
        self.headline = theme.html(css_classes=["headline"], height=22, margin=(2, 8, 0, 8))
        self.status = theme.html(css_classes=["status"], height=18, margin=(0, 8))
        plots = column(self.figure, *self.strips.values(), sizing_mode="stretch_both")
        self.view = pn.Column(
            self.headline,
            self.status,
            pn.pane.Bokeh(plots, sizing_mode="stretch_both"),
            pn.pane.Bokeh(self.controls, sizing_mode="stretch_width", height=44),
            sizing_mode="stretch_both",
        )
        self._z_shown: float | None = None
        explorer.param.watch(self._later(self._show_spectrum), ["selected", "smoothing"])
        explorer.param.watch(self._later(self._show_lines), ["selected", "z", "lines", "prediction"])
        explorer.param.watch(self._later(self._show_saliency), ["saliency"])
        explorer.param.watch(self._later(self._show_fit), ["check"])
        explorer.param.watch(self._later(self._reach), ["worker"])
        explorer.param.watch(self._later(self._show_status),
                             ["spectrum_stage", "prediction_stage", "saliency_stage", "reading"])  # fmt: skip
        for show in (self._show_spectrum, self._show_lines, self._show_saliency, self._show_status):
            show()

    @staticmethod
    def _later(show: Callable[[], None]) -> Callable[..., None]:
        """Bokeh models may be touched only on the document's turn; answers arrive outside it."""
        return lambda *_: pn.state.execute(show, schedule=True if pn.state.curdoc else "auto")

    # ---- building ------------------------------------------------------------------------------------------------

    def _build_flux(self) -> None:
        zoom, self.save = WheelZoomTool(dimensions="width"), SaveTool()
        fig = figure(
            sizing_mode="stretch_both", min_height=220, x_range=Range1d(3600, 9300), y_range=Range1d(0, 1),
            tools=[PanTool(dimensions="width"), zoom, BoxZoomTool(), ResetTool(), self.save],
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
        self.band = fig.varea_step("wave", "low", "high", source=self.flux, step_mode="center", fill_alpha=0.25)
        self.masked = fig.step("wave", "masked", source=self.flux, mode="center", line_alpha=0.3, line_width=1)
        self.trace = fig.step("wave", "flux", source=self.flux, mode="center", line_width=1)
        self.trace.name = "trace"
        self.overlay = Overlay(fig)
        hover = fig.line("wave", "flux", source=self.flux, line_alpha=0)
        fig.add_tools(HoverTool(renderers=[hover], mode="vline", line_policy="nearest", attachment="above",
                                tooltips=[("λ", "@wave{0.0} Å"), ("flux", "@flux{0.000}")]))  # fmt: skip
        self.stems = fig.vspan("wave", source=self.lines, line_color="colour", line_dash="dash", line_alpha="alpha")
        self.labels = fig.text("at", "height", "label", source=self.lines, y_range_name="height",
                               text_color="colour", text_font_size=theme.SMALL, text_font=value(theme.FONT),
                               text_align="center", text_baseline="middle")  # fmt: skip
        self.figure = fig

    def _strip(self, key: str, text: str) -> figure:
        fig = figure(sizing_mode="stretch_width", height=58, x_range=self.figure.x_range, y_range=Range1d(0, 1.35),
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

    def _farthest(self) -> float:
        """The largest redshift of the survey's classes."""
        return max(c.z_range[1] for c in self.explorer.worker.survey.classes if c.z_range)

    def _reach(self) -> None:
        self.slider.end, self.typed.high = math.log1p(self._farthest()), self._farthest()

    def _build_controls(self) -> None:
        top = self._farthest()
        self.slider = Slider(start=math.log1p(LOWEST_Z), end=math.log1p(top), step=1e-5, value=0.0, show_value=False,
                             title=None, sizing_mode="stretch_width", name="z slider", margin=(10, 12))  # fmt: skip
        self.typed = NumericInput(value=None, mode="float", low=LOWEST_Z, high=top, placeholder="z", width=92,
                                  name="typed z", format="0.000000", margin=(4, 4, 4, 8))  # fmt: skip
        self.back = Button(label="−", width=30, margin=(4, 2))
        self.forth = Button(label="+", width=30, margin=(4, 2))
        self.step = RadioButtonGroup(labels=list(STEPS), active=1, margin=(4, 4), name="step")
        self.line_choice = Select(options=LINE_SETS, value="major", width=104, margin=(4, 4))
        kernels = [("1", "no smoothing")] + [(str(n), f"box {n} px") for n in SMOOTHING[1:]]
        self.kernel_choice = Select(options=kernels, value="1", width=104, margin=(4, 4))
        inputs = (self.typed, self.back, self.forth, self.step, self.slider, self.line_choice, self.kernel_choice)
        for widget in inputs:
            widget.stylesheets = [theme.CONTROL_CSS]
        shown = (self.line_choice, self.kernel_choice, self.overlay.button)
        self.controls = row(self.typed, self.back, self.forth, self.step, self.slider, *shown,
                            sizing_mode="stretch_width", height=40)  # fmt: skip

    def _wire(self, marker: Span) -> None:
        fig = self.figure

        def script(name: str, **args: Any) -> CustomJS:
            return CustomJS(args=args, code=(JAVASCRIPT / name).read_text())

        place = script("place.js", lines=self.lines, flux=fig, rest=self.rest_range, slider=self.slider,
                       typed=self.typed, marker=marker)  # fmt: skip
        fit = script("fit.js", source=self.flux, flux=fig)
        self.slider.js_on_change("value", place)
        self.lines.js_on_change("data", place)
        fig.js_on_change("inner_width", place)
        for end in ("start", "end"):
            fig.x_range.js_on_change(end, place, fit)
        commit = "slider.value_throttled = slider.value"  # Python hears of it
        into_slider = f"""
            const z = cb_obj.value
            if (z == null || Math.abs(z - Math.expm1(slider.value)) < 5e-7) return
            slider.value = Math.log1p(z); {commit}"""
        self.typed.js_on_change("value", CustomJS(args={"slider": self.slider}, code=into_slider))
        for button, sign in ((self.back, -1), (self.forth, 1)):
            button.js_on_click(CustomJS(args={"slider": self.slider, "step": self.step}, name=f"nudge {sign}", code=f"""
                const z = Math.expm1(slider.value) + {sign} * Number(step.labels[step.active])
                slider.value = Math.min(Math.max(Math.log1p(z), slider.start), slider.end); {commit}"""))  # fmt: skip
        self.slider.on_change("value_throttled", self._on_slider)
        self.line_choice.on_change("value", lambda _a, _o, new: self.explorer.param.update(lines=new))
        self.kernel_choice.on_change("value", lambda _a, _o, new: self.explorer.param.update(smoothing=int(new)))

    # ---- what the reader did -------------------------------------------------------------------------------------

    def _on_slider(self, _attr: str, _old: float, new: float) -> None:
        self._z_shown = round(math.expm1(new), 9)  # the browser shows it already: do not send it back
        self.explorer.z = self._z_shown

    # ---- showing -------------------------------------------------------------------------------------------------

    def _show_spectrum(self) -> None:
        record = self.explorer.record
        spectrum = record.spectrum if record else None
        self.kernel_choice.value = str(self.explorer.smoothing)
        if spectrum is None:
            self.flux.data = {k: NOTHING for k in self.flux.data}
            return
        columns = flux_columns(spectrum, self.explorer.smoothing)
        self.flux.data = columns
        start, end = float(spectrum.wave[0]), float(spectrum.wave[-1])
        if self.flux.tags != [record.key if record else ""]:  # another object: show it whole; smoothing keeps the zoom
            self.flux.tags = [record.key if record else ""]
            self.figure.x_range.update(start=start, end=end, reset_start=start, reset_end=end)
            low, high = robust_limits(columns)
            self.figure.y_range.update(start=low, end=high, reset_start=low, reset_end=high)
        self.figure.yaxis[0].axis_label = flux_label(spectrum.flux_unit, self.explorer.smoothing)

    def _show_lines(self) -> None:
        z = self.explorer.z
        self.line_choice.value = self.explorer.lines
        self.stems.visible = self.labels.visible = z is not None
        if z is not None and z != self._z_shown:
            self.slider.value = math.log1p(z)
            self.rest_range.update(start=self.figure.x_range.start / (1 + z), end=self.figure.x_range.end / (1 + z))
        self._z_shown = z
        self.lines.data = line_columns(self.line_list, z or 0.0, self.explorer.lines, self.palette)
        self._show_headline()

    def _show_headline(self) -> None:
        """The object in one line above the plot; a saved picture carries object, class and z in its file name."""
        record, found, z = self.explorer.record, self.explorer.prediction, self.explorer.z
        if record is None:
            self.headline.object = ""
            return
        text = headline(record.spectrum) if record.spectrum else [record.file]
        name = [text[0]]
        if found is not None and z is not None:
            tuned = abs(z - found.best_z) > 1e-7
            text = [*text, f"lines at z = {z:.5f}" + (", set by hand" if tuned else "")]
            name += [found.class_name, f"z{z:.5f}"]
        first, *rest = (pn.util.escape(part) for part in text)
        facts = "".join(f"<span>{part}</span>" for part in rest)
        self.headline.object = f'<div class="line"><b>{first}</b><span class="facts">{facts}</span></div>'
        self.save.filename = "_".join(name).replace("/", "-")

    def _show_fit(self) -> None:
        record = self.explorer.record
        self.overlay.show(record.spectrum if record else None, self.explorer.check)
        self._show_status()

    def _show_saliency(self) -> None:
        found, prediction, record = self.explorer.saliency, self.explorer.prediction, self.explorer.record
        if found is None or prediction is None or record is None or record.spectrum is None:
            self.saliency.data = {k: NOTHING for k in ("wave", "zero", "dz", "dp")}
            for source in self.named.values():
                source.data = {"wave": [], "name": []}
            return
        zero = np.zeros(found.wave.size)
        curves = {"dp": found.dp, "dz": zero if found.dz is None else found.dz}
        scaled = {key: curve / (curve.max() or 1.0) for key, curve in curves.items()}
        self.saliency.data = {"wave": found.wave, "zero": zero, **scaled}
        for key, curve in curves.items():
            weight = pull(record.spectrum, found.wave, curve)
            kept: list[tuple[float, str]] = []
            for wave, name in strongest(found.wave, weight, prediction.best_z, self.line_list):
                if name and all(abs(wave - other) > ROOM_FOR_NAME for other, _ in kept):
                    kept.append((wave, name))
            self.named[key].data = {"wave": [wave for wave, _ in kept], "name": [name for _, name in kept]}

    def _show_status(self) -> None:
        e = self.explorer
        bad = e.spectrum_stage.words if e.spectrum_stage.state == "failed" else ""  # the right column tells the others
        stages = (e.spectrum_stage, e.prediction_stage, e.saliency_stage)
        waiting = next((s.words for s in stages if s.state == "waiting"), "")
        empty = e.spectrum_stage.words if e.spectrum_stage.state == "empty" else ""
        fit = fit_words(e.check) if e.check is not None else ""
        text = bad or (f"{e.reading or waiting} …" if e.reading or waiting else empty or fit)
        self.status.object = f'<span class="{"bad" if bad else "quiet"}">{pn.util.escape(text)}</span>'

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours. Axes and grounds are the page's business."""
        self.palette = palette
        self.band.glyph.fill_color = palette.band
        self.masked.glyph.line_color = palette.danger
        self.trace.glyph.line_color = palette.ink
        self.overlay.apply(palette)
        for key, strip in self.strips.items():
            fill, names = strip.renderers
            fill.glyph.fill_color = palette.accent if key == "dz" else palette.rival
            names.glyph.text_color = palette.ink
        self._show_lines()
