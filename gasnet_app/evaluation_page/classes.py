"""Figures of the classification: confusion matrices, accuracy against SNR (paper Figs 12, 19, 22, B1, C1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, Model, Range1d

from gasnet_app.evaluation_page.panels import FEW, TYPE_COLOURS, Document, legend, plot, points
from gasnet_app.theme import LIGHT


def confusion(table: Mapping[str, Any], cell: int) -> Model:
    """Confusion matrix: share of the true class in percent, the count below it; truth in rows."""
    names, counts = table["names"], np.array(table["counts"])
    total = counts.sum(axis=1, keepdims=True)
    part = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    rows, columns = np.nonzero(counts + 1)
    data = {
        "true": [names[r] for r in rows],
        "predicted": [names[c] for c in columns],
        "part": part[rows, columns],
        "shade": 0.04 + 0.96 * part[rows, columns] ** 0.7,
        "percent": [f"{100 * part[r, c]:.1f}" if counts[r, c] else "" for r, c in zip(rows, columns, strict=True)],
        "count": [f"{n}" if n else "" for n in counts[rows, columns]],
        "ink": ["#ffffff" if v > 0.4 else LIGHT.ink for v in part[rows, columns]],
    }  # fmt: skip
    source = ColumnDataSource(data)
    side = cell * len(names)
    p = plot("", "answer", "truth", x_range=names, y_range=names[::-1], frame_width=side, frame_height=side)
    p.sizing_mode, p.height = "fixed", side + 150
    p.width = side + 190
    p.rect("predicted", "true", 0.97, 0.97, source=source, fill_color=LIGHT.accent, fill_alpha="shade", line_color=None)
    style = {"text_align": "center", "text_color": "ink", "text_font": value("system-ui"), "source": source}
    p.text("predicted", "true", "percent", y_offset=2, text_baseline="bottom", text_font_size="11px", **style)
    p.text(
        "predicted", "true", "count", y_offset=4, text_baseline="top", text_font_size="9px", text_alpha=0.75, **style
    )
    p.grid.grid_line_color, p.xaxis.major_label_orientation = None, math.pi / 4
    p.axis.axis_line_color = p.axis.major_tick_line_color = None
    return p


def accuracy_by_snr(document: Document) -> Model:
    """Accuracy in bins of SNR, over all classes and per type."""
    bins = [b for line in document["figures"]["accuracy_by_snr"] for b in line["bins"]]
    lowest = min((b["accuracy"] for b in bins if b["n"] >= FEW), default=0.0)
    p = plot("", "median SNR per pixel", "accuracy", height=340, y_range=Range1d(max(0, lowest - 0.2), 1.03))
    items = [
        (f"{line['name']}", points(p, line["bins"], "accuracy", TYPE_COLOURS[line["name"]]))
        for line in document["figures"]["accuracy_by_snr"]
    ]
    legend(p, items, columns=4)
    return p
