"""The picture of the class probabilities: a bar for each of the likeliest classes, a dash for each member."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Range1d
from bokeh.plotting import figure

from engine import Prediction
from gasnet_app import theme
from gasnet_app.words import short_class

SHOWN_CLASSES = 5
HEIGHT = 120


def class_rows(prediction: Prediction) -> list[tuple[str, float, np.ndarray]]:
    """The most probable classes, best first: (name, probability, (M,) the members' probabilities)."""
    order = np.argsort(prediction.p)[::-1][:SHOWN_CLASSES]
    return [(prediction.survey.classes[i].name, float(prediction.p[i]), prediction.p_members[:, i]) for i in order]


class ClassPlot:
    """Plain Bokeh, updated in place: a HoloViews figure took 115 ms an object, most of the wait for the next one."""

    def __init__(self) -> None:
        self.bars = ColumnDataSource({"name": [], "p": [], "colour": []})
        self.members = ColumnDataSource({"name": [], "p": []})
        fig = figure(height=HEIGHT, sizing_mode="stretch_width", x_range=Range1d(0, 1.02), y_range=FactorRange(),
                     tools=[], toolbar_location=None, min_border_left=88, min_border_right=12,
                     name="classes")  # fmt: skip
        fig.grid.visible = False
        fig.outline_line_color = None
        bars = fig.hbar(y="name", right="p", height=0.55, source=self.bars, fill_color="colour", line_width=0)
        self.dashes = fig.scatter("p", "name", source=self.members, marker="dash", angle=np.pi / 2, size=9, alpha=0.7)
        fig.add_tools(HoverTool(renderers=[bars], tooltips="@name @p{0.000}"))
        self.figure = fig

    def show(self, found: Prediction | None) -> None:
        """Draw the probabilities of a prediction; without one the last picture stays, for the view to hide."""
        if found is None:
            return
        rows = class_rows(found)
        names = [short_class(name) for name, _, _ in rows]
        colours = theme.class_colours(found.survey)
        self.figure.y_range.factors = names[::-1]
        self.bars.data = {"name": names, "p": [p for _, p, _ in rows], "colour": [colours[name] for name, _, _ in rows]}
        members = [(name, float(m)) for name, (_, _, values) in zip(names, rows, strict=True) for m in values]
        self.members.data = {"name": [name for name, _ in members], "p": [m for _, m in members]}

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.dashes.glyph.line_color = palette.ink
