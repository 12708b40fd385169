"""What it is, where it is, how sure, and why: words first, then numbers, then pictures."""

from __future__ import annotations

from collections.abc import Sequence

import panel as pn
from bokeh.models import Span

from engine import Line, Prediction, Spectrum, solutions, standing, why
from gasnet_app import theme
from gasnet_app.class_plot import HEIGHT, ClassPlot
from gasnet_app.pdf_plot import PdfPlot
from gasnet_app.state import Explorer
from gasnet_app.turn import later
from gasnet_app.words import z_text

ODD = (
    "It looks less like the classes than 98 of 100 mock spectra of its type and SNR do, large faults included: perhaps "
    "an object of none of them, two in one fibre, or bad data. Class and z say what it resembles most."
)
MOST_RIVALS = 2
RIVAL = 0.02  # probability of a peak that is told


def what_html(prediction: Prediction) -> str:
    """Spectral type and class in words."""
    name = pn.util.escape(prediction.class_name)
    p, std = prediction.p[prediction.best], prediction.p_std[prediction.best]
    covers = pn.util.escape(prediction.survey.classes[prediction.best].covers)
    badge = f'<span class="badge" title="{ODD}">none of these?</span>' if prediction.ood_flag else ""
    return (
        f'<div class="big"><span class="class-name" title="{covers}">{name}</span>{badge}</div>'
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


def rivals_html(prediction: Prediction, lines: Sequence[Line]) -> str:
    """The redshifts that p(z) leaves open beside the best, each with the mistaken line that would lead to it."""
    rivals = [s for s in solutions(prediction, lines)[1:] if s.weight >= RIVAL][:MOST_RIVALS]
    told = [
        f"<div>or z = {s.z:.4f}, {100 * s.weight:.0f} %, {s.members} of {len(prediction.p_members)} members: "
        f"{pn.util.escape(s.words)}</div>"
        for s in rivals
    ]
    return f'<div class="quiet rivals">{"".join(told)}</div>' if told else ""


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
        self.what, self.where, self.rivals, self.why, self.flags = (theme.html() for _ in range(5))
        self.classes = ClassPlot()
        self.pdf = PdfPlot(marker)
        self.pdf.figure.on_event("tap", lambda event: choose_peak(explorer, event.x))
        self.pdf_pane = pn.pane.Bokeh(self.pdf.figure, sizing_mode="stretch_width", height=170)
        self.what.min_height, self.where.min_height, self.why.min_height = 44, 62, 40  # nothing jumps when they arrive
        bar_pane = pn.pane.Bokeh(self.classes.figure, sizing_mode="stretch_width", height=HEIGHT)
        self.bars = pn.Column(bar_pane, height=HEIGHT, sizing_mode="stretch_width")
        pdf = pn.Column(self.pdf_pane, height=170, sizing_mode="stretch_width")
        self.view = pn.Column(
            theme.heading("What"), self.what, self.bars, theme.heading("Where"), self.where, pdf, self.rivals,
            theme.heading("Why"), self.why, theme.heading("Flags"), self.flags,
            width=300, sizing_mode="stretch_height", scroll="y-auto", css_classes=["answer", "side"],
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
            self.where.object = self.rivals.object = self.flags.object = ""
        else:
            self.what.object, self.where.object = what_html(found), where_html(found, self.lines)
            self.rivals.object = rivals_html(found, self.lines)
            self.flags.object = flags_html(found, self.explorer.spectrum)
        self._draw()

    def _show_why(self) -> None:
        found, prediction, stage = self.explorer.saliency, self.explorer.prediction, self.explorer.saliency_stage
        spectrum = self.explorer.spectrum
        if found is not None and prediction is not None and spectrum is not None:
            sentence = why(spectrum, prediction, found, self.lines)
            self.why.object = f'<div class="why">{pn.util.escape(sentence)}</div>'
        else:
            kind = "bad" if stage.state == "failed" else "quiet"
            dots = " …" if stage.state == "waiting" else ""
            self.why.object = f'<div class="{kind}">{pn.util.escape(stage.words)}{dots}</div>'

    def _draw(self) -> None:
        """Both pictures."""
        found = self.explorer.prediction
        self.bars.styles = {"visibility": "visible" if found else "hidden"}  # the place is kept
        later(self._fill)()

    def _fill(self) -> None:
        self.classes.show(self.explorer.prediction)
        self.pdf.show(self.explorer.prediction)

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.palette = palette
        self.classes.apply(palette)
        self.pdf.apply(palette)
        self._draw()


def choose_peak(explorer: Explorer, z: float | None) -> None:
    """Put the lines on the peak of p(z) nearest to a click."""
    peaks = explorer.peaks()
    if z is not None and peaks:
        explorer.z = min(peaks, key=lambda peak: abs(peak - z))
