"""The runs: their list, how the one that is looked at goes, and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

from engine import Turned
from engine.jobs import Job, in_words
from gasnet_app import theme
from gasnet_app.admin.comparison_pane import ComparisonPane
from gasnet_app.admin.office import Office
from gasnet_app.pages import BAR
from gasnet_app.turn import later

escape = pn.util.escape
LOOKS = ("Learning", "Numbers", "Confusion", "Changed")
COLUMNS = ("run", "state", "by", "began (UTC)")
ROWS = 4  # of the table that are seen at once
BUTTON: dict[str, Any] = {"variant": "outlined", "size": "small", "margin": (2, 4), "sx": {
    "textTransform": "none", "fontSize": theme.SMALL, "padding": "1px 8px", "lineHeight": 1.9}}  # fmt: skip


def pressed(act: Callable[[], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """What a button calls."""

    async def press(_: Any) -> None:
        await act()

    return press


def cells_of(job: Job) -> tuple[str, ...]:
    """One row of the list: what seldom changes, for a table that is written at every look stumbles in the browser."""
    return job.name, job.state, job.status.who, job.status.began.replace("T", " ")[:16]


def facts_html(job: Job) -> str:
    """How a run goes, or how it ended."""
    s = job.status
    done = s.compared if job.state == "comparing" else s.done
    parts = [f"member {s.member + 1} of {s.members}"] if job.state == "learning" else [f"members {s.members}"]
    parts.append(f"{100 * done:.1f} %")
    if job.state == "learning":
        left = f"{in_words(s.eta)} left" if s.eta is not None else "time left not known yet"
        parts += [left, f"{s.pace or s.rate:,.0f} spectra/s"]
    if s.loss is not None:
        parts.append(f"loss {s.loss:.3f}")
    if s.device:
        gpu = f" + {s.device_memory / 1e9:.2f} GB on it" if s.device_memory else ""
        memory = f", {s.memory / 1e9:.2f} GB{gpu}" if s.memory else ""
        parts.append(f"device {s.device}{memory}")
    line = " &middot; ".join(escape(part) for part in parts)
    bar = f'<div class="bar"><div style="width:{100 * done:.1f}%"></div></div>'
    word = {"interrupted": "interrupted: its process is gone; it can be resumed"}.get(job.state, job.state)
    kind = "bad" if job.state in ("failed", "interrupted") else "quiet"
    why = f": {escape(s.message)}" if s.message and job.state != "stopped" else ""
    notes = "".join(f'<div class="quiet line" title="{escape(note)}">{escape(note)}</div>' for note in s.notes[-3:])
    return (
        f'<div class="line"><b>{escape(job.name)}</b> <span class="{kind}">{escape(word)}{why}</span></div>'
        f'<div class="line small job-facts">{line}</div>{bar}{notes}'
    )


class LossPlot:
    """Loss against spectra, a line for each member."""

    def __init__(self) -> None:
        self.source = ColumnDataSource({"x": [], "y": [], "member": [], "alpha": []})
        self.figure = figure(
            name="loss", tools="", toolbar_location=None, sizing_mode="stretch_both", min_height=110, min_border=2,
            x_axis_label="spectra of the member", y_axis_label="loss", background_fill_alpha=0, border_fill_alpha=0,
            outline_line_color=None,
        )  # fmt: skip
        self.lines = self.figure.multi_line("x", "y", source=self.source, line_width=1.5, line_alpha="alpha")
        self.figure.add_tools(HoverTool(renderers=[self.lines], tooltips=theme.tip("member @member")))
        self.figure.xaxis.formatter.use_scientific = False

    def show(self, job: Job | None) -> None:
        """Draw the curves of a run; a member's present point is its status's, between two lines of the log."""
        curves = job.losses() if job is not None else {}
        if job is not None and job.status.loss is not None and job.status.spectra:
            spectra, loss = curves.setdefault(job.status.member, ([], []))
            if not spectra or spectra[-1] < job.status.spectra:
                spectra.append(job.status.spectra)
                loss.append(job.status.loss)
        newest = max(curves, default=0)
        self.source.data = {
            "x": [x for x, _ in curves.values()], "y": [y for _, y in curves.values()],
            "member": [k + 1 for k in curves], "alpha": [1.0 if k == newest else 0.35 for k in curves],
        }  # fmt: skip

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.lines.glyph.line_color = palette.accent


class RunPane:
    """Looks at an Office; its buttons ask it. opened : called with an object whose answer changed, to be shown"""

    def __init__(self, office: Office, opened: Callable[[Turned], Awaitable[None]]) -> None:
        self.office = office
        self._rows: list[tuple[str, ...]] = []
        self.table = pn.widgets.Tabulator(
            _frame([]), show_index=False, disabled=True, selectable=1, sortable=False, theme="simple",
            sizing_mode="stretch_width", height=28 + 22 * ROWS, margin=(0, 4), row_height=22, layout="fit_columns",
            widths={"began (UTC)": 120, "state": 84}, header_align="left", css_classes=["runs"],
            configuration={"columnDefaults": {"minWidth": 14}}, stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        self.empty = theme.html('<div class="quiet">No run yet. Set what it should be, and start it.</div>',
                                margin=(4, 8))  # fmt: skip
        self.facts = theme.html(margin=(6, 8, 0, 8), css_classes=["job"], stylesheets=[theme.TEXT_CSS, theme.BAR_CSS])
        self.plot = LossPlot()
        self.comparison = ComparisonPane(opened)
        self.look = pmui.RadioButtonGroup(options=list(LOOKS), value=LOOKS[0], size="small", margin=(4, 0, 0, 0),
                                          color="default", css_classes=["looks"], sx=BAR)  # fmt: skip
        self.stop = pmui.Button(label="Stop", width=64, css_classes=["stop"], **BUTTON)
        self.resume = pmui.Button(label="Resume", width=76, css_classes=["resume"], **BUTTON)
        self.compare = pmui.Button(label="Compare", width=84, css_classes=["compare"], **BUTTON)
        self.promote = pmui.Button(label="Promote", width=84, css_classes=["promote-run"], **BUTTON)
        css: dict[str, Any] = {"stylesheets": [theme.CONTROL_CSS], "margin": (0, 4), "align": "center",
                               "sizing_mode": "stretch_width"}  # fmt: skip
        self.real = pn.widgets.TextInput(placeholder="also on labelled spectra: folder", css_classes=["real"], **css)
        self.reason = pn.widgets.TextInput(placeholder="reason, for those who ask later", css_classes=["run-reason"],
                                           **css)  # fmt: skip
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (0, 4)}
        words = pn.Column(self.comparison.numbers, sizing_mode="stretch_both", scroll="y-auto", margin=0)
        matrix = pn.Column(self.comparison.confusion, sizing_mode="stretch_both", scroll=True, margin=0)
        plot = pn.pane.Bokeh(self.plot.figure, sizing_mode="stretch_both", margin=(0, 4), styles={"min-width": "0"})
        self.looks = dict(zip(LOOKS, (plot, words, matrix, self.comparison.table), strict=True))
        self.place = pn.Column(plot, sizing_mode="stretch_both", margin=0, styles={"min-width": "0"})
        self.view = pn.Column(
            pn.Row(theme.heading("Runs"), margin=(0, 8)), self.empty, self.table, self.facts,
            pn.Row(self.stop, self.resume, self.compare, self.real, **row), pn.Row(self.promote, self.reason, **row),
            self.look, self.comparison.head, self.place,
            sizing_mode="stretch_both", margin=0, styles={"flex": "1 1 0", "min-width": "0", "overflow": "hidden"},
        )  # fmt: skip
        self._wire()
        self._show()

    def _wire(self) -> None:
        office = self.office
        self.stop.on_click(pressed(office.stop))
        self.resume.on_click(pressed(office.resume))
        self.compare.on_click(pressed(lambda: office.compare(self.real.value_input or "")))
        self.promote.on_click(pressed(lambda: office.promote_run(self.reason.value_input or "")))
        self.table.on_click(self._on_row)
        self.look.param.watch(later(self._show), "value")
        office.param.watch(later(self._show), ["jobs", "chosen", "read", "versions"])

    def _on_row(self, event: Any) -> None:
        self.office.chosen = str(self.office.jobs[event.row].folder)

    def _show(self) -> None:
        jobs, job = self.office.jobs, self.office.job
        rows = [cells_of(j) for j in jobs]
        if [row[0] for row in rows] != [row[0] for row in self._rows]:
            self.table.value = _frame(rows)
        else:  # a new table would scroll back to its top
            changed = [i for i, (new, old) in enumerate(zip(rows, self._rows, strict=True)) if new != old]
            if changed:
                patch = {name: [(i, rows[i][k]) for i in changed] for k, name in enumerate(COLUMNS)}
                self.table.patch(patch, as_index=False)
        self._rows = rows
        self.empty.visible = not rows
        self.table.selection = [jobs.index(job)] if job else []
        self.facts.object = facts_html(job) if job else ""
        self.stop.disabled = job is None or not job.running
        self.resume.disabled = job is None or not job.resumable
        finished, found = job is not None and job.state == "finished", self.office.comparison
        self.compare.visible = self.real.visible = finished
        self.promote.visible = self.reason.visible = finished and found is not None
        self.look.visible = found is not None
        self.comparison.show(found, self._serves(found.survey) if found else "")
        look = self.look.value if found else LOOKS[0]
        self.comparison.head.visible = look != LOOKS[0]
        if self.place.objects != [self.looks[look]]:  # hidden and shown again, a table would fail in the browser
            self.place.objects = [self.looks[look]]
        self.plot.show(job)

    def _serves(self, survey: str) -> str:
        return next((v.name for v in self.office.versions if v.survey == survey and v.current), "")

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.plot.apply(palette)


def _frame(rows: list[tuple[str, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)
