"""The picture of p(z): the ensemble's and every member's curve, peaks, and a marker at the z that is shown."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, PanTool, Range1d, ResetTool, Span, WheelZoomTool
from bokeh.plotting import figure

from engine import Prediction
from gasnet_app.theme import Palette


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
        "pdf_members": np.concatenate([np.r_[m, np.nan] for m in members]) / top
        if len(members)
        else np.array([np.nan]),
    }


class PdfPlot:
    """p(z) of the most probable class; not visible for a star. marker : the vertical line at z, which others move"""

    def __init__(self, marker: Span) -> None:
        self.marker = marker
        self.sources = {key: ColumnDataSource({"z": [], "p": []}) for key in ("ensemble", "members", "peaks")}
        fig = figure(height=170, sizing_mode="stretch_width", x_range=Range1d(0, 1), y_range=Range1d(0, 1.2),
                     tools=[PanTool(dimensions="width"), zoom := WheelZoomTool(dimensions="width"), ResetTool()],
                     toolbar_location=None, frame_align=False, y_axis_location=None, min_border_left=8,
                     min_border_right=12, name="p(z)")  # fmt: skip
        fig.toolbar.active_scroll = zoom
        fig.xaxis.axis_label, fig.xaxis.axis_label_standoff = "z", 2
        fig.grid.visible = False
        fig.outline_line_color = None
        self.members = fig.line("z", "p", source=self.sources["members"], line_width=1, line_alpha=0.7)
        self.ensemble = fig.line("z", "p", source=self.sources["ensemble"], line_width=2)
        self.peaks = fig.scatter("z", "p", source=self.sources["peaks"], marker="inverted_triangle", size=10)
        fig.add_layout(marker)
        self.figure = fig

    def show(self, found: Prediction | None) -> None:
        """Draw the p(z) of a prediction, or nothing."""
        row = None if found is None else found.row(found.best)
        self.figure.visible = row is not None
        if found is None or row is None:
            return
        columns = pdf_columns(found, row)
        self.sources["ensemble"].data = {"z": columns["z"], "p": columns["pdf"]}
        self.sources["members"].data = {"z": columns["z_members"], "p": columns["pdf_members"]}
        z = [peak.z for peak in found.peaks(row)]
        self.sources["peaks"].data = {"z": z, "p": np.interp(z, columns["z"], columns["pdf"]) + 0.06}
        start, end = pdf_window(found, row)
        self.figure.x_range.update(start=start, end=end, reset_start=start, reset_end=end)

    def apply(self, palette: Palette) -> None:
        """Draw in another theme's colours."""
        self.marker.line_color = self.ensemble.glyph.line_color = palette.accent
        self.members.glyph.line_color = palette.band
        self.peaks.glyph.line_color = self.peaks.glyph.fill_color = palette.rival
