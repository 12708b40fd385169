"""Puts the views into the page. One page per session; the engine is shared by all."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import panel as pn
import panel_material_ui as pmui
from bokeh.models import Span

from engine import load_lines
from gasnet_app import theme
from gasnet_app.intake import sample_paths
from gasnet_app.keys import HELP, Keyboard
from gasnet_app.objects_view import ObjectsView
from gasnet_app.redshift_view import RedshiftView
from gasnet_app.spectrum_view import SpectrumView
from gasnet_app.state import Explorer
from gasnet_app.worker import Worker, shared_worker

HEADER = 40
CSS = f"""
:host, body {{ font-size: {theme.BODY}; font-variant-numeric: tabular-nums; }}
.heading {{ font-size: {theme.SMALL}; letter-spacing: .06em; text-transform: uppercase; opacity: .65; margin: 6px 0 2px; }}
"""
TEXT_CSS = f"""
:host {{ font-size: {theme.BODY}; font-variant-numeric: tabular-nums; color: var(--panel-on-background-color); line-height: 1.35; }}
.heading {{ font-size: {theme.SMALL}; letter-spacing: .06em; text-transform: uppercase; opacity: .65; margin: 8px 0 2px; }}
.big {{ font-size: {theme.LARGE}; font-weight: 600; }}
.quiet {{ opacity: .7; font-size: {theme.SMALL}; }}
.bad, .unstable {{ color: var(--danger-ink, #b3261e); }}
ul {{ margin: 0; padding-left: 16px; }}
ul.failures {{ list-style: none; padding: 0; font-size: {theme.SMALL}; }}
ul.failures li {{ margin-bottom: 4px; overflow-wrap: anywhere; }}
"""


def build_page(worker: Worker | None = None) -> pmui.Page:
    """A page for one session. Raises nothing for a missing model: the page says what is missing."""
    pn.extension("filedropper", "tabulator", notifications=True, reconnect=True)
    hv.extension("bokeh")
    explorer = Explorer(worker or shared_worker())
    lines = load_lines()
    marker = Span(location=0, dimension="height", line_width=1.5, line_dash="4 3", name="marker")
    spectrum = SpectrumView(explorer, lines, marker)
    redshift = RedshiftView(explorer, lines, marker)
    objects = ObjectsView(explorer)
    views = (objects, spectrum, redshift)

    help_dialog = pmui.Dialog(_help(), title="Keys", close_on_click=True)
    keyboard = Keyboard(explorer, lambda: help_dialog.param.update(open=not help_dialog.open))
    body = pn.Row(
        pn.Column(objects.view, width=290, sizing_mode="stretch_height"),
        spectrum.view,
        pn.Column(redshift.view, width=300, sizing_mode="stretch_height"),
        keyboard, help_dialog,
        styles={"height": f"calc(100vh - {HEADER + 12}px)"}, sizing_mode="stretch_both",
    )  # fmt: skip
    page = pmui.Page(title="GaSNet Explorer", main=[body], theme_config=theme.material(), busy_indicator=None)
    page.param.watch(lambda event: _apply(views, event.new), "dark_theme")
    _apply(views, page.dark_theme)
    pn.state.onload(_first(explorer))
    pn.state.on_session_destroyed(lambda _: explorer.close())
    return page


def _first(explorer: Explorer) -> Any:
    async def show() -> None:
        """The first sample, so that the page shows something worth looking at."""
        await explorer.load(sample_paths()[:1])

    return show


def _apply(views: tuple[Any, ...], dark: bool) -> None:
    palette = theme.palette(dark)
    for view in views:
        view.apply(palette)


def _help() -> pn.pane.HTML:
    rows = "".join(f"<tr><td><kbd>{keys}</kbd></td><td>{what}</td></tr>" for keys, what in HELP)
    return pn.pane.HTML(f"<table>{rows}</table>")
