"""More noise: a slider, and the ladder of answers that it slides over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import panel as pn
from bokeh.models import (
    ColumnDataSource,
    CustomJS,
    FixedTicker,
    HoverTool,
    Range1d,
    Slider,
    Span,
)
from bokeh.plotting import figure

from engine import Rung, flips, same_z
from gasnet_app import theme
from gasnet_app.turn import later
from gasnet_app.why.what_if import WhatIf

HEIGHT = 84
EDGE = 34  # pixels left of the axis; the slider below begins where the axis does


def ladder_columns(ladder: Sequence[Rung], palette: theme.Palette) -> dict[str, list[Any]]:
    """Columns of the chart: x, ln of the noise; p of the class called; filled where robust, in the rival's colour where
    class or redshift is another than with the file's own noise."""
    columns: dict[str, list[Any]] = {key: [] for key in ("x", "p", "edge", "fill", "words")}
    for rung in ladder:
        answer, first = rung.prediction, ladder[0].prediction
        same = answer.spectype == first.spectype and same_z(answer.best_z, first.best_z)
        colour = palette.accent if same else palette.rival
        columns["x"].append(math.log(rung.factor))
        columns["p"].append(float(answer.p[answer.best]))
        columns["edge"].append(colour)
        columns["fill"].append(colour if answer.robust else palette.ground)
        flag = "robust" if answer.robust else "unstable"
        columns["words"].append(f"SNR {rung.snr:.1f}: {answer.class_name}, z {answer.best_z:.4f}, {flag}")
    return columns


def ticks(ladder: Sequence[Rung]) -> dict[float, str]:
    """SNR at every second step of the ladder, by its place on the axis."""
    return {math.log(rung.factor): f"{rung.snr:.2g}" for rung in ladder[::2]}


class NoisePane:
    """Chart, slider and the sentence of where the answer flips."""

    def __init__(self, what_if: WhatIf) -> None:
        self.what_if, self.palette = what_if, theme.palette(False)
        self.source = ColumnDataSource({key: [] for key in ("x", "p", "edge", "fill", "words")}, name="ladder")
        self._build()
        self.words = theme.html(css_classes=["flips"], min_height=32)
        self.view = pn.Column(
            theme.heading("More noise: probability of the class against SNR"),
            pn.pane.Bokeh(self.figure, sizing_mode="stretch_width", height=HEIGHT),
            pn.pane.Bokeh(self.slider, sizing_mode="stretch_width", height=24),
            self.words,
            sizing_mode="stretch_width",
            margin=0,
        )
        what_if.param.watch(later(self._show), ["ladder"])
        what_if.param.watch(later(self._follow), ["factor"])
        self._show()

    def _build(self) -> None:
        fig = figure(height=HEIGHT, sizing_mode="stretch_width", x_range=Range1d(-0.1, 3), y_range=Range1d(0, 1.1),
                     tools="", toolbar_location=None, min_border_left=EDGE, min_border_right=12, min_border_top=4,
                     name="noise ladder")  # fmt: skip
        fig.grid.visible = False
        fig.outline_line_color = None
        fig.axis.major_label_text_font_size = theme.SMALL
        fig.yaxis.ticker = FixedTicker(ticks=[0, 0.5, 1])
        self.line = fig.line("x", "p", source=self.source, line_width=1, line_alpha=0.6)
        self.points = fig.scatter("x", "p", source=self.source, size=8, line_color="edge", fill_color="fill",
                                  line_width=1.5)  # fmt: skip
        fig.add_tools(HoverTool(renderers=[self.points], tooltips="@words", attachment="above"))
        self.now = Span(location=0, dimension="height", line_width=1.5, name="noise now")
        fig.add_layout(self.now)
        fig.on_event("tap", lambda event: self._slide_to(event.x))
        self.figure = fig
        self.slider = Slider(start=0, end=3, step=0.01, value=0, show_value=False, title=None, name="noise",
                             sizing_mode="stretch_width", margin=(2, 14, 0, EDGE + 2),
                             stylesheets=[theme.CONTROL_CSS])  # fmt: skip
        self.slider.js_on_change("value", CustomJS(args={"now": self.now}, code="now.location = cb_obj.value"))
        self.slider.on_change("value", lambda _attr, _old, new: self.what_if.param.update(factor=math.exp(new)))

    def _slide_to(self, x: float | None) -> None:
        if x is not None:
            self.slider.value = min(max(round(x, 2), 0.0), self.slider.end)

    def _follow(self) -> None:
        """The slider, when something else has set the noise: another object has none added."""
        x = math.log(self.what_if.factor)
        if abs(x - self.slider.value) > 0.006:
            self.slider.value = self.now.location = x

    def _show(self) -> None:
        ladder = self.what_if.ladder
        self.source.data = ladder_columns(ladder, self.palette)
        if not ladder:
            self.words.object = '<div class="quiet">Asking for a ladder of noise …</div>'
            return
        last = math.log(ladder[-1].factor)
        self.figure.x_range.update(start=-0.02 * last, end=1.02 * last)
        self.slider.end = round(last, 2)
        self.figure.xaxis.ticker = FixedTicker(ticks=list(ticks(ladder)))
        self.figure.xaxis.major_label_overrides = ticks(ladder)
        self.words.object = f'<div class="small">{pn.util.escape(flips(ladder))}</div>'

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.palette = palette
        self.line.glyph.line_color = palette.accent
        self.now.line_color = palette.ink
        self._show()
