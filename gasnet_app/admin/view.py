"""The page Admin: settings and start on the left, runs in the middle, models on the right; or why it is not yours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from engine import Turned
from gasnet_app import theme
from gasnet_app.admin.access import HOW, Visitor, visitor
from gasnet_app.admin.form import Form
from gasnet_app.admin.model_pane import ModelPane
from gasnet_app.admin.office import Office
from gasnet_app.admin.run_pane import BUTTON, RunPane
from gasnet_app.state import Explorer
from gasnet_app.turn import later

FORM_WIDTH, MODELS_WIDTH = 410, 310
POLL = 1500  # milliseconds between two looks at the folders, while the page is looked at
escape = pn.util.escape


def refused_html(who: Visitor) -> str:
    """Why this session cannot administer, and how to switch that on."""
    return (
        f'<div class="big">Administration is off here</div><p class="refused">{escape(who.why)} '
        f"Looking at spectra, inspecting and populations are not touched by this.</p><p>{escape(HOW)}</p>"
    )


class AdminView:
    """Built when the page is first looked at. Who is no admin gets words, and no widget that could be pressed."""

    def __init__(self, explorer: Explorer, asked: Callable[[], Visitor] = visitor) -> None:
        self.explorer = explorer
        self.runs: RunPane | None = None
        who = asked()
        if not who.admin:
            self.view: Any = pn.Column(theme.html(refused_html(who), margin=24, max_width=640), margin=0,
                                       sizing_mode="stretch_both", css_classes=["admin"])  # fmt: skip
            return
        self.office = Office(asked)
        self.runs, self.models = RunPane(self.office, self._open), ModelPane(self.office, explorer.worker.survey.name)
        self._estimates = 0
        self.form = Form(self._estimate)
        self._build(who)
        self.office.param.watch(later(self._say), ["said", "problem"])
        self._estimate()
        if pn.state.curdoc:
            pn.state.execute(self.office.refresh)
            looking = pn.state.add_periodic_callback(self.office.refresh, period=POLL)
            explorer.param.watch(lambda event: (looking.start if event.new == "admin" else looking.stop)(), "tab")

    def _build(self, who: Visitor) -> None:
        css: dict[str, Any] = {"stylesheets": [theme.CONTROL_CSS], "margin": (2, 4), "sizing_mode": "stretch_width"}
        self.name = pn.widgets.TextInput(placeholder="name of the run (the next free one)", css_classes=["run-name"],
                                         **css)  # fmt: skip
        self.start = pmui.Button(label="Start", width=64, css_classes=["start"], **BUTTON)
        self.takes = theme.html(margin=(2, 8), css_classes=["estimate"])
        self.said = theme.html(margin=(2, 8), css_classes=["said"])
        left = pn.Column(
            pn.Row(theme.heading("New run"), margin=(0, 8)),
            pn.Column(self.form.view, sizing_mode="stretch_both", scroll="y-auto", margin=0), self.takes,
            pn.Row(self.name, self.start, sizing_mode="stretch_width", margin=(0, 4)), self.said,
            theme.html(f'<div class="quiet who">You act as {escape(who.name)}; every act is recorded.</div>',
                       margin=(2, 8)),
            width=FORM_WIDTH, sizing_mode="stretch_height", margin=0, styles={"flex": f"0 0 {FORM_WIDTH}px"},
        )  # fmt: skip
        right = pn.Column(self.models.view, width=MODELS_WIDTH, sizing_mode="stretch_height", margin=0,
                          styles={"flex": f"0 0 {MODELS_WIDTH}px"})  # fmt: skip
        assert self.runs is not None
        self.view = pn.Row(left, self.runs.view, right, sizing_mode="stretch_both", margin=0, css_classes=["admin"],
                           styles={"min-width": "0"})  # fmt: skip
        self.start.on_click(self._start)

    async def _start(self, _: Any) -> None:
        await self.office.start(self.form.config, self.name.value_input or "")
        if not self.office.problem:
            self.name.param.update(value="", value_input="")

    def _estimate(self) -> None:
        self._estimates += 1
        pn.state.execute(self._tell_estimate)

    async def _tell_estimate(self) -> None:
        mine = self._estimates
        try:
            words, kind = await self.office.estimate(self.form.config), "quiet"
        except (ValueError, OSError) as error:
            words, kind = str(error), "bad"
        if mine == self._estimates:
            self.takes.object = f'<div class="{kind} small">{escape(words)}</div>'

    def _say(self) -> None:
        words, kind = (self.office.problem, "bad") if self.office.problem else (self.office.said, "quiet")
        self.said.object = f'<div class="{kind} small">{escape(words)}</div>' if words else ""

    async def _open(self, turned: Turned) -> None:
        await self.office.open(self.explorer, turned)

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        if self.runs is not None:
            self.runs.apply(palette)
