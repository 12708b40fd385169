"""Before and after: every number of a comparison, how the confusion changed, and the objects whose answer changed."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pandas as pd
import panel as pn

from engine import COMPARED, MEAN, Comparison, Sample, Turned
from gasnet_app import theme
from gasnet_app.turn import later

escape = pn.util.escape
COLUMNS = ("object", "truth", "before", "after", "verdict")
CSS = """
table { border-collapse: collapse; font-size: 11px; }
th { font-weight: 400; opacity: .7; text-align: right; padding: 0 10px 2px 0; white-space: nowrap; }
td { text-align: right; padding: 1px 10px 1px 0; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.sure td { font-weight: 600; }
table.matrix td, table.matrix th { padding: 1px 5px; }
.better { color: var(--panel-primary-color); font-weight: 600; }
.worse { color: var(--danger-bg-color); font-weight: 600; }
.zero { opacity: .3; }
"""


def numbers_html(sample: Sample, line_name: str) -> str:
    """One line of a sample: every number before, after, and its difference with its error; in bold what is sure."""
    line = sample.line(line_name)
    rows = []
    for key, title in COMPARED.items():
        change = line.numbers[key]
        if math.isfinite(change.difference.value):
            cells = [f"{change.before.value:.4g}", f"{change.after.value:.4g}",
                     f"{change.difference.value:+.2g} ± {change.difference.error:.1g}"]  # fmt: skip
            kind = ' class="sure"' if change.sure else ""
            rows.append(f"<tr{kind}><td>{escape(title)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "<tr><th></th><th>before</th><th>after</th><th>difference</th></tr>"
    words = f"{line.n:,} objects. Bold: more than two errors; of many numbers a few are so by chance."
    return f'<table>{head}{"".join(rows)}</table><div class="quiet">{words}</div>'


def confusion_html(sample: Sample) -> str:
    """Counts after - before, truth in rows; better is more on the diagonal and less beside it."""
    difference, names = sample.confusion_difference, sample.names
    seen = [k for k in range(len(names)) if difference[k].any() or difference[:, k].any()]
    if not seen:
        return '<div class="quiet">No answer moved from one class to another.</div>'
    head = "".join(f'<th title="answered {escape(names[k])}">{escape(_short(names[k]))}</th>' for k in seen)
    rows = []
    for i in seen:
        cells = []
        for j in seen:
            n = int(difference[i, j])
            kind = "zero" if not n else "better" if (n > 0) == (i == j) else "worse"
            cells.append(f'<td class="{kind}">{n:+d}</td>' if n else '<td class="zero">0</td>')
        rows.append(f"<tr><td>{escape(names[i])}</td>{''.join(cells)}</tr>")
    words = "Objects after - before: truth in rows, answer in columns; classes of which nothing changed are left out."
    return f'<table class="matrix"><tr><th></th>{head}</tr>{"".join(rows)}</table><div class="quiet">{words}</div>'


def turned_row(turned: Turned) -> tuple[str, ...]:
    """One row of the list of changed objects."""
    before, after = (
        f"{name} {z:.4f}" if z is not None else name
        for name, z in ((turned.before, turned.z_before), (turned.after, turned.z_after))
    )
    return turned.name, f"{turned.truth} {turned.z:.4f}", before, after, turned.verdict


class ComparisonPane:
    """Three looks at a Comparison. opened : called with the object that is clicked"""

    def __init__(self, opened: Callable[[Turned], Awaitable[None]]) -> None:
        self.found: Comparison | None = None
        self._opened = opened
        css: dict[str, Any] = {"stylesheets": [theme.CONTROL_CSS], "margin": (0, 8)}
        self.data = pn.widgets.Select(options={}, sizing_mode="stretch_width", css_classes=["compared-data"], **css)
        self.line = pn.widgets.Select(options=[MEAN], width=190, css_classes=["compared-line"], **css)
        self.words = theme.html(margin=(2, 8), css_classes=["compared"])
        sheets = [theme.TEXT_CSS, CSS]
        self.numbers = theme.html(margin=(4, 8), css_classes=["compared-numbers"], stylesheets=sheets)
        self.confusion = theme.html(margin=(4, 8), css_classes=["compared-confusion"], stylesheets=sheets)
        self.table = pn.widgets.Tabulator(
            _frame(()), show_index=False, disabled=True, selectable=False, sortable=False, theme="simple",
            sizing_mode="stretch_both", margin=(0, 4), row_height=22, layout="fit_columns", header_align="left",
            widths={"object": 136, "verdict": 84}, css_classes=["turned"],
            configuration={"columnDefaults": {"minWidth": 14}},
            stylesheets=[theme.TABLE_CSS],
        )  # fmt: skip
        self.head = pn.Column(self.words, pn.Row(self.data, self.line, sizing_mode="stretch_width", margin=0),
                              sizing_mode="stretch_width", margin=0)  # fmt: skip
        self.data.param.watch(later(self._show_sample), "value")
        self.line.param.watch(later(self._show_line), "value")
        self.table.on_click(self._on_row)

    def show(self, found: Comparison | None, serves: str = "") -> None:
        """Show a comparison, or nothing. serves : the model that serves now"""
        if found is not None:
            now = "which serves" if found.before == serves else "which does not serve any more: compare again"
            self.words.object = (
                f'<div class="line small">Before: <b>{escape(found.before)}</b>, {now}. After: this run. '
                f"{found.when[:16].replace('T', ' ')} UTC</div>"
            )
        if found is self.found:
            return
        self.found = found
        samples = found.samples if found else ()
        options = {f"{sample.data}, n = {sample.n:,}": k for k, sample in enumerate(samples)}
        self.data.param.update(options=options, value=0 if samples else None)
        self._show_sample()

    @property
    def sample(self) -> Sample | None:
        """What is chosen to be looked at."""
        samples = self.found.samples if self.found else ()
        return samples[self.data.value] if samples and self.data.value is not None else None

    def _show_sample(self) -> None:
        sample = self.sample
        if sample is None:
            return
        names = [MEAN, *(line.name for line in sample.lines if line.name != MEAN)]
        self.line.param.update(options=names, value=self.line.value if self.line.value in names else MEAN)
        self.confusion.object = confusion_html(sample)
        self.table.value = _frame(sample.turned)
        self._show_line()

    def _show_line(self) -> None:
        if self.sample is not None and self.line.value:
            self.numbers.object = numbers_html(self.sample, self.line.value)

    async def _on_row(self, event: Any) -> None:
        if self.sample is not None:
            await self._opened(self.sample.turned[event.row])


def _frame(turned: tuple[Turned, ...]) -> pd.DataFrame:
    return pd.DataFrame([turned_row(t) for t in turned], columns=list(COLUMNS), dtype=str)


def _short(name: str) -> str:
    """A class's name as a column's head: the last part, which tells it from its like."""
    return name.rsplit("_", 1)[-1][:6]
