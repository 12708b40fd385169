"""The pages of the app behind one bar: what stands in the middle changes, the bar at the foot of the screen stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import panel as pn
import panel_material_ui as pmui

from gasnet_app import theme
from gasnet_app.state import Explorer

FOOTER = 32
# A flex child is by itself never narrower than what stands in it, and a plot never narrower than it once was: without
# this a view that was drawn in a wider place pushes its neighbours out of the window.
SHRINKS = {"min-width": "0"}
BAR = {
    ".MuiToggleButton-root": {
        "border": 0, "borderRadius": 0, "padding": "2px 12px", "textTransform": "none", "fontSize": theme.BODY,
        "color": "text.primary", "opacity": 0.75, "lineHeight": 1.6,
    },
    ".MuiToggleButton-root.Mui-selected, .MuiToggleButton-root.Mui-selected:hover": {
        "backgroundColor": "transparent !important", "color": "var(--panel-primary-color) !important", "opacity": 1,
        "boxShadow": "inset 0 2px currentColor",
    },
}  # fmt: skip


class View(Protocol):
    """What a page is made of: a Panel object and a way to draw it in another theme."""

    view: Any

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        ...


@dataclass(frozen=True)
class Page:
    """One page. parts: names of the views beside each other, left to right; title: its words on the bar."""

    title: str
    parts: tuple[str, ...]


class Pages:
    """Shows the page that explorer.tab names. A view is built when it is first looked at: most sessions never open all.

    pages : by name, in the bar's order; build : how each named view is made, from left to right
    """

    def __init__(self, explorer: Explorer, pages: Mapping[str, Page], build: Mapping[str, Callable[[], View]]) -> None:
        self.explorer, self.pages, self._build = explorer, pages, build
        self.palette = theme.palette(False)
        self.views: dict[str, View] = {}
        if explorer.tab not in pages:
            explorer.tab = next(iter(pages))
        self.bar = pmui.RadioButtonGroup(
            options={page.title: name for name, page in pages.items()}, value=explorer.tab, size="small", margin=0,
            color="default", css_classes=["pages"], sx=BAR,
        )  # fmt: skip
        keys = theme.html('<div class="quiet">keys: n p &nbsp; [ ] &nbsp; ← → &nbsp; ? for all</div>',
                          sizing_mode=None, align="center", margin=(0, 12))  # fmt: skip
        self.body = pn.Row(sizing_mode="stretch_both", margin=0, styles=SHRINKS, stylesheets=[theme.TABLET_CSS])
        self.foot = pn.Row(self.bar, pn.Spacer(sizing_mode="stretch_width"), keys, height=FOOTER, margin=0,
                           sizing_mode="stretch_width")  # fmt: skip
        self.view = pn.Column(self.body, self.foot, sizing_mode="stretch_both", margin=0, styles=SHRINKS)
        self.bar.link(explorer, value="tab", bidirectional=True)
        explorer.param.watch(lambda *_: self._show(), "tab")
        self._show()

    def _show(self) -> None:
        parts = self.pages[self.explorer.tab].parts
        for name in parts:
            if name not in self.views:
                self.views[name] = self._build[name]()
                self.views[name].apply(self.palette)
        for name, view in self.views.items():
            view.view.visible = name in parts
        self.body.objects = [self.views[name].view for name in self._build if name in self.views]

    def apply(self, palette: theme.Palette) -> None:
        """Draw every view that was built in another theme's colours."""
        self.palette = palette
        for view in self.views.values():
            view.apply(palette)
