"""The figures and controls of an object's page: the app's own, with the browser in the place of a session."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, Model, Span

from engine import CrossCheck, Line, Prediction, Saliency, Spectrum
from gasnet_app import theme
from gasnet_app.javascript import script
from gasnet_app.pdf_plot import PdfPlot
from gasnet_app.records import DONE, Record
from gasnet_app.spectrum import SpectrumView
from gasnet_app.spectrum.columns import line_columns
from gasnet_app.spectrum.controls import LINE_SETS
from gasnet_app.state import Explorer
from gasnet_app.worker import Worker


class Plots:
    """What Bokeh draws on the page. roots : by name the spectrum with its strips (plots), controls, and p(z), which a
    star has not."""

    def __init__(
        self, spectrum: Spectrum, prediction: Prediction, saliency: Saliency | None, check: CrossCheck | None,
        lines: Sequence[Line],
    ) -> None:  # fmt: skip
        self.palette = theme.palette(False)
        marker = Span(location=prediction.best_z, dimension="height", line_width=1.5, line_dash="4 3", name="marker")
        explorer = Explorer(
            Worker(prediction.survey.name), records=MappingProxyType({"": Record("", "", spectrum)}), selected="",
            prediction=prediction, z=prediction.best_z, saliency=saliency, check=check,
            spectrum_stage=DONE, prediction_stage=DONE, saliency_stage=DONE,
        )  # fmt: skip
        self.view = SpectrumView(explorer, lines, marker)
        self.view.overlay.show(spectrum, check)
        self.view.apply(self.palette)
        self.pdf = PdfPlot(marker)
        self.pdf.show(prediction)
        self.pdf.apply(self.palette)
        self._answer_in_the_browser(lines, prediction.best_z)
        view, known = self.view, self.view.controls
        view.figure.toolbar.tools.remove(view.hidden.brush)  # nobody answers without a region here
        shown = [known.line_choice, known.kernel_choice, *([view.overlay.button] if check is not None else [])]
        controls = (known.typed, known.back, known.forth, known.step, known.slider, *shown)
        self.roots: list[Model] = [
            column(view.figure, *view.strips.figures.values(), sizing_mode="stretch_both", name="plots"),
            row(*controls, sizing_mode="stretch_width", name="controls"),
        ]
        if prediction.row(prediction.best) is not None:
            self.roots.append(self.pdf.figure)

    def _answer_in_the_browser(self, lines: Sequence[Line], z: float) -> None:
        """Scripts for what a session answers by Python: line sets, smoothing, a click on a peak of p(z)."""
        view, known = self.view, self.view.controls
        sets = {key: ColumnDataSource(line_columns(lines, z, key, self.palette)) for key, _ in LINE_SETS}
        choose = "lines.data = {...sets[cb_obj.value].data}; slider.properties.value.change.emit()"  # put in place
        args = {"lines": view.lines, "sets": sets, "slider": known.slider}
        known.line_choice.js_on_change("value", CustomJS(args=args, code=choose))
        smooth = {"shown": view.flux, "measured": ColumnDataSource(dict(view.flux.data)), "flux": view.figure}
        known.kernel_choice.js_on_change("value", script("smooth.js", **smooth))
        nearest = """
            const peaks = Array.from(source.data.z)
            if (peaks.length) slider.value = Math.log1p(peaks.reduce(
                (a, b) => Math.abs(a - cb_obj.x) <= Math.abs(b - cb_obj.x) ? a : b))"""
        peaks = {"source": self.pdf.sources["peaks"], "slider": known.slider}
        self.pdf.figure.js_on_event("tap", CustomJS(args=peaks, code=nearest))
