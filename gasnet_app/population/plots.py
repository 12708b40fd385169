"""The plots of a population: counts in bins, so that 200,000 objects cost no more than a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from bokeh.events import SelectionGeometry, Tap
from bokeh.models import BoxSelectTool, ColumnDataSource, CustomJSTickFormatter, FixedTicker, Range1d
from bokeh.plotting import figure
from numpy.typing import NDArray

from gasnet_app import theme

Box = tuple[float, float, float, float]  # x low, x high, y low, y high, as drawn
Mask = NDArray[np.bool_]
FEW = 5000  # up to here each object is a point; above, a picture of counts
BINS = (140, 110)
BARS = 60
POWER = "return Number(Math.pow(10, tick).toPrecision(2)).toString()"


def extent(values: NDArray[np.float64]) -> tuple[float, float]:
    """Range that holds every finite value, with a margin; never empty."""
    good = values[np.isfinite(values)]
    low, high = (float(good.min()), float(good.max())) if good.size else (0.0, 1.0)
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin


class Plot:
    """A figure whose brush is told to `brushed(name, box)` and whose click to `tapped(name, x, y)`."""

    def __init__(self, name: str, x_label: str, y_label: str, dimensions: str = "both", **options: Any) -> None:
        self.name = name
        self.figure = figure(
            name=f"population {name}", tools="", sizing_mode="stretch_both", toolbar_location=None, min_height=120,
            x_axis_label=x_label, y_axis_label=y_label, background_fill_alpha=0, border_fill_alpha=0, min_border=2,
            outline_line_color=None, **options,
        )  # fmt: skip
        brush = BoxSelectTool(dimensions=dimensions)
        self.figure.add_tools(brush)
        self.figure.toolbar.active_drag = brush

    def listen(self, brushed: Callable[[str, Box], None], tapped: Callable[[str, float, float], None]) -> None:
        """Tell of brushes when the pointer is let go, and of clicks."""

        def on_brush(event: SelectionGeometry) -> None:
            g = event.geometry
            if event.final and g.get("type") == "rect":
                ends = [g.get("x0"), g.get("x1"), g.get("y0"), g.get("y1")]
                if self.flat:
                    ends[2:] = [-math.inf, math.inf]
                if all(e is not None for e in ends):
                    x, y = sorted(map(float, ends[:2])), sorted(map(float, ends[2:]))
                    brushed(self.name, (x[0], x[1], y[0], y[1]))

        self.figure.on_event(SelectionGeometry, on_brush)
        self.figure.on_event(Tap, lambda event: tapped(self.name, float(event.x), float(event.y)))

    flat = False

    def draw(self, chosen: Mask | None) -> None:
        """Show what is chosen against all; None: nothing is singled out."""
        raise NotImplementedError

    def within(self, box: Box) -> Mask:
        """(N,) which objects lie in a box, as drawn."""
        raise NotImplementedError

    def apply(self, palette: theme.Palette) -> None:
        """Take a theme's colours; the caller draws again."""
        self.palette = palette
        for axis in self.figure.axis:
            axis.axis_label_text_font = axis.major_label_text_font = theme.FONT
            axis.axis_label_text_font_size, axis.major_label_text_font_size = "11px", "10px"
            axis.axis_label_text_font_style = "normal"
            axis.axis_label_text_color = axis.major_label_text_color = palette.quiet
            axis.axis_line_color = axis.major_tick_line_color = palette.hairline
            axis.minor_tick_line_color = None
        self.figure.grid.grid_line_color, self.figure.grid.grid_line_alpha = palette.hairline, 0.6


class Cloud(Plot):
    """Two quantities against each other, as points or, above FEW objects, as a picture of counts.

    log : which axes ("x", "y", "xy") hold the base-ten logarithm of their values
    """

    def __init__(
        self, name: str, labels: tuple[str, str], x: NDArray[np.float64], y: NDArray[np.float64],
        diagonal: bool = False, log: str = "", flip: bool = False,
    ) -> None:  # fmt: skip
        self.x, self.y = x, y
        low_x, high_x = extent(x)
        low_y, high_y = extent(y)
        super().__init__(name, *labels, x_range=Range1d(*((high_x, low_x) if flip else (low_x, high_x))),
                         y_range=Range1d(low_y, high_y))  # fmt: skip
        for axis, letter in ((self.figure.xaxis, "x"), (self.figure.yaxis, "y")):
            if letter in log:
                axis.formatter = CustomJSTickFormatter(code=POWER)
        self.good = np.isfinite(x) & np.isfinite(y)
        self.points = len(x) <= FEW
        if self.points:
            self.all, self.some = ColumnDataSource({"x": [], "y": []}), ColumnDataSource({"x": [], "y": []})
            self.marks = [
                self.figure.scatter("x", "y", size=4, line_color=None, source=s) for s in (self.all, self.some)
            ]
        else:
            columns = np.clip((x[self.good] - low_x) / (high_x - low_x) * BINS[0], 0, BINS[0] - 1).astype(np.int32)
            rows = np.clip((y[self.good] - low_y) / (high_y - low_y) * BINS[1], 0, BINS[1] - 1).astype(np.int32)
            self.cell = rows * BINS[0] + columns
            self.image = ColumnDataSource({"image": [np.zeros(BINS[::-1], np.uint32)]})
            self.figure.image_rgba("image", x=low_x, y=low_y, dw=high_x - low_x, dh=high_y - low_y, source=self.image)
        if diagonal:
            ends = [min(low_x, low_y), max(high_x, high_y)]
            self.figure.line(ends, ends, line_dash="dashed", line_color="#8c959f", line_width=1)

    def within(self, box: Box) -> Mask:
        """(N,) which objects lie in a box, as drawn."""
        return (self.x >= box[0]) & (self.x <= box[1]) & (self.y >= box[2]) & (self.y <= box[3])

    def nearest(self, x: float, y: float, among: Mask) -> int | None:
        """Row of the object nearest to a place of the plot; None when none is within 2 % of its sides."""
        wide, high = (r.end - r.start for r in (self.figure.x_range, self.figure.y_range))
        far = np.hypot((self.x - x) / wide, (self.y - y) / high)
        far[~(among & self.good)] = np.inf
        here = int(np.argmin(far))
        return here if far[here] < 0.02 else None

    def draw(self, chosen: Mask | None) -> None:
        """Show what is chosen against all."""
        palette = self.palette
        if self.points:
            some = self.good if chosen is None else self.good & chosen
            self.marks[0].glyph.update(fill_color=palette.band, fill_alpha=0.3)
            self.marks[1].glyph.update(fill_color=palette.accent, fill_alpha=0.75)
            rest = self.good & ~some
            self.all.data = {"x": self.x[rest], "y": self.y[rest]}
            self.some.data = {"x": self.x[some], "y": self.y[some]}
            return
        size = BINS[0] * BINS[1]
        all_counts = np.bincount(self.cell, minlength=size)
        some_counts = all_counts if chosen is None else np.bincount(self.cell[chosen[self.good]], minlength=size)
        picture = shade(all_counts, palette.band, 0.5)
        there = some_counts > 0
        picture[there] = shade(some_counts, palette.accent, 1.0)[there]
        self.image.data = {"image": [picture.view(np.uint32).reshape(BINS[::-1])]}


def shade(counts: NDArray[np.int64], colour: str, strongest: float) -> NDArray[np.uint8]:
    """(M, 4) one colour, the more opaque the more objects (logarithm): from a quarter of `strongest` to all of it."""
    top = math.log1p(max(int(counts.max()), 1))
    alpha = np.where(counts > 0, strongest * (0.25 + 0.75 * np.log1p(counts) / top), 0.0)
    picture = np.empty((len(counts), 4), np.uint8)
    picture[:, :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    picture[:, 3] = np.round(255 * alpha)
    return picture


class Bars(Plot):
    """How many objects have which value; names: of classes, when values are their numbers."""

    flat = True

    def __init__(self, name: str, label: str, values: NDArray[np.float64], names: Sequence[str] = ()) -> None:
        self.values = values
        low, high = (-0.5, len(names) - 0.5) if names else extent(values)
        self.edges = np.linspace(low, high, (len(names) or BARS) + 1)
        super().__init__(name, label, "objects", "width", x_range=Range1d(low, high))
        if names:
            name_axis(self.figure.xaxis[0], names)
        gap = 0.1 * (self.edges[1] - self.edges[0]) if names else 0.0
        sides = {"left": self.edges[:-1] + gap, "right": self.edges[1:] - gap}
        none = np.zeros(len(self.edges) - 1)
        self.source = ColumnDataSource({**sides, "all": none, "some": none})
        self.quads = [self.figure.quad("left", "right", key, 0, line_color=None, source=self.source)
                      for key in ("all", "some")]  # fmt: skip
        self.figure.y_range.start = 0

    def within(self, box: Box) -> Mask:
        """(N,) which objects have a value in the box's width."""
        return (self.values >= box[0]) & (self.values <= box[1])

    def draw(self, chosen: Mask | None) -> None:
        """Show how many of each bar are chosen."""
        self.quads[0].glyph.update(fill_color=self.palette.band, fill_alpha=0.45)
        self.quads[1].glyph.update(fill_color=self.palette.accent, fill_alpha=0.85)
        counts = [np.histogram(v[np.isfinite(v)], self.edges)[0] for v in
                  (self.values, self.values if chosen is None else self.values[chosen])]  # fmt: skip
        self.source.data = {**self.source.data, "all": counts[0], "some": counts[1]}


class Confusion(Plot):
    """Classes: the catalogue's in rows, the answers in columns; shade: share of the row, figures: objects."""

    def __init__(self, true: NDArray[np.float64], answer: NDArray[np.float64], names: Sequence[str]) -> None:
        self.true, self.answer, self.n = true, answer, len(names)
        ends = (-0.5, self.n - 0.5)
        super().__init__("confusion", "answer", "catalogue", x_range=Range1d(*ends), y_range=Range1d(*ends[::-1]))
        name_axis(self.figure.xaxis[0], names)
        name_axis(self.figure.yaxis[0], names)
        self.figure.yaxis.major_label_orientation = 0.0
        columns, rows = np.meshgrid(np.arange(self.n), np.arange(self.n))
        self.source = ColumnDataSource(
            {
                "x": columns.ravel(),
                "y": rows.ravel(),
                "share": np.zeros(self.n**2),
                "count": [""] * self.n**2,
                "ink": ["black"] * self.n**2,
            }
        )
        self.cells = self.figure.rect("x", "y", 0.96, 0.96, fill_alpha="share", line_color=None, source=self.source)
        self.figure.text("x", "y", "count", text_color="ink", text_font_size="9px", text_align="center",
                         text_baseline="middle", source=self.source)  # fmt: skip

    def within(self, box: Box) -> Mask:
        """(N,) which objects belong to cells whose middle the box covers."""
        return (self.answer >= box[0]) & (self.answer <= box[1]) & (self.true >= box[2]) & (self.true <= box[3])

    def draw(self, chosen: Mask | None) -> None:
        """Count what is chosen."""
        good = np.isfinite(self.true) & np.isfinite(self.answer) & (True if chosen is None else chosen)
        cell = (self.true[good] * self.n + self.answer[good]).astype(int)
        counts = np.bincount(cell, minlength=self.n**2).reshape(self.n, self.n)
        share = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).ravel()
        self.cells.glyph.fill_color = self.palette.accent
        words = [f"{n:,}" if n else "" for n in counts.ravel()]
        ink = np.where(share > 0.5, self.palette.ground, self.palette.ink)
        self.source.data = {**self.source.data, "share": 0.04 + 0.9 * share, "count": words, "ink": ink}


def name_axis(axis: Any, names: Sequence[str]) -> None:
    """Names at whole numbers."""
    axis.ticker = FixedTicker(ticks=list(range(len(names))))
    axis.major_label_overrides = dict(enumerate(names))
    axis.major_label_orientation = 0.7
