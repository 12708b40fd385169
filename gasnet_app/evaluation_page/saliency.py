"""The saliency gallery: where class and redshift come from, pixel by pixel (paper Fig. D1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, LabelSet, Model, Range1d, Span

from engine import load_lines
from gasnet_app.evaluation_page.panels import Document, class_colours, legend, plot
from gasnet_app.theme import LIGHT

MARKED = (
    "Lyα", "C IV 1549", "C III] 1909", "Mg II 2799", "[O II] 3727", "Ca II K", "Hδ", "G band", "Hβ", "[O III] 5008",
    "Mg I b", "Na I D2", "Hα",
)  # fmt: skip


SMOOTH = 5  # pixels over which the gradients are averaged


def gallery(document: Document) -> list[Model]:
    """A panel per example: flux, |dz/dflux| shifted by -1 and |dP/dflux| shifted by -2, each scaled to its largest."""
    colours = class_colours(document)
    return [_example(example, colours[example["class"]]) for example in document["gallery"]]


def _example(example: Mapping[str, Any], colour: str) -> Model:
    wave = np.array(example["wave"], dtype=np.float32)
    flux = _scaled(np.array(example["flux"], dtype=float))
    dz, dp = (_scaled(np.convolve(np.array(example[key]), np.ones(SMOOTH) / SMOOTH, "same")) for key in ("dz", "dp"))
    p = plot(f"{example['class']}   z {example['z']:.4f}   SNR {example['snr']:.1f}   {example['name']}",
             "observed wavelength, Å", "", height=320, y_range=Range1d(-2.1, 1.75))  # fmt: skip
    low, high = float(wave[0]), float(wave[-1])
    p.x_range = Range1d(low, high)
    lines = [line for line in load_lines() if line.label in MARKED and low < line.wave * (1 + example["z"]) < high]
    at = [line.wave * (1 + example["z"]) for line in lines]
    for position in at:
        p.add_layout(
            Span(location=position, dimension="height", line_color=LIGHT.hairline, line_width=1, level="underlay")
        )
    names = ColumnDataSource({"x": at, "y": [1.72] * len(at), "text": [line.name for line in lines]})
    p.add_layout(LabelSet(x="x", y="y", text="text", source=names, angle=np.pi / 2, x_offset=5, text_align="right",
                          text_font=value("system-ui"), text_font_size="9px", text_color=LIGHT.quiet))  # fmt: skip
    items = []
    for words, values, shift, ink in (
        ("flux", flux, 0, LIGHT.ink), ("|∂z/∂flux|", dz, -1, colour), ("|∂P/∂flux|", dp, -2, LIGHT.quiet),
    ):  # fmt: skip
        items.append((words, [p.line(wave, (values + shift).astype(np.float32), color=ink, line_width=0.8)]))
    p.yaxis.visible = False
    legend(p, items, columns=3)
    return p


def _scaled(values: np.ndarray) -> np.ndarray:
    """Over the 99.9th percentile, so that one spike does not flatten the rest; clipped to 1.1."""
    top = float(np.nanpercentile(values, 99.9)) or 1.0
    return np.asarray(np.clip(values / top, -0.3, 1.1))
