"""The page Population: plots that choose together, the table of what is chosen, its export, and a click that opens."""

from __future__ import annotations

import asyncio
import io
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui

from engine import ArchiveError, CatalogueError, IdentifierError, Population, coverage, fetch, resolve, write_catalogue
from gasnet_app import theme
from gasnet_app.intake import Upload
from gasnet_app.objects_view import dropper
from gasnet_app.population.layout import WORDS, plots_of
from gasnet_app.population.loaded import export_table, of_records
from gasnet_app.population.plots import Box, Cloud, Mask, Plot
from gasnet_app.state import Explorer
from gasnet_app.turn import later

log = logging.getLogger(__name__)

TABLE_WIDTH = 380
PAGE_SIZE = 50
GOOD = 0.003
SMALL_BUTTON: dict[str, Any] = {"variant": "outlined", "size": "small", "sx": {"textTransform": "none",
                                "fontSize": theme.SMALL, "padding": "1px 6px", "lineHeight": 1.9}}  # fmt: skip
# Set, not left to Panel: it takes a column's kind from the first table that it sees.
FORMATS = {"object": {"type": "plaintext"}, "class": {"type": "plaintext"}}
EVERY = "all classes"
SORTS = {"as in the file": "", "id": "object_id", "class": "class", "z, lowest first": "z",
         "σ of z, widest first": "zerr", "SNR, faintest first": "snr", "|Δz|, largest first": "dz"}  # fmt: skip
FALLING = {"zerr", "dz"}
EMPTY = (
    "<b>No objects yet.</b> Drop a catalogue of <code>gasnet classify</code> (.csv, .ecsv, .fits, .parquet) here, or "
    "open spectra on the page Explore. Columns z_true, class_true, ra and dec are used where they exist."
)


class PopulationView:
    """Shows explorer.population, or the session's own objects while there is none."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.population: Population | None = None
        self.palette = theme.palette(False)
        self.plots: list[Plot] = []
        self.boxes: dict[str, Box] = {}
        self.chosen: Mask = np.zeros(0, bool)
        self.rows = np.zeros(0, int)
        self.frame = _frame(None)  # made once: text is slow to make
        self.words = theme.html(margin=(4, 8), css_classes=["population-words"])
        self.said = theme.html(margin=(0, 8), css_classes=["population-said"])
        self.empty = theme.html(EMPTY, margin=(24, 24))
        self.grid = pn.Column(sizing_mode="stretch_both", margin=0, css_classes=["population-plots"],
                              styles={"min-width": "0"})  # fmt: skip
        self._build_controls()
        left = pn.Column(
            self.dropper, self.words, self.said, pn.Row(self.search, self.kind, sizing_mode="stretch_width", margin=0),
            pn.Row(self.order, self.clear, sizing_mode="stretch_width", margin=0), self.table,
            pn.Row(self.format, self.save, sizing_mode="stretch_width", margin=0), width=TABLE_WIDTH, margin=0,
            sizing_mode="stretch_height", styles={"flex": f"0 0 {TABLE_WIDTH}px"},
            css_classes=["side", "population-side"],
        )  # fmt: skip
        self.view = pn.Row(left, pn.Column(self.empty, self.grid, sizing_mode="stretch_both", margin=0,
                                           styles={"min-width": "0"}, css_classes=["middle"]),
                           sizing_mode="stretch_both", margin=0, css_classes=["population"],
                           stylesheets=[theme.TABLET_CSS], styles={"min-width": "0"})  # fmt: skip
        explorer.param.watch(later(self._arrived), ["population", "records", "tab"])
        self._arrived()

    def _build_controls(self) -> None:
        self.dropper = dropper(self._take)
        css = {"stylesheets": [theme.CONTROL_CSS], "margin": (2, 8)}
        self.search = pn.widgets.TextInput(placeholder="id contains", width=160, **css)
        self.kind = pn.widgets.Select(options=[EVERY], sizing_mode="stretch_width", **css)
        self.order = pn.widgets.Select(options=SORTS, value="", sizing_mode="stretch_width", **css)
        self.clear = pmui.Button(label="Choose all", width=90, margin=(2, 8), **SMALL_BUTTON)
        self.format = pn.widgets.Select(options=["ecsv", "csv", "fits", "parquet"], width=90, **css)
        self.save = pn.widgets.FileDownload(callback=self.export, filename="selection.ecsv", label="Export", **css,
                                            sizing_mode="stretch_width")  # fmt: skip
        self.table = pn.widgets.Tabulator(
            self.frame, show_index=False, disabled=True, selectable=1, sortable=False, theme="simple",
            pagination="remote", page_size=PAGE_SIZE, sizing_mode="stretch_both", min_height=110, margin=(0, 4),
            row_height=22, layout="fit_columns", configuration={"columnDefaults": {"minWidth": 14}},
            text_align={"object": "left", "class": "left"}, formatters=FORMATS,
            widths={"z": 66, "σ": 60, "SNR": 48, "class": 110}, header_align="left", css_classes=["chosen"],
            stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        self.search.param.watch(later(self._choose), "value_input")
        self.kind.param.watch(later(self._choose), "value")
        self.order.param.watch(later(self._show_table), "value")
        self.clear.on_click(lambda _: self._clear())
        self.format.param.watch(lambda e: self.save.param.update(filename=f"selection.{e.new}"), "value")
        self.table.on_click(self._on_row)

    async def _take(self, files: Sequence[Upload]) -> None:
        self._say("")
        await self.explorer.load(files)
        records = self.explorer.records.values()
        self._say(next((r.error for r in records if r.error and r.file in {f.name for f in files}), ""))

    # ---- what there is -----------------------------------------------------------------------------------------------

    def _arrived(self) -> None:
        """Look at the population anew, while this page is looked at."""
        if self.explorer.tab != "population":
            return
        given = self.explorer.population or of_records(self.explorer.records)
        same = given is self.population or (
            given is not None and self.population is not None and given.table is None
            and self.population.table is None and _alike(given, self.population)
        )  # fmt: skip
        if not same:
            self.show(given)

    def show(self, population: Population | None) -> None:
        """Draw another population, everything chosen."""
        self.population, self.boxes, self.frame = population, {}, _frame(population)
        self.plots = [] if population is None else plots_of(population)
        self.empty.visible = population is None
        for plot in self.plots:
            plot.listen(self.brush, self._tapped)
            plot.apply(self.palette)
        names = [] if population is None else sorted(set(population.texts["class"].tolist()) - {""})
        self.kind.param.update(options=[EVERY, *names], value=EVERY)
        self._choose()  # before the figures are sent: they arrive with their data, not as empty axes
        # Without a least width of 0 a plot keeps the width that it has had, and pushes its neighbours out of the page.
        room: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": 0, "styles": {"min-width": "0"}}
        panes = [pn.Column(theme.html(f'<div class="heading">{WORDS[p.name]}</div>', margin=(0, 8)),
                           pn.pane.Bokeh(p.figure, **room), **room) for p in self.plots]  # fmt: skip
        half = -(-len(panes) // 2)
        self.grid.objects = [pn.Row(*row, **room) for row in (panes[:half], panes[half:]) if row]

    # ---- choosing ----------------------------------------------------------------------------------------------------

    def brush(self, name: str, box: Box) -> None:
        """Choose what lies in a box of one plot; boxes of other plots and the filters go on to hold."""
        self.boxes[name] = box
        self._choose()

    def _clear(self) -> None:
        self.boxes = {}
        self.search.param.update(value="", value_input="")
        self.kind.value = EVERY
        self._choose()

    def _choose(self) -> None:
        population = self.population
        if population is None:
            self.rows = np.zeros(0, int)
            self.words.object = '<span class="heading">0 objects</span>'
            self._show_table()
            return
        self.chosen = np.ones(len(population), bool)
        for plot in self.plots:
            if plot.name in self.boxes:
                self.chosen &= plot.within(self.boxes[plot.name])
        if self.kind.value != EVERY:
            self.chosen &= population.texts["class"] == self.kind.value
        if wanted := (self.search.value_input or "").strip().lower():
            self.chosen &= np.char.find(np.char.lower(population.keys), wanted) >= 0
        whole = bool(self.chosen.all())
        for plot in self.plots:
            plot.draw(None if whole else self.chosen)
        n = int(self.chosen.sum())
        brushed = "; brushed: " + ", ".join(WORDS[name] for name in self.boxes) if self.boxes else ""
        of = f"{len(population):,} objects" if whole else f"{n:,} of {len(population):,} objects"
        line = f'<div class="quiet line">{pn.util.escape(population.name)}{brushed}</div>'
        held = _held_words(population, self.chosen)
        self.words.object = f'<span class="heading">{of}</span>{line}{held}'
        self._show_table()

    def _show_table(self) -> None:
        self.rows = np.flatnonzero(self.chosen) if self.population is not None else np.zeros(0, int)
        if self.population is not None and (key := self.order.value):
            self.rows = self.rows[_order(self.population, key)[self.rows].argsort(kind="stable")]
        self.table.param.update(value=self.frame.take(self.rows), page=1, selection=[])

    # ---- opening -----------------------------------------------------------------------------------------------------

    async def _on_row(self, event: Any) -> None:
        await self.open(str(self.table.value["object"].iloc[event.row]))

    def _tapped(self, name: str, x: float, y: float) -> None:
        plot = next(p for p in self.plots if p.name == name)
        if isinstance(plot, Cloud) and self.population is not None:
            row = plot.nearest(x, y, self.chosen)
            if row is not None:
                pn.state.execute(lambda: self.open(str(self.population.keys[row])))

    async def open(self, key: str) -> None:
        """Show an object in the explorer: as loaded, else from the path of its row; else say why not."""
        assert self.population is not None
        row = int(np.flatnonzero(self.population.keys == key)[0])
        name, path = (str(self.population.texts[k][row]) for k in ("object_id", "path"))
        here = self._held(name)
        if here is None:
            try:
                if not path:
                    raise ArchiveError(f"{name} is not loaded, and the catalogue has no path for it; drop its file")
                found = await asyncio.to_thread(lambda: fetch(resolve(f'file:"{path}"')[0]))
            except (IdentifierError, ArchiveError) as error:
                told = str(error).split(". Forms that work")[0]
                self._say(f"{name} is not loaded, and its path cannot be opened here: {told}" if path else told)
                return
            await self.explorer.load([found])
            here = self._held(name)
        if here is None:
            self._say(f"{path} holds no object {name}; was the file replaced?")
            return
        self._say("")
        self.explorer.tab = "explore"
        await self.explorer.select(here)

    def _held(self, name: str) -> str | None:
        if name in self.explorer.records:
            return name
        return next((k for k, r in self.explorer.records.items() if r.spectrum and r.spectrum.object_id == name), None)

    def _say(self, text: str) -> None:
        self.said.object = f'<div class="bad">{pn.util.escape(text)}</div>' if text else ""

    def export(self) -> io.BytesIO | None:
        """The chosen rows with every column of the catalogue, as a file of the format that is set."""
        if self.population is None:
            self._say("Nothing to export: there are no objects")
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"selection.{self.format.value}"
            try:
                write_catalogue(export_table(self.population)[np.sort(self.rows)], path)
            except CatalogueError as error:
                self._say(str(error))
                return None
            return io.BytesIO(path.read_bytes())

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.palette = palette
        whole = bool(self.chosen.all())
        for plot in self.plots:
            plot.apply(palette)
            plot.draw(None if whole else self.chosen)


def _held_words(population: Population, chosen: Mask) -> str:
    """How often the true redshift lies where it should, of what is chosen; nothing without labels."""
    pit = population.pit[chosen]
    pit = pit[np.isfinite(pit)]
    if not pit.size:
        return ""
    n = population.numbers
    off = np.abs(n["z"] - n["z_true"])[chosen] / (1 + n["z_true"][chosen])
    good = float(np.mean(off[np.isfinite(off)] < GOOD))
    held = ", ".join(f"{100 * share:.0f} % holds {100 * coverage(pit, share):.0f} %" for share in (0.68, 0.95))
    return f'<div class="quiet">Coverage: {held}. |Δz| / (1 + z) &lt; {GOOD}: {100 * good:.1f} %</div>'


def _alike(one: Population, other: Population) -> bool:
    return np.array_equal(one.keys, other.keys) and np.array_equal(one.texts["class"], other.texts["class"])


def _order(population: Population, key: str) -> np.ndarray:
    """(N,) place of every object in an order; what is not known comes last."""
    if key in population.texts:
        return np.unique(population.texts[key], return_inverse=True)[1]
    n = population.numbers
    values = np.abs(n["z"] - n["z_true"]) / (1 + n["z_true"]) if key == "dz" else n[key]
    return np.where(np.isfinite(values), -values if key in FALLING else values, np.inf)


def _frame(population: Population | None) -> pd.DataFrame:
    """What the table shows, a row per object, in the file's order; `object` is its key."""
    if population is None:
        kinds = {"object": str, "class": str, "z": float, "σ": float, "SNR": float}
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in kinds.items()})
    n = population.numbers
    return pd.DataFrame(
        {"object": population.keys, "class": population.texts["class"], "z": n["z"].round(5),
         "σ": n["zerr"].round(6), "SNR": n["snr"].round(1)},
    )  # fmt: skip
