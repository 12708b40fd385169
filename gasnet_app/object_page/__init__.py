"""The page of one object: one HTML file with the spectrum, what was answered and what it rests on, without a server.

Everything lies in the file, so that it opens from a disk, without network and without Python; lines, line sets,
smoothing and peaks of p(z) answer in the browser alone.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from pathlib import Path

from bokeh.core.json_encoder import serialize_json
from bokeh.embed.util import OutputDocumentFor, standalone_docs_json_and_render_items
from bokeh.resources import Resources

from engine import CrossCheck, Line, Prediction, Saliency, Spectrum, load_lines, solutions, why
from gasnet_app.class_plot import class_rows
from gasnet_app.object_page.plots import Plots
from gasnet_app.object_page.style import CSS, SCRIPT, THEME
from gasnet_app.redshift_view import flags_html, what_html, where_html
from gasnet_app.theme import hues
from gasnet_app.words import fit_words, headline, short_class, z_text

LONGEST_NAME = 100
BOKEH = Resources(mode="inline", components=["bokeh", "bokeh-widgets"])


def file_name(object_id: str, taken: Sequence[str] = ()) -> str:
    """A file name for an object's page: letters, digits, dots, dashes and underlines of its id, and never one of
    `taken`, told apart as file systems that know no case do."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", object_id).strip("._-")[:LONGEST_NAME] or "object"
    known, name, n = {t.casefold() for t in taken}, f"{stem}.html", 1
    while name.casefold() in known:
        n += 1
        name = f"{stem}-{n}.html"
    return name


def write_page(
    path: Path, spectrum: Spectrum, prediction: Prediction, saliency: Saliency | None, check: CrossCheck | None
) -> None:
    """Write the page of an object, atomically."""
    part = path.with_suffix(".part")
    part.write_text(page(spectrum, prediction, saliency, check), encoding="utf-8")
    os.replace(part, path)


def page(
    spectrum: Spectrum, prediction: Prediction, saliency: Saliency | None = None, check: CrossCheck | None = None
) -> str:
    """The page as HTML. What comes from a file is text in it, never markup."""
    lines = load_lines()
    plots = Plots(spectrum, prediction, saliency, check, lines)
    document, places, item = _embedded(plots)
    name, *facts = (html.escape(word) for word in headline(spectrum))
    model = html.escape(prediction.model)
    bokeh = "".join(f"<script>{raw}</script>" for raw in BOKEH.js_raw)
    seen = "".join(f"<span>{fact}</span>" for fact in facts)
    parts = (
        ("What", what_html(prediction) + _bars(prediction)),
        ("Where", where_html(prediction, lines) + _fit(check) + places.get("p(z)", "") + _rivals(prediction, lines)),
        ("Why", _why(spectrum, prediction, saliency, lines)),
        ("Flags", flags_html(prediction, spectrum)),
    )
    answer = "".join(f'<section><div class="heading">{title}</div>{inner}</section>' for title, inner in parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{name}: {html.escape(prediction.class_name)}, {model}</title>"
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style>{bokeh}</head><body>'
        f'<header><h1>{name}</h1><div class="facts">{seen}</div><div class="model">{model}</div></header>'
        f'<main><div class="spectrum"><div class="plots">{places["plots"]}</div>'
        f'<div class="controls">{places["controls"]}</div></div><aside>{answer}</aside></main>'
        f'<script type="application/json" id="document">{document}</script>'
        f'<script type="application/json" id="item">{item}</script><script>{SCRIPT}</script></body></html>'
    )


def _embedded(plots: Plots) -> tuple[str, dict[str, str], str]:
    """(JSON of the document, the place in the page of each root by name, JSON of where Bokeh finds the places).

    Bokeh's own page writers would add the scripts of every package that is loaded, Panel's too, which ask a server.
    """
    with OutputDocumentFor(plots.roots, apply_theme=THEME):
        documents, (item,) = standalone_docs_json_and_render_items(plots.roots, suppress_callback_warning=True)
    ids = {str(root.id): str(root.elementid) for root in item.roots}
    places = {str(root.name): f'<div id="{ids[root.id]}" class="root"></div>' for root in plots.roots}
    # "<" stands in strings alone, and as \u003c nothing in them can end the script element that holds the JSON.
    document, where = (serialize_json(part).replace("<", "\\u003c") for part in (documents, [item.to_json()]))
    return document, places, where


def _bars(prediction: Prediction) -> str:
    """The most probable classes as bars, a tick for each member's probability."""
    colours = hues([(c.name, c.spectype) for c in prediction.survey.classes])
    rows = []
    for name, p, members in class_rows(prediction):
        ticks = "".join(f'<i style="left:{100 * float(m):.1f}%"></i>' for m in members)
        rows.append(
            f'<div class="name">{html.escape(short_class(name))}</div><div class="bar">'
            f'<b style="width:{100 * p:.1f}%;background:{colours[name]}"></b>{ticks}</div><div>{p:.2f}</div>'
        )
    return f'<div class="bars">{"".join(rows)}</div>'


def _fit(check: CrossCheck | None) -> str:
    return "" if check is None else f'<div class="quiet">{html.escape(fit_words(check))}</div>'


def _rivals(prediction: Prediction, lines: Sequence[Line]) -> str:
    """A button for the answer's own z and for every other peak of p(z), to put the lines there."""
    own = f'<button data-z="{prediction.best_z:.9f}">z = {z_text(prediction.best_z, prediction.best_zerr)}</button>'
    rows = [f"<li>{own} the answer</li>"]
    for rival in solutions(prediction, lines)[1:]:
        weight = f"{100 * rival.weight:.0f} %" if rival.weight >= 0.01 else "under 1 %"
        words = f"{weight}, {rival.members} of {len(prediction.p_members)} members; {rival.words}"
        rows.append(f'<li><button data-z="{rival.z:.9f}">z = {rival.z:.4f}</button> {html.escape(words)}</li>')
    return f'<ul class="rivals">{"".join(rows)}</ul>'


def _why(spectrum: Spectrum, prediction: Prediction, found: Saliency | None, lines: Sequence[Line]) -> str:
    words = why(spectrum, prediction, found, lines) if found is not None else "Not traced back."
    return f'<div class="why">{html.escape(words)}</div>'
