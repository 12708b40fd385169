"""The objects: files come in here, every object is a row, and what could not be read says why beside its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui

from gasnet_app import theme
from gasnet_app.intake import MAX_FILE_TEXT, Upload, uploads
from gasnet_app.records import Record
from gasnet_app.state import Explorer
from gasnet_app.words import short_class, z_text

PAGE_SIZE = 200
REMOTE_ABOVE = 1000
COLUMNS = ("flag", "object", "class", "z")


def table(records: list[Record]) -> pd.DataFrame:
    """One row per record in the given order, indexed by its key; text only, as the screen shows it."""
    rows = [(_mark(r), r.key, _class(r), _z(r)) for r in records]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index([r.key for r in records], name="key"), dtype=str)


def _mark(record: Record) -> str:
    return "✕" if record.error else "!" if record.flagged else ""


def _class(record: Record) -> str:
    if record.error:
        return "not read"
    return short_class(record.answer.class_name) if record.answer else "…"


def _z(record: Record) -> str:
    if record.answer is None:
        return ""
    return "0" if record.answer.spectype == "STAR" else z_text(record.answer.z, record.answer.zerr).split(" ")[0]


def failures_html(records: list[Record]) -> str:
    """Files that could not be read: the name, then the reason."""
    failed = [r for r in records if r.error]
    if not failed:
        return ""
    rows = "".join(f"<li><b>{pn.util.escape(r.file)}</b> {pn.util.escape(_reason(r))}</li>" for r in failed[:50])
    more = f"<li>and {len(failed) - 50} more</li>" if len(failed) > 50 else ""
    return f'<div class="heading">Not read: {len(failed)}</div><ul class="failures">{rows}{more}</ul>'


def _reason(record: Record) -> str:
    return record.error.removeprefix(record.file).lstrip(": ")


def dropper(take: Callable[[list[Upload]], Awaitable[None]]) -> pn.widgets.FileDropper:
    """The area that files are dropped on; they are handed to `take` as they come."""
    area = pn.widgets.FileDropper(
        multiple=True, layout="compact", max_file_size=MAX_FILE_TEXT, sizing_mode="stretch_width", height=56,
        margin=(4, 8), css_classes=["dropper"], stylesheets=[theme.DROPPER_CSS],
    )  # fmt: skip

    async def dropped(_event: Any) -> None:
        files = uploads(area.value)
        area.value.clear()  # the bytes are in hand: do not keep them twice
        await take(files)

    area.param.watch(dropped, "value")
    return area


class ObjectsView:
    """The left column: drop area, samples, filters and table. Choosing a row asks the Explorer to show it."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.dropper = dropper(explorer.load)
        self.hint = theme.html('<div class="quiet">SDSS, DESI, LAMOST, 6dFGS, FITS, ECSV, CSV</div>',
                               margin=(0, 8))  # fmt: skip
        self.reading = theme.html(margin=(0, 8), css_classes=["reading"])
        self.stop = pmui.Button(label="Cancel", variant="text", size="small", margin=(0, 8),
                                sx={"textTransform": "none"}, css_classes=["stop-reading"])  # fmt: skip
        self.queue = pn.Row(self.reading, self.stop, visible=False, sizing_mode="stretch_width", margin=0)
        self.search = pmui.TextInput(label="Filter", placeholder="id, file or class", size="small", margin=(4, 8),
                                     sizing_mode="stretch_width", css_classes=["search"])  # fmt: skip
        self.flagged = pmui.Checkbox(label="flagged only", value=False, size="small", margin=(0, 8))
        self.count = theme.html(margin=(4, 8))
        self.failures = theme.html(margin=(0, 8), styles={"overflow-y": "auto", "max-height": "150px"})
        self.table = pn.widgets.Tabulator(
            table([]), show_index=False, disabled=True, selectable=1, sortable=False, pagination=None,
            page_size=PAGE_SIZE, sizing_mode="stretch_both", margin=(0, 4), theme="simple", row_height=22,
            layout="fit_columns",
            widths={"flag": 14, "class": 92, "z": 58},
            configuration={"columnDefaults": {"minWidth": 14}}, titles={"flag": ""}, css_classes=["objects"],
            header_align="left", stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        self.view = pn.Column(
            self.dropper, self.hint, self.queue, pn.Row(self.count, self.flagged, sizing_mode="stretch_width"),
            self.search, self.failures, self.table, width=290, sizing_mode="stretch_height",
            styles={"flex": "0 0 290px"}, css_classes=["side"],
        )  # fmt: skip
        self._wire()
        self._show()

    def _wire(self) -> None:
        explorer = self.explorer
        self.search.link(explorer, value_input="search")
        self.flagged.link(explorer, value="flagged_only", bidirectional=True)
        self.table.on_click(self._on_click)
        explorer.param.watch(lambda *_: self._show(), ["records", "flagged_only", "search"])
        explorer.param.watch(lambda *_: self._select(), "selected")
        explorer.param.watch(lambda *_: self._show_reading(), "reading")
        self.stop.on_click(lambda _: explorer.stop_reading())

    def _show_reading(self) -> None:
        """The queue of files: which is being read, of how many, and a way out."""
        self.queue.visible = " of " in self.explorer.reading
        self.reading.object = f'<div class="quiet line">{pn.util.escape(self.explorer.reading)}</div>'

    async def _on_click(self, event: Any) -> None:
        await self.explorer.select(str(self.table.value.index[event.row]))

    def _show(self) -> None:
        records = self.explorer.visible
        self.table.pagination = "remote" if len(records) > REMOTE_ABOVE else None
        self.table.value = table(records)
        self._select()
        everything = list(self.explorer.records.values())
        shown = f"{len(records)} of " if len(records) != len(everything) else ""
        self.count.object = (
            f'<span class="heading">{shown}{len(everything)} {"object" if len(everything) == 1 else "objects"}</span>'
        )
        self.failures.object = failures_html(everything)

    def _select(self) -> None:
        keys = list(self.table.value.index)
        self.table.selection = [keys.index(self.explorer.selected)] if self.explorer.selected in keys else []

    def apply(self, palette: theme.Palette) -> None:
        """The table takes its colours from the page; nothing to do."""
