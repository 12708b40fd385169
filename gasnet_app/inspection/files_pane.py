"""Inspections in and out: prospect's VI CSV and Marz's .mz."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import panel as pn

from engine.inspections import ExchangeError, GradeError, JournalError, read_inspections, to_marz, to_prospect
from gasnet_app import theme
from gasnet_app.inspection.grade_pane import CSS
from gasnet_app.inspection.sitting import Sitting

CHOOSER_CSS = f"""
:host {{ overflow: hidden; }}
input.bk-input[type=file] {{ font: {theme.SMALL} {theme.FONT}; height: 28px; min-height: 28px; padding: 0 !important;
  border: 0 !important; color: var(--panel-on-background-color); background: transparent; }}
input::file-selector-button {{ font: inherit; height: 26px; color: var(--panel-on-background-color);
  background: var(--panel-background-color); border: 1px solid var(--border-color); border-radius: 3px; }}
"""
SURVEYS = {"ids of SDSS": "SDSS", "ids of DESI": "DESI", "ids of LAMOST": "LAMOST", "ids of 6dFGS": "6dFGS"}


class FilesPane:
    """Two downloads of how things stand now, and one way in. What differs from the journal is never overwritten."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting = sitting
        common: dict[str, Any] = {
            "sizing_mode": "stretch_width",
            "margin": (3, 4),
            "stylesheets": CSS,
            "css_classes": ["press", "small"],
        }
        self.vi = pn.widgets.FileDownload(
            callback=self._prospect, filename="inspections.csv", label="VI .csv", **common
        )
        self.mz = pn.widgets.FileDownload(callback=self._marz, filename="inspections.mz", label="Marz .mz", **common)
        self.survey = pn.widgets.Select(options=SURVEYS, width=110, margin=(3, 4), stylesheets=[theme.CONTROL_CSS])
        self.file = pn.widgets.FileInput(accept=".csv,.mz", width=150, margin=(3, 4), stylesheets=[CHOOSER_CSS])
        self.told = theme.html(margin=(0, 8), css_classes=["imported"])
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (0, 4)}
        self.view = pn.Column(
            pn.Row(theme.heading("Export, import"), margin=(0, 8)), pn.Row(self.vi, self.mz, **row),
            pn.Row(self.survey, self.file, **row), self.told, sizing_mode="stretch_width", margin=0, visible=False,
        )  # fmt: skip
        self.file.param.watch(self._on_file, "value")

    def _prospect(self) -> io.BytesIO:
        journal = self.sitting.journal
        return io.BytesIO(to_prospect([] if journal is None else journal.latest()).encode())

    def _marz(self) -> io.BytesIO:
        journal, who = self.sitting.journal, self.sitting.inspector
        return io.BytesIO(to_marz([] if journal is None else journal.latest(), who).encode())

    async def _on_file(self, event: Any) -> None:
        journal = self.sitting.journal
        if not event.new or journal is None:
            return
        try:
            name = str(self.file.filename or "file.csv")
            rows = read_inspections(event.new, name, self.survey.value)
            found = await asyncio.to_thread(journal.bring_in, rows)
        except (ExchangeError, GradeError, JournalError) as error:
            self.told.object = f'<div class="bad">{pn.util.escape(str(error))}</div>'
            return
        kept = f", {found.kept} differ and were left" if found.kept else ""
        self.told.object = f'<div class="quiet">{found.written} imported, {found.same} the same as here{kept}</div>'
        await self.sitting.refresh()
