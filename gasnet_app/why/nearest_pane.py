"""What else looks like this to the networks, and a badge where nothing that they know does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import panel as pn

from engine import Prediction
from gasnet_app import theme
from gasnet_app.redshift_view import ODD
from gasnet_app.turn import later
from gasnet_app.why.what_if import WhatIf
from gasnet_app.words import short_class
from gasnet_app.worker import Near

COLUMNS = ("object", "class", "z", "apart")


def table(near: Sequence[Near]) -> pd.DataFrame:
    """One row per neighbour, nearest first, indexed by its key; text only."""
    rows = [(n.key or "mock", short_class(n.class_name), f"{n.z:.4f}", f"{n.distance:.2f}") for n in near]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index([n.key for n in near], name="key"), dtype=str)


class NearestPane:
    """A sentence and a table; choosing a loaded object shows it."""

    def __init__(self, what_if: WhatIf) -> None:
        self.what_if, self.explorer = what_if, what_if.explorer
        self.badge = theme.html(css_classes=["oddity"])
        self.table = pn.widgets.Tabulator(
            table([]), show_index=False, disabled=True, selectable=False, sortable=False, pagination=None,
            sizing_mode="stretch_width", height=140, margin=0, theme="simple", row_height=22, layout="fit_columns",
            widths={"class": 110, "z": 60, "apart": 50}, configuration={"columnDefaults": {"minWidth": 14}},
            header_tooltips={"apart": "1: as far apart as two spectra of one class usually are"},
            css_classes=["nearest"], header_align="left", stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        self.view = pn.Column(
            theme.heading("Looks like"), self.badge, self.table, sizing_mode="stretch_width", margin=0
        )
        self.table.on_click(self._open)
        what_if.param.watch(later(self._show), ["nearest"])
        self.explorer.param.watch(later(self._show_badge), ["prediction"])
        self._show()
        self._show_badge()

    async def _open(self, event: Any) -> None:
        key = str(self.table.value.index[event.row])
        if key:
            await self.explorer.select(key)

    def _show(self) -> None:
        self.table.value = table(self.what_if.nearest)

    def _show_badge(self) -> None:
        found = self.explorer.prediction
        self.badge.object = "" if found is None else badge_html(found)

    def apply(self, palette: theme.Palette) -> None:
        """The table takes its colours from the page; nothing to do."""


def badge_html(prediction: Prediction) -> str:
    """Whether it looks like one of the classes at all."""
    if prediction.ood != prediction.ood:
        return '<div class="quiet">This model has no score of none-of-these.</div>'
    if prediction.ood_flag:
        score = f"(score {prediction.ood:+.2f}, flagged above 0)"
        return f'<div class="bad small"><b>Perhaps none of the classes</b> {score}. {ODD}</div>'
    return f'<div class="quiet">One of the classes, by its looks: score {prediction.ood:+.2f}, flagged above 0.</div>'
