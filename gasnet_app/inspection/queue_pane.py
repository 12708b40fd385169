"""The queue: what waits to be looked at, in which order, and how far one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui
from panel.custom import JSComponent

from engine.inspections import Waiting
from gasnet_app import theme
from gasnet_app.inspection.sitting import Sitting
from gasnet_app.turn import later
from gasnet_app.words import short_class, z_text

PAGE_SIZE = 100
ORDER_WORDS = {
    "most to learn": "information", "object": "object", "class": "class", "z, lowest first": "z",
    "σ of z, widest first": "zerr", "SNR, faintest first": "snr",
    "least confident": "confidence", "suggested grade": "suggested", "my grade": "grade",
}  # fmt: skip
COLUMNS = ("object", "class", "z", "?", "you")


Cells = tuple[str, ...]


def cells_of(row: Waiting) -> Cells:
    """One row of the table as text, in the order of COLUMNS. "?": suggested; "you": the own grade."""
    machine = row.machine
    name = short_class(machine.class_name) if machine else "…"
    suggested = "" if machine is None or machine.suggested is None else str(machine.suggested)
    return row.key, name, _z(row), suggested, _mine(row)


def table(cells: Sequence[Cells]) -> pd.DataFrame:
    """One row per object in the given order, indexed by its key; text only."""
    index = pd.Index([row[0] for row in cells], name="key", dtype=str)
    return pd.DataFrame(cells, columns=list(COLUMNS), index=index, dtype=str)


def _z(row: Waiting) -> str:
    if row.machine is None:
        return ""
    return "0" if row.machine.spectype == "STAR" else z_text(row.machine.z, row.machine.zerr).split(" ")[0]


def _mine(row: Waiting) -> str:
    if row.mine is None or row.mine.grade.said_nothing:
        return ""
    return ("·" if row.mine.grade.quality is None else str(row.mine.grade.quality)) + row.mine.grade.issues


class Scroller(JSComponent):
    """Brings a row of the queue into view; Panel's table has no way to ask for it."""

    _esm = """
    const HEIGHT = 22
    export function render({model}) {
      const find = () => {
        for (const doc of window.Bokeh.documents) {
          const table = [...doc.all_models].find((m) => m.css_classes?.includes?.("queue"))
          if (table != null) return window.Bokeh.index.find_one_by_id(table.id)?.tabulator
        }
      }
      let waiting
      model.on("msg:custom", (row) => {
        clearTimeout(waiting)
        waiting = setTimeout(() => {  // after the table has put its old place back
          const holder = find()?.element.querySelector(".tabulator-tableholder")
          if (holder) holder.scrollTop = (row + 0.5) * HEIGHT - holder.clientHeight / 2
        }, 250)
      })
      return document.createElement("span")
    }
    """


class QueuePane:
    """Order chooser, filters, progress and the table. Choosing a row asks the Explorer to show it."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting, self.explorer = sitting, sitting.explorer
        self._cells: list[Cells] = []
        self._kept: dict[str, tuple[Waiting, Cells]] = {}
        self.progress = theme.html(
            margin=(4, 8, 0, 8), css_classes=["progress"], stylesheets=[theme.TEXT_CSS, theme.BAR_CSS]
        )
        self.order = pn.widgets.Select(
            options=ORDER_WORDS, value=sitting.order, sizing_mode="stretch_width", margin=(4, 8), css_classes=["order"],
            stylesheets=[theme.CONTROL_CSS],
        )  # fmt: skip
        self.flagged = pmui.Checkbox(label="flagged only", size="small", margin=(0, 8))
        self.settling = pmui.Checkbox(label="conflicts", size="small", margin=(0, 8))
        self.scroller = Scroller(width=0, height=0, margin=0)
        self.empty = theme.html('<div class="quiet">Nothing waits here.</div>', margin=(4, 8))
        self.table = pn.widgets.Tabulator(
            table([]), show_index=False, disabled=True, selectable=1, sortable=False, pagination=None,
            page_size=PAGE_SIZE, sizing_mode="stretch_both", min_height=110, margin=(0, 4), theme="simple",
            row_height=22, layout="fit_columns", widths={"object": 106, "z": 52, "?": 16, "you": 34},
            configuration={"columnDefaults": {"minWidth": 14}}, css_classes=["queue"], header_align="left",
            header_tooltips={"?": "the grade that the machine's flags suggest", "you": "your grade and issues"},
            stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        self.view = pn.Column(
            self.progress, self.order, pn.Row(self.flagged, self.settling, sizing_mode="stretch_width"), self.empty,
            self.table, self.scroller, sizing_mode="stretch_both", styles={"flex": "1 0 250px"}, margin=0,
        )  # fmt: skip
        self._wire()
        self._show()

    def _wire(self) -> None:
        self.order.link(self.sitting, value="order")
        self.settling.link(self.sitting, value="settling")
        self.flagged.value = self.explorer.flagged_only
        self.flagged.link(self.explorer, value="flagged_only", bidirectional=True)
        self.table.on_click(self._on_click)
        self.sitting.param.watch(later(self._show), ["rows"])
        self.explorer.param.watch(later(self.show_chosen), ["selected"])

    async def _on_click(self, event: Any) -> None:
        await self.explorer.select(str(self.table.value.index[event.row]))

    def _show(self) -> None:
        rows = self.sitting.rows
        self.table.pagination = "remote" if len(rows) > PAGE_SIZE else None
        cells = self._written(rows)
        if [row[0] for row in cells] != [row[0] for row in self._cells]:
            self.table.value = table(cells)
        else:  # a new table would scroll back to its top
            changed = [i for i, (new, old) in enumerate(zip(cells, self._cells, strict=True)) if new != old]
            if changed:
                columns = {name: [(i, cells[i][k]) for i in changed] for k, name in enumerate(COLUMNS)}
                self.table.patch(columns, as_index=False)
        self._cells = cells
        self.empty.visible = not rows
        self.show_chosen()
        done = self.sitting.progress
        share = 100 * done.done / len(rows) if rows else 0
        self.settling.label = f"conflicts ({self.sitting.conflicts})"
        self.progress.object = (
            f'<div class="heading">Queue</div><div class="line">{done.words}</div>'
            f'<div class="bar"><div style="width:{share:.1f}%"></div></div>'
        )

    def _written(self, rows: Sequence[Waiting]) -> list[Cells]:
        """The rows as text; what has not changed since the last time is not written again."""
        kept, self._kept = self._kept, {}
        for row in rows:
            known = kept.get(row.key)
            same = known is not None and known[0].machine is row.machine and known[0].mine is row.mine
            self._kept[row.key] = known if same and known is not None else (row, cells_of(row))
        return [self._kept[row.key][1] for row in rows]

    def show_chosen(self) -> None:
        """Mark the object that is shown and bring it into view."""
        keys = list(self.table.value.index)
        if self.explorer.selected not in keys:
            self.table.selection = []
            return
        here = keys.index(self.explorer.selected)
        if self.table.pagination and self.table.page != here // PAGE_SIZE + 1:
            self.table.page = here // PAGE_SIZE + 1
        self.table.selection = [here]
        self.scroller._send_msg(here % PAGE_SIZE)
