"""What it is, where it is, how sure, and why: words first, then numbers, then pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import Span
from holoviews.streams import Pipe

from engine import Line, Prediction, Spectrum, standing, why
from gasnet_app import theme
from gasnet_app.pdf_plot import PdfPlot
from gasnet_app.state import Explorer
from gasnet_app.words import short_class, z_text

SHOWN_CLASSES = 5


def class_rows(prediction: Prediction) -> list[tuple[str, float, np.ndarray]]:
    """The most probable classes, best first: (name, probability, (M,) the members' probabilities)."""
    order = np.argsort(prediction.p)[::-1][:SHOWN_CLASSES]
    return [(prediction.survey.classes[i].name, float(prediction.p[i]), prediction.p_members[:, i]) for i in order]


def what_html(prediction: Prediction) -> str:
    """Spectral type and class in words."""
    name = pn.util.escape(prediction.class_name)
    p, std = prediction.p[prediction.best], prediction.p_std[prediction.best]
    covers = pn.util.escape(prediction.survey.classes[prediction.best].covers)
    return (
        f'<div class="big class-name" title="{covers}">{name}</div>'
        f'<div class="quiet">{prediction.spectype} &middot; probability {p:.2f} ± {std:.2f} among '
        f"{len(prediction.p_members)} members</div>"
    )


def where_html(prediction: Prediction, lines: Sequence[Line]) -> str:
    """Redshift in words; full digits on hover."""
    full = f"z = {prediction.best_z:.7f}, sigma = {prediction.best_zerr:.3g}"
    kind = "robust" if prediction.robust else "unstable"
    number = "0 (star)" if prediction.spectype == "STAR" else z_text(prediction.best_z, prediction.best_zerr)
    sentence = pn.util.escape(standing(prediction, lines))
    return f'<div class="big z-value" title="{full}">z = {number}</div><div class="{kind}">{sentence}</div>'


def flags_html(prediction: Prediction, spectrum: Spectrum | None) -> str:
    """Warnings in words, and what the reader of the file had to assume."""
    words = [*prediction.words(), *(spectrum.notes if spectrum else ())]
    items = "".join(f"<li>{pn.util.escape(word)}</li>" for word in words) or "<li>none</li>"
    bits = f"zwarn {int(prediction.zwarn)} &middot; {pn.util.escape(prediction.model)}"
    return f'<ul class="flags">{items}</ul><div class="quiet">{bits}</div>'


class RedshiftView:
    """The right column. It looks at the Explorer and, when a peak is clicked, sets its z."""

    def __init__(self, explorer: Explorer, lines: Sequence[Line], marker: Span) -> None:
        self.explorer, self.lines = explorer, list(lines)
        self.palette = theme.palette(False)
        self.what, self.where, self.why, self.flags = (theme.html() for _ in range(4))
        self.bar_pane = pn.pane.HoloViews(None, sizing_mode="stretch_width", height=120, linked_axes=False)
        self.pdf = PdfPlot(marker)
        self.pdf.figure.on_event("tap", lambda event: choose_peak(explorer, event.x))
        self.pdf_pane = pn.pane.Bokeh(self.pdf.figure, sizing_mode="stretch_width", height=170)
        self.what.min_height, self.where.min_height, self.why.min_height = 44, 62, 40  # nothing jumps when they arrive
        self.bars = pn.Column(self.bar_pane, height=120, sizing_mode="stretch_width")
        pdf = pn.Column(self.pdf_pane, height=170, sizing_mode="stretch_width")
        self.view = pn.Column(
            theme.heading("What"), self.what, self.bars, theme.heading("Where"), self.where, pdf,
            theme.heading("Why"), self.why, theme.heading("Flags"), self.flags,
            width=300, sizing_mode="stretch_height", scroll="y-auto", css_classes=["answer"],
            margin=(0, 8), styles={"flex": "0 0 300px"},
        )  # fmt: skip
        explorer.param.watch(lambda *_: self._show(), ["prediction", "prediction_stage", "spectrum_stage"])
        explorer.param.watch(lambda *_: self._show_why(), ["saliency", "saliency_stage"])
        self._show()
        self._show_why()

    def _show(self) -> None:
        found, stage = self.explorer.prediction, self.explorer.prediction_stage
        if found is None:
            kind = "bad" if stage.state == "failed" else "quiet"
            dots = " …" if stage.state == "waiting" else ""
            self.what.object = f'<div class="{kind}">{pn.util.escape(stage.words)}{dots}</div>'
            self.where.object = self.flags.object = ""
        else:
            record = self.explorer.record
            self.what.object, self.where.object = what_html(found), where_html(found, self.lines)
            self.flags.object = flags_html(found, record.spectrum if record else None)
        self._draw()

    def _show_why(self) -> None:
        found, prediction, stage = self.explorer.saliency, self.explorer.prediction, self.explorer.saliency_stage
        record = self.explorer.record
        if found is not None and prediction is not None and record is not None and record.spectrum is not None:
            sentence = why(record.spectrum, prediction, found, self.lines)
            self.why.object = f'<div class="why">{pn.util.escape(sentence)}</div>'
        else:
            kind = "bad" if stage.state == "failed" else "quiet"
            dots = " …" if stage.state == "waiting" else ""
            self.why.object = f'<div class="{kind}">{pn.util.escape(stage.words)}{dots}</div>'

    def _draw(self) -> None:
        """Both pictures. Bokeh models may be touched only on the document's turn; answers arrive outside it."""
        found = self.explorer.prediction
        self.bars.styles = {"visibility": "visible" if found else "hidden"}  # the place is kept
        if found is not None:
            if self.bar_pane.object is None:  # one figure for the whole session, or the browser keeps every old one
                self.bar_pane.object = hv.DynamicMap(self._bars, streams=[Pipe(data=found)])
            else:
                self.bar_pane.object.streams[0].send(found)
        pn.state.execute(lambda: self.pdf.show(self.explorer.prediction), schedule=True if pn.state.curdoc else "auto")

    def _bars(self, data: Prediction) -> hv.Overlay:
        rows = class_rows(data)[::-1]
        colours = theme.class_colours(self.explorer.worker.survey)
        bars = hv.Bars([(short_class(name), p, colours[name]) for name, p, _ in rows], "class", ["p", "colour"])
        points = hv.Scatter([(short_class(name), m) for name, _, members in rows for m in members], "class", "p")
        bars = bars.opts(invert_axes=True, color="colour", line_width=0, bar_width=0.55)
        points = points.opts(color=self.palette.ink, size=9, alpha=0.7, marker="dash", angle=90, invert_axes=True)
        return (bars * points).opts(
            hv.opts.Overlay(responsive=True, height=120, xlabel="", ylabel="", toolbar=None, ylim=(0, 1.02),
                            framewise=True, default_tools=[], show_frame=False, hooks=[_quiet])
        )  # fmt: skip

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.palette = palette
        self.pdf.apply(palette)
        self._draw()


def choose_peak(explorer: Explorer, z: float | None) -> None:
    """Put the lines on the peak of p(z) nearest to a click."""
    peaks = explorer.peaks()
    if z is not None and peaks:
        explorer.z = min(peaks, key=lambda peak: abs(peak - z))


def _quiet(plot: Any, _element: Any) -> None:
    plot.state.xgrid.visible = plot.state.ygrid.visible = False
    plot.state.outline_line_color = None
