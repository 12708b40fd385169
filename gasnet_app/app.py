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
from gasnet_app.model_view import ModelView
from gasnet_app.objects_view import ObjectsView
from gasnet_app.redshift_view import RedshiftView
from gasnet_app.spectrum_view import SpectrumView
from gasnet_app.state import Explorer
from gasnet_app.worker import Worker, first_survey, shared_worker

HEADER = 40
BAR = {
    ".MuiAppBar-root": {
        "bgcolor": "primary.contrastText",
        "color": "primary.main",
        "boxShadow": "none",
        "backgroundImage": "none",
    },
    ".MuiToolbar-root": {"minHeight": f"{HEADER}px !important", "height": f"{HEADER}px"},
    ".MuiToolbar-root a": {"color": "inherit", "textDecoration": "none"},
    ".MuiTypography-root.title": {"fontSize": theme.LARGE, "color": "inherit"},
}


def build_page(worker: Worker | None = None) -> pmui.Page:
    """A page for one session. Raises nothing for a missing model: the page says what is missing."""
    pn.extension("filedropper", "tabulator", notifications=True, reconnect=True, respect_explicit_sizing=True)
    hv.extension("bokeh")
    explorer = Explorer(worker or shared_worker(first_survey()))
    lines = load_lines()
    marker = Span(location=0, dimension="height", line_width=1.5, line_dash="4 3", name="marker")
    spectrum = SpectrumView(explorer, lines, marker)
    redshift = RedshiftView(explorer, lines, marker)
    objects = ObjectsView(explorer)
    model = ModelView(explorer)
    views = (objects, spectrum, redshift)

    help_dialog = pmui.Dialog(_help(), title="Keys", close_on_click=True)
    keyboard = Keyboard(explorer, lambda: help_dialog.param.update(open=not help_dialog.open))
    body = pn.Row(
        objects.view, spectrum.view, redshift.view,
        styles={"height": f"calc(100vh - {HEADER + 8}px)"}, sizing_mode="stretch_both",
    )  # fmt: skip
    page = pmui.Page(
        title="GaSNet Explorer", main=[body, keyboard, help_dialog, model.dialog], theme_config=theme.material(),
        header=[pn.Spacer(sizing_mode="stretch_width"), model.view],
        busy_indicator=None, sx=BAR,
    )  # fmt: skip
    page.param.watch(lambda event: _apply(views, event.new), "dark_theme")
    _apply(views, page.dark_theme)
    pn.state.onload(_samples(explorer))
    pn.state.on_session_destroyed(lambda _: explorer.close())
    return page


def _samples(explorer: Explorer) -> Any:
    async def show() -> None:
        """The samples, so that the page shows something worth looking at."""
        await explorer.load(sample_paths())

    return show


def _apply(views: tuple[Any, ...], dark: bool) -> None:
    palette = theme.palette(dark)
    for view in views:
        view.apply(palette)


def _help() -> pn.pane.HTML:
    rows = "".join(f"<tr><td><kbd>{keys}</kbd></td><td>{what}</td></tr>" for keys, what in HELP)
    return theme.html(f"<table>{rows}</table>")
