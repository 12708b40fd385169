"""What it is, where it is, how sure, and why: words first, then numbers, then pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import Span
from holoviews.streams import Pipe, Tap

from engine import Line, Prediction, Spectrum
from gasnet_app import theme
from gasnet_app.state import Explorer
from gasnet_app.words import standing, why, z_text

SHOWN_CLASSES = 5


def class_rows(prediction: Prediction) -> list[tuple[str, float, np.ndarray]]:
    """The most probable classes, best first: (name, probability, (M,) the members' probabilities)."""
    order = np.argsort(prediction.p)[::-1][:SHOWN_CLASSES]
    return [(prediction.survey.classes[i].name, float(prediction.p[i]), prediction.p_members[:, i]) for i in order]


def pdf_window(prediction: Prediction, row: int) -> tuple[float, float]:
    """The range of z that holds every peak of weight and every member, with room to either side."""
    peaks = [peak.z for peak in prediction.peaks(row) if peak.weight > 0.02]
    seen = np.r_[peaks, prediction.z_members[:, row]]
    low, high = float(seen.min()), float(seen.max())
    room = max(0.25 * (high - low), 0.006 * (1 + high), 4 * float(prediction.zerr[row]))
    return max(low - room, -0.01), high + room


def pdf_columns(prediction: Prediction, row: int) -> dict[str, np.ndarray]:
    """Curves of one class's p(z), each scaled so that the ensemble's highest bin is 1; members joined by NaN."""
    z, top = prediction.z_grid, float(prediction.pdf[row].max()) or 1.0
    members = prediction.pdf_members[:, row]
    return {
        "z": z,
        "pdf": prediction.pdf[row] / top,
        "z_members": np.concatenate([np.r_[z, np.nan] for _ in members]) if len(members) else np.array([np.nan]),
        "pdf_members": np.concatenate([np.r_[m, np.nan] for m in members]) / top if len(members) else np.array([np.nan]),
    }


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
    return f'<ul class="flags">{items}</ul><div class="quiet">zwarn {int(prediction.zwarn)} &middot; {prediction.model}</div>'


class RedshiftView:
    """The right column. It looks at the Explorer and, when a peak is clicked, sets its z."""

    def __init__(self, explorer: Explorer, lines: Sequence[Line], marker: Span) -> None:
        self.explorer, self.lines, self.marker = explorer, list(lines), marker
        self.palette = theme.palette(False)
        self.colours = theme.class_colours(explorer.worker.survey)
        self.what, self.where, self.why, self.flags = (pn.pane.HTML("", sizing_mode="stretch_width", margin=0) for _ in range(4))
        self.classes, self.pdf = Pipe(data=None), Pipe(data=None)
        bars = hv.DynamicMap(self._bars, streams=[self.classes])
        curves = hv.DynamicMap(self._curves, streams=[self.pdf])
        self.tap = Tap(source=curves)
        self.tap.add_subscriber(_peak_chooser(explorer))
        self.bar_pane = pn.pane.HoloViews(bars, sizing_mode="stretch_width", height=132, linked_axes=False)
        self.pdf_pane = pn.pane.HoloViews(curves, sizing_mode="stretch_width", height=170, linked_axes=False)
        self.view = pn.Column(
            _heading("What"), self.what, self.bar_pane, _heading("Where"), self.where, self.pdf_pane,
            _heading("Why"), self.why, _heading("Flags"), self.flags,
            sizing_mode="stretch_both", scroll="y-auto", css_classes=["answer"],
        )  # fmt: skip
        explorer.param.watch(lambda _: self._show(), ["prediction", "prediction_stage", "spectrum_stage"])
        explorer.param.watch(lambda _: self._show_why(), ["saliency", "saliency_stage"])
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
        self.classes.send(found)
        self.pdf.send(found)

    def _show_why(self) -> None:
        found, prediction, stage = self.explorer.saliency, self.explorer.prediction, self.explorer.saliency_stage
        if found is not None and prediction is not None:
            self.why.object = f'<div class="why">{pn.util.escape(why(prediction, found, self.lines))}</div>'
        else:
            kind = "bad" if stage.state == "failed" else "quiet"
            dots = " …" if stage.state == "waiting" else ""
            self.why.object = f'<div class="{kind}">{pn.util.escape(stage.words)}{dots}</div>'

    def _bars(self, data: Prediction | None) -> hv.Overlay:
        rows = class_rows(data)[::-1] if data is not None else []
        bars = hv.Bars([(name, p, self.colours[name]) for name, p, _ in rows], "class", ["p", "colour"])
        points = hv.Scatter([(name, m) for name, _, ms in rows for m in ms], "class", "p")
        bars = bars.opts(invert_axes=True, color="colour", line_width=0, bar_width=0.6, tools=[], default_tools=[])
        points = points.opts(color=self.palette.ink, size=4, alpha=0.6, marker="dash", angle=90, invert_axes=True)
        return (bars * points).opts(
            hv.opts.Overlay(responsive=True, height=132, xlabel="", ylabel="", framewise=True, toolbar=None, ylim=(0, 1.02),
                            padding=0, show_frame=False, hooks=[_quiet_axes])
        )  # fmt: skip

    def _curves(self, data: Prediction | None) -> hv.Overlay:
        row = None if data is None else data.row(data.best)
        nothing = np.array([])
        if data is None or row is None:
            columns = {"z": nothing, "pdf": nothing, "z_members": nothing, "pdf_members": nothing}
            peaks, window = [], (0.0, 1.0)
        else:
            columns, window = pdf_columns(data, row), pdf_window(data, row)
            top = columns["pdf"]
            peaks = [(peak.z, float(np.interp(peak.z, columns["z"], top)), peak.weight) for peak in data.peaks(row)]
        members = hv.Curve((columns["z_members"], columns["pdf_members"]), "z", "p(z)").opts(
            color=self.palette.band, line_width=1, alpha=0.7)  # fmt: skip
        ensemble = hv.Area((columns["z"], columns["pdf"]), "z", "p(z)").opts(
            color=self.palette.accent, alpha=0.35, line_color=self.palette.accent)  # fmt: skip
        marks = hv.Points(peaks, ["z", "p(z)"], "weight").opts(color=self.palette.rival, size=8, marker="inverted_triangle")
        return (ensemble * members * marks).opts(
            hv.opts.Overlay(responsive=True, height=170, xlabel="z", ylabel="p(z)", yaxis="bare", framewise=True,
                            xlim=window, ylim=(0, 1.15), toolbar=None, default_tools=[], active_tools=[],
                            show_frame=False, hooks=[self._mark])
        )  # fmt: skip

    def _mark(self, plot: Any, _element: Any) -> None:
        """The current z on p(z): the same span that the slider moves in the browser."""
        if self.marker not in plot.state.center:
            plot.state.add_layout(self.marker)
            plot.state.name = "pdf"
        self.marker.visible = self.explorer.prediction is not None and self.explorer.prediction.spectype != "STAR"

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.palette = palette
        self.marker.line_color = palette.danger
        self.classes.send(self.explorer.prediction)
        self.pdf.send(self.explorer.prediction)


def _peak_chooser(explorer: Explorer) -> Any:
    def choose(x: float | None, y: float | None) -> None:
        """A click on p(z) puts the lines on the nearest peak."""
        peaks = explorer.peaks()
        if x is not None and peaks:
            explorer.z = min(peaks, key=lambda z: abs(z - x))

    return choose


def _quiet_axes(plot: Any, _element: Any) -> None:
    plot.state.xgrid.visible = plot.state.ygrid.visible = False


def _heading(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(f'<div class="heading">{text}</div>', sizing_mode="stretch_width", margin=0)
