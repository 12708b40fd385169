"""The page of an evaluation: one HTML file that needs no network, drawn from the numbers of evaluation.json alone.

A figure is drawn when it comes into view, so that the page opens at once.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path

from bokeh.embed import json_item
from bokeh.models import Model
from bokeh.resources import INLINE

from gasnet_app.evaluation_page import calibration, classes, redshifts, saliency, tables
from gasnet_app.evaluation_page.panels import FEW, FEWEST, MOST, Document, panel_groups
from gasnet_app.evaluation_page.style import CSS, DRAW


def write_page(document: Document, path: Path) -> None:
    """Write the page of a document of engine.evaluate.document, atomically."""
    part = path.with_suffix(".part")
    part.write_text(page(document), encoding="utf-8")
    os.replace(part, path)


def page(document: Document) -> str:
    """The page as HTML."""
    parts = [part for part in _parts(document) if part[2]]
    contents = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in parts)
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{inner}</section>' for key, title, inner in parts)
    name = html.escape(str(document["card"]["model"]))
    bokeh = "".join(f"<script>{script}</script>" for script in INLINE.js_raw[:1])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}: evaluation</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style>{bokeh}</head><body>'
        f"<header><h1>{name}</h1><p>{html.escape(str(document['data']['what']))}</p>"
        f"{tables.headline(document)}</header><nav>{contents}</nav><main>{body}</main>"
        f"<footer>Every number of this page is in evaluation.json. Scatter plots show at most {MOST:,} objects a panel."
        f"</footer><script>{DRAW}</script></body></html>"
    )


def _parts(document: Document) -> list[tuple[str, str, str]]:
    """(anchor, title, HTML) of each part; what there is nothing for is empty."""
    confusion = document["figures"]["confusion"]
    return [
        ("model", "Model card", tables.card(document)),
        ("quality", "Quality", tables.quality(document)),
        ("classes", "Classes", _classes(confusion, document)),
        ("redshifts", "Redshifts", _redshifts(document)),
        ("uncertainty", "Uncertainty", _uncertainty(document)),
        ("dispersion", "Velocity dispersion", _dispersion(document)),
        ("saliency", "Saliency", _saliency(document)),
        ("misses", "Misses", tables.line_confusions(document) + tables.misses(document)),
        ("left-out", "Left out", tables.left_out(document)),
    ]


def _classes(confusion: Document, document: Document) -> str:
    matrices = [classes.confusion(confusion["classes"], 46)]
    if len(confusion["classes"]["names"]) != len(confusion["types"]["names"]):
        matrices.append(classes.confusion(confusion["types"], 74))
    said = "Share of the true class in percent, objects below; rows are the truth (the paper has it in columns)."
    return _figures(matrices, f"{said} Paper Figs 12, 19, 22; star, galaxy, quasar: Fig. B1.", "loose") + _figures(
        [classes.accuracy_by_snr(document)],
        f"Accuracy in 14 bins of SNR, those of {FEW} objects or more, with binomial errors. Paper Fig. C1.",
        "wide",
    )  # fmt: skip


def _redshifts(document: Document) -> str:
    if not panel_groups(document):
        return ""
    return (
        _figures(
            redshifts.redshifts(document),
            "Redshift against the truth, with σz; above, mean residual and mean σz in ten bins. It is the members' "
            "mean, or the heaviest peak of p(z) where that lies elsewhere, of the likeliest class of the true type. "
            f"Groups of fewer than {FEWEST} objects are in the table only. Paper Figs 15, 21, 23.",
        )
        + "<details><summary>Point estimates: the first member alone (paper Fig. 13)</summary>"
        + _figures(redshifts.redshifts(document, point=True), "Error bars above: MAE in the bin. Paper Fig. 13.")
        + "</details>"
        + _figures(
            redshifts.bias_by_snr(document),
            "Bias |ln((1 + z) / (1 + z′))| against redshift by SNR; dashed: the good-fraction window. Paper Fig. 14.",
        )
        + _figures(redshifts.t_values(document), "t = |z − z′| / σz and the share up to 3. Paper Fig. 16.")
        + _figures(
            redshifts.sigma_by_snr(document),
            "Error against SNR; where the median σz lies under the median error, members are too sure. Paper Fig. 17.",
        )
        + _figures(
            redshifts.robust(document),
            "Robust: σz at most the validation MAE of the class, known without the truth. "
            "Dashed: the good-fraction window; dotted: the MAE. Paper Fig. 18.",
        )
    )


def _uncertainty(document: Document) -> str:
    if not document["figures"]["pit"]:
        return _figures([calibration.reliability(document)], "Answers right against the probability given to them.")
    return (
        _figures(
            calibration.pit(document),
            "Probability integral transform of p(z): flat when p(z) is calibrated, a hill when it is too wide, a "
            "valley when it is too narrow. Band: one sigma of a flat one.",
        )
        + _figures(
            [calibration.coverage(document), calibration.reliability(document)],
            "Reliability: on the dashed line, probabilities mean what they say.",
        )
        + _figures(
            calibration.purity(document),
            "What throwing out the doubtful buys; right: type and redshift. Dots: the flags that a catalogue carries.",
        )
    )


def _dispersion(document: Document) -> str:
    return _figures(
        redshifts.velocity_dispersion(document),
        f"σz and accuracy of galaxies against velocity dispersion, up to 450 km/s; bins of {FEW} objects or more. "
        "Paper Fig. E1.",
    )


def _saliency(document: Document) -> str:
    return _figures(
        saliency.gallery(document),
        "Flux, and absolute gradients of redshift and class probability with respect to it (running mean of 5 "
        "pixels), each over its largest; grey lines: strong lines at the true redshift. Paper Fig. D1.",
        "wide-two",
    )


def _figures(models: Sequence[Model], caption: str, layout: str = "") -> str:
    if not models:
        return ""
    # json_item's text lies in a script element, which a "</" in it would end.
    items = [json.dumps(json_item(model), separators=(",", ":"), ensure_ascii=False) for model in models]
    safe = [item.replace("</", "<\\/") for item in items]
    inner = "".join(f'<div class="plot"><script type="application/json">{item}</script></div>' for item in safe)
    return f'<figure><div class="grid {layout}">{inner}</div><figcaption>{caption}</figcaption></figure>'
