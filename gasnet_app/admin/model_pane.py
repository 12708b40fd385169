"""The models: which serves each survey, how it came to, and the way forward and back; below, who did what."""

from __future__ import annotations

from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from engine.jobs import Act, Change, Version
from gasnet_app import theme
from gasnet_app.admin.office import Office
from gasnet_app.admin.run_pane import BUTTON, pressed
from gasnet_app.turn import later

escape = pn.util.escape
COLUMNS = ("survey", "model", "serves", "from")


def cells_of(version: Version) -> tuple[str, ...]:
    """One row of the list."""
    place = "shipped" if version.shipped else "own" if version.folder else "missing"
    return version.survey, version.name, "current" if version.current else "", place


def changes_html(changes: tuple[Change, ...]) -> str:
    """What served when, the latest first."""
    rows = [
        f'<div class="small">{c.when[:16].replace("T", " ")} {escape(c.who)}: {escape(c.before)} → '
        f"<b>{escape(c.after)}</b> ({c.action}) {escape(c.reason)}</div>"
        for c in changes[:8]
    ]
    return "".join(rows) or '<div class="quiet">No model was promoted yet.</div>'


def acts_html(acts: tuple[Act, ...]) -> str:
    """What admins did, the latest first; that something was asked for is left out where its end is known."""
    rows = [
        f'<div class="small line" title="{escape(a.words)}">{a.when[:16].replace("T", " ")} {escape(a.who)}: '
        f"{escape(a.act)} {escape(a.what)}, {escape(a.outcome)}</div>"
        for a in acts
        if a.outcome != "asked"
    ]
    return "".join(rows) or '<div class="quiet">Nothing yet.</div>'


class ModelPane:
    """Looks at an Office; its buttons ask it."""

    def __init__(self, office: Office, survey: str) -> None:
        self.office, self.survey, self.shown = office, survey, ""
        self.table = pn.widgets.Tabulator(
            _frame([]), show_index=False, disabled=True, selectable=1, sortable=False, theme="simple",
            sizing_mode="stretch_width", height=172, margin=(0, 4), row_height=22, layout="fit_columns",
            widths={"survey": 56, "serves": 52, "from": 56}, header_align="left", css_classes=["models"],
            configuration={"columnDefaults": {"minWidth": 14}}, stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        css: dict[str, Any] = {"stylesheets": [theme.CONTROL_CSS], "margin": (3, 8), "sizing_mode": "stretch_width"}
        self.reason = pn.widgets.TextInput(placeholder="reason, for those who ask later", css_classes=["model-reason"],
                                           **css)  # fmt: skip
        self.promote = pmui.Button(label="Promote", width=84, css_classes=["promote"], **BUTTON)
        self.back = pmui.Button(label="Roll back", width=150, css_classes=["roll-back"], **BUTTON)
        self.changes = theme.html(margin=(0, 8), css_classes=["changes"])
        self.acts = theme.html(margin=(0, 8), css_classes=["acts"])
        self.view = pn.Column(
            pn.Row(theme.heading("Models"), margin=(0, 8)), self.table, self.reason,
            pn.Row(self.promote, self.back, margin=(0, 4)), pn.Row(theme.heading("Changes"), margin=(0, 8)),
            self.changes, pn.Row(theme.heading("Acts of admins"), margin=(0, 8)), self.acts, margin=0,
            sizing_mode="stretch_both", scroll="y-auto", styles={"min-width": "0"},
        )  # fmt: skip
        self._wire()
        self._show()

    def _wire(self) -> None:
        office = self.office
        self.promote.on_click(pressed(lambda: office.promote(self.shown, self.reason.value_input or "")))
        self.back.on_click(pressed(lambda: office.roll_back(self.survey, self.reason.value_input or "")))
        self.table.on_click(self._on_row)
        self.office.param.watch(later(self._show), ["versions", "changes", "acts"])

    def _on_row(self, event: Any) -> None:
        version = self.office.versions[event.row]
        self.shown, self.survey = version.name, version.survey or self.survey
        self._show()

    def _show(self) -> None:
        versions = self.office.versions
        frame = _frame([cells_of(v) for v in versions])
        if not frame.equals(self.table.value):
            self.table.value = frame
        names = [v.name for v in versions]
        self.table.selection = [names.index(self.shown)] if self.shown in names else []
        chosen = next((v for v in versions if v.name == self.shown), None)
        self.promote.disabled = chosen is None or chosen.current or chosen.folder is None
        self.back.label = f"Roll back {self.survey}"
        self.back.disabled = not any(c.survey == self.survey for c in self.office.changes)
        self.changes.object, self.acts.object = changes_html(self.office.changes), acts_html(self.office.acts)


def _frame(rows: list[tuple[str, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)
