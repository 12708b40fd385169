"""Puts the views into the page. One page per session; the engine is shared by all."""

from __future__ import annotations

import functools

import panel as pn
import panel_material_ui as pmui
from bokeh.models import Span

from engine import load_lines
from gasnet_app import theme
from gasnet_app.address import Address
from gasnet_app.admin import AdminView
from gasnet_app.find_view import FindView
from gasnet_app.inspection import InspectView, Sitting
from gasnet_app.intake import first_catalogue, sample_paths
from gasnet_app.keys import HELP, Keyboard
from gasnet_app.model_view import ModelView
from gasnet_app.objects_view import ObjectsView
from gasnet_app.pages import Page, Pages
from gasnet_app.population import PopulationView
from gasnet_app.quiet_tables import QuietTables
from gasnet_app.redshift_view import RedshiftView
from gasnet_app.spectrum import SpectrumView
from gasnet_app.state import Explorer
from gasnet_app.why import WhyView
from gasnet_app.worker import Worker, first_survey, shared_worker

HEADER = 40
PAGES = {
    "explore": Page("Explore", ("objects", "spectrum", "redshift")),
    "why": Page("Why", ("why", "spectrum", "redshift")),
    "inspect": Page("Inspect", ("inspect", "spectrum", "redshift")),
    "population": Page("Population", ("population",)),
    "admin": Page("Admin", ("admin",)),
}
BAR = {
    ".MuiAppBar-root": {
        "bgcolor": "primary.contrastText",
        "color": "primary.main",
        "boxShadow": "none",
        "backgroundImage": "none",
    },
    ".MuiToolbar-root": {"minHeight": f"{HEADER}px !important", "height": f"{HEADER}px"},
    ".MuiToolbar-root a": {"color": "inherit", "textDecoration": "none"},
    ".MuiTypography-root.title": {"fontSize": theme.LARGE, "color": "inherit", "whiteSpace": "nowrap"},
}


def build_page(worker: Worker | None = None) -> pmui.Page:
    """A page for one session. Raises nothing for a missing model: the page says what is missing."""
    pn.extension("filedropper", "tabulator", notifications=True, reconnect=True, respect_explicit_sizing=True)
    explorer = Explorer(worker or shared_worker(first_survey()))
    sitting = Sitting(explorer)
    lines = load_lines()
    marker = Span(location=0, dimension="height", line_width=1.5, line_dash="4 3", name="marker")
    pages = Pages(explorer, PAGES, {
        "objects": lambda: ObjectsView(explorer),
        "why": lambda: WhyView(explorer, lines),
        "inspect": lambda: InspectView(sitting),
        "population": lambda: PopulationView(explorer),
        "admin": lambda: AdminView(explorer),
        "spectrum": lambda: SpectrumView(explorer, lines, marker),
        "redshift": lambda: RedshiftView(explorer, lines, marker),
    })  # fmt: skip
    model, find = ModelView(explorer), FindView(explorer)

    help_dialog = pmui.Dialog(_help(), title="Keys", close_on_click=True)
    keyboard = Keyboard(explorer, lambda: help_dialog.param.update(open=not help_dialog.open), sitting)
    body = pn.Column(pages.view, styles={"height": f"calc(100vh - {HEADER + 8}px)", "min-width": "0"},
                     sizing_mode="stretch_both")  # fmt: skip
    page = pmui.Page(
        title="GaSNet Explorer", main=[body, keyboard, QuietTables(), help_dialog, model.dialog],
        theme_config=theme.material(),
        header=[find.view, pn.Spacer(sizing_mode="stretch_width"), model.view],
        busy_indicator=None, sx=BAR,
    )  # fmt: skip
    page.param.watch(lambda event: pages.apply(theme.palette(event.new)), "dark_theme")
    pages.apply(theme.palette(page.dark_theme))
    address = Address(explorer, pn.state.location, find.submit) if pn.state.location else None
    pn.state.onload(functools.partial(_open, explorer, address))
    pn.state.on_session_destroyed(lambda _: explorer.close())
    return page


async def _open(explorer: Explorer, address: Address | None) -> None:
    """The samples, so that the page shows something worth looking at; then what the address names."""
    await explorer.load([*sample_paths(), *first_catalogue()])
    if address is not None:
        await address.restore()


def _help() -> pn.pane.HTML:
    rows = "".join(f"<tr><td><kbd>{keys}</kbd></td><td>{what}</td></tr>" for keys, what in HELP)
    return theme.html(f"<table>{rows}</table>")
