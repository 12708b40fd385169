"""The page Why: what the answer hangs on. Members one by one, regions hidden, noise added, objects that look alike."""

from __future__ import annotations

from collections.abc import Sequence

import panel as pn

from engine import Line
from gasnet_app import theme
from gasnet_app.state import Explorer
from gasnet_app.why.answer_pane import AnswerPane
from gasnet_app.why.hide_pane import HidePane
from gasnet_app.why.members_pane import MembersPane
from gasnet_app.why.nearest_pane import NearestPane
from gasnet_app.why.noise_pane import NoisePane
from gasnet_app.why.what_if import WhatIf

__all__ = ["WhatIf", "WhyView"]

WIDTH = 380


class WhyView:
    """The left column of the page: the question first, then who says what, then what else looks like it."""

    def __init__(self, explorer: Explorer, lines: Sequence[Line]) -> None:
        self.what_if = WhatIf(explorer, lines)
        self.panes = [pane(self.what_if) for pane in (AnswerPane, HidePane, NoisePane, MembersPane, NearestPane)]
        self.view = pn.Column(
            *(pane.view for pane in self.panes), width=WIDTH, sizing_mode="stretch_height", scroll="y-auto",
            margin=(0, 8), styles={"flex": f"0 0 {WIDTH}px"}, css_classes=["why-page", "side"],
        )  # fmt: skip
        pn.state.execute(self.what_if.ask)

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        for pane in self.panes:
            pane.apply(palette)
