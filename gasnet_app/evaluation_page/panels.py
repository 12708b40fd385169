"""What the panels share: type, hairlines, legends, colours, and the objects of a document as Bokeh sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Legend, LegendItem, Span
from bokeh.plotting import figure

from gasnet_app.theme import LIGHT, hues

Document = Mapping[str, Any]
MOST = 2000  # points drawn in one panel; evaluation.json has them all
TYPE_COLOURS = {"all": LIGHT.ink, "STAR": "#E69F00", "GALAXY": "#0072B2", "QSO": "#D55E00"}
SNR_COLOURS = ("#f2a65a", "#5b8fd6", "#1f2f5c")  # faint to bright
FEWEST = 3  # objects of a class that get panels of their own
FEW = 5  # objects in a bin of which a fraction is drawn
FLOOR = 1e-6  # a bias of less is drawn here: a logarithm has no 0


def panel_groups(document: Document) -> list[Mapping[str, Any]]:
    """The groups of figures.redshift that are large enough for panels of their own."""
    return [group for group in document["figures"]["redshift"] if group["n"] >= FEWEST]


def class_colours(document: Document) -> dict[str, str]:
    """Colour of each class and group, as the explorer has it."""
    colours = hues([(c["name"], c["spectype"]) for c in document["classes"]])
    for group in document["figures"]["redshift"]:
        colours.setdefault(group["name"], TYPE_COLOURS[group["spectype"]])
    return colours


def plot(title: str, x: str, y: str, height: int = 280, **options: Any) -> figure:
    """An empty panel in the page's type: hairlines, no frame, tools that show when pointed at."""
    p = figure(
        title=title, height=height, sizing_mode="stretch_width", tools="box_zoom,reset", toolbar_location="right",
        x_axis_label=x, y_axis_label=y, background_fill_alpha=0, border_fill_alpha=0, **options,
    )  # fmt: skip
    p.toolbar.autohide, p.toolbar.logo, p.toolbar_inner = True, None, True
    p.outline_line_color = None
    p.title.text_font, p.title.text_font_size, p.title.text_font_style = "system-ui", "12px", "normal"
    p.title.text_color = LIGHT.ink
    for axis in p.axis:
        axis.axis_label_text_font = axis.major_label_text_font = "system-ui"
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "11px", "10px"
        axis.axis_label_text_font_style, axis.axis_label_text_color = "normal", LIGHT.quiet
        axis.major_label_text_color, axis.axis_line_color = LIGHT.quiet, LIGHT.hairline
        axis.major_tick_line_color, axis.minor_tick_line_color = LIGHT.hairline, None
    p.grid.grid_line_color, p.grid.grid_line_alpha = LIGHT.hairline, 0.5
    return p


def legend(p: figure, items: Sequence[tuple[str, Sequence[Any]]], columns: int = 1) -> None:
    """Lines of (words, glyphs) below a panel; what nothing is drawn of is left out."""
    drawn = [(label, [g for g in glyphs if any(map(len, g.data_source.data.values()))]) for label, glyphs in items]
    below = Legend(
        items=[LegendItem(label=label, renderers=glyphs) for label, glyphs in drawn if glyphs], ncols=columns,
        location="left", border_line_color=None, background_fill_alpha=0, label_text_font="system-ui",
        label_text_font_size="11px", label_text_color=LIGHT.ink, padding=2, margin=0, glyph_height=12,
        spacing=2 if columns == 1 else 12,
        glyph_width=18, label_height=14,
    )  # fmt: skip
    p.add_layout(below, "below")


def level(p: figure, at: float, dimension: str = "width", dash: str = "dashed", colour: str = LIGHT.quiet) -> None:
    """A straight line across a panel."""
    p.add_layout(Span(location=at, dimension=dimension, line_dash=dash, line_color=colour, line_width=1))


def hover(p: figure, glyphs: Sequence[Any]) -> None:
    """Tell which object a point is."""
    told = [("", "@name"), ("z", "@z{0.0000}"), ("z'", "@z_pred{0.0000} ± @zerr{0.0e+0}"), ("SNR", "@snr{0.0}")]
    p.add_tools(HoverTool(renderers=list(glyphs), tooltips=told, point_policy="snap_to_data"))


def share(value: float | None) -> str:
    """A fraction in three digits."""
    return "–" if value is None else f"{value:.3f}"


class Cloud:
    """The objects of one group as Bokeh sources: those of a mask, thinned to MOST."""

    KEYS = ("name", "z", "z_pred", "zerr", "snr", "vdisp")

    def __init__(self, document: Document) -> None:
        self.columns = {key: np.array(values) for key, values in document["objects"].items()}
        for key in ("z", "z_pred", "zerr", "z_point", "snr", "bias", "t", "error", "vdisp"):
            self.columns[key] = np.array(document["objects"][key], dtype=np.float32)
        self.names = [c["name"] for c in document["classes"]]

    def of(self, group: Mapping[str, Any]) -> np.ndarray:
        """(N,) mask of the objects of one group of figures.redshift."""
        here = self.columns["spectype"] == group["spectype"]
        label = self.columns["label"]
        return here & (label == self.names.index(group["name"]) if group["name"] in self.names else label < 0)

    def source(self, mask: np.ndarray, **more: np.ndarray) -> ColumnDataSource:
        """Objects of a mask for a scatter plot; more: further columns for all objects."""
        index = np.flatnonzero(mask)
        if index.size > MOST:
            index = np.sort(np.random.default_rng(0).choice(index, MOST, replace=False))
        data = {key: self.columns[key][index] for key in self.KEYS}
        return ColumnDataSource(data | {key: values[index].astype(np.float32) for key, values in more.items()})


def size_for(n: int) -> float:
    """Size of a point: few may be large."""
    return 3.5 if n > 300 else 4.5 if n > 60 else 6.0


def points(p: figure, bins: Sequence[Mapping[str, Any]], key: str, colour: str) -> list[Any]:
    """Binned fractions of FEW objects or more, with their errors, joined by a line."""
    bins = [b for b in bins if b["n"] >= FEW]
    x = np.array([0.5 * (b["low"] + b["high"]) for b in bins])
    y, error = (np.array([b[k] for b in bins], dtype=float) for k in (key, "error"))
    p.segment(x, np.clip(y - error, 0, 1), x, np.clip(y + error, 0, 1), color=colour, alpha=0.6)
    return [p.line(x, y, color=colour, line_width=1.5), p.scatter(x, y, color=colour, size=5)]
