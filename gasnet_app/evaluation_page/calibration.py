"""Figures of honesty: PIT, coverage of p(z), reliability of class probabilities, purity of the robust flags."""

from __future__ import annotations

import numpy as np
from bokeh.models import Model, Range1d

from gasnet_app.evaluation_page.panels import TYPE_COLOURS, Document, legend, plot, share
from gasnet_app.theme import LIGHT


def pit(document: Document) -> list[Model]:
    """Histogram of the PIT values of each type, beside what a calibrated p(z) gives."""
    made = []
    for line in document["figures"]["pit"]:
        p = plot(f"{line['name']}   n {line['n']}   KS {line['ks']:.3f}", "PIT", "objects")
        edges, counts = np.array(line["edges"]), np.array(line["counts"])
        expected = line["n"] / counts.size
        spread = np.sqrt(expected * (1 - 1 / counts.size))
        p.quad(left=0, right=1, bottom=expected - spread, top=expected + spread, color=LIGHT.band, alpha=0.3)
        p.quad(left=edges[:-1], right=edges[1:], bottom=0, top=counts, line_color=LIGHT.ground,
               fill_color=TYPE_COLOURS[line["name"]], fill_alpha=0.75)  # fmt: skip
        p.line([0, 1], [expected, expected], color=LIGHT.ink, line_dash="dashed")
        p.y_range.start = 0
        made.append(p)
    return made


def _square(title: str, x: str, y: str) -> Model:
    p = plot(title, x, y, height=320, x_range=Range1d(0, 1.02), y_range=Range1d(0, 1.02))
    p.line([0, 1], [0, 1], color=LIGHT.quiet, line_dash="dashed")
    return p


def coverage(document: Document) -> Model:
    """How often the interval of p(z) of a given probability holds the true redshift."""
    p = _square("redshift: credible intervals of p(z)", "probability of the interval", "true redshift inside")
    items = []
    for line in document["figures"]["coverage"]:
        colour = TYPE_COLOURS[line["name"]]
        told = dict(zip(line["level"], line["covered"], strict=True))
        glyphs = [
            p.line(line["level"], line["covered"], color=colour, line_width=1.5),
            p.scatter(line["level"], line["covered"], color=colour, size=5),
        ]
        items.append((f"{line['name']}: 68 % → {share(told[0.68])}, 95 % → {share(told[0.95])}", glyphs))
    legend(p, items)
    return p


def reliability(document: Document) -> Model:
    """How often the answer is right, against the probability given to it."""
    p = _square("class and type", "probability of the answer", "answer right")
    items = []
    for line, colour in zip(document["figures"]["reliability"], (LIGHT.accent, LIGHT.rival), strict=False):
        x, y, error = (np.array([b[key] for b in line["bins"]]) for key in ("given", "right", "error"))
        p.segment(x, np.clip(y - error, 0, 1), x, np.clip(y + error, 0, 1), color=colour, alpha=0.6)
        size = 4 + 2.5 * np.log10([b["n"] for b in line["bins"]])
        glyphs = [p.line(x, y, color=colour, alpha=0.35), p.scatter(x, y, color=colour, size=size)]
        items.append((f"{line['name']}: ECE {line['ece']:.3f} (n {line['n']})", glyphs))
    legend(p, items)
    return p


RULES = (
    ("sigma", "paper", "σz over MAE", "the paper's rule", LIGHT.accent, "solid"),
    ("confidence", "ours", "confidence", "reliable", LIGHT.rival, "dashed"),
)


def purity(document: Document) -> list[Model]:
    """Right answers among what is kept against the share of right answers kept, for two rules."""
    made = []
    for line in document["figures"]["purity"]:
        low = min(v for rule in line["rules"].values() for v in rule["purity"])
        p = plot(f"{line['name']}   n {line['n']}", "completeness: right answers kept", "purity: right among the kept",
                 height=320, x_range=Range1d(0.5, 1.01),
                 y_range=Range1d(low - 0.15 * (1 - low) - 1e-3, 1 + 0.08 * (1 - low) + 1e-3))  # fmt: skip
        items = []
        for rule, point, words, flag, colour, dash in RULES:
            curve, at = line["rules"][rule], line[point]
            glyph = p.line(curve["completeness"], curve["purity"], color=colour, line_width=2, line_dash=dash)
            items.append((words, [glyph]))
            if at:
                dot = p.scatter([at["completeness"]], [at["purity"]], color=colour, size=9)
                items.append((f"{flag}: keeps {share(at['kept'])}, catches {share(at['caught'])} of the wrong", [dot]))
        legend(p, items)
        made.append(p)
    return made
