"""The model in use: which survey's classes answer, by which model, and that model's card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from engine import ModelError, Section, SurveyError, card_sections, current_model, load_survey, served_surveys
from gasnet_app import theme
from gasnet_app.state import Explorer
from gasnet_app.worker import shared_worker

escape = pn.util.escape
FOLLOW = 3000  # milliseconds between two looks at which model serves


def card_html(sections: Sequence[Section]) -> str:
    """A model card as text: a heading for each part, facts in two columns, tables."""
    return "".join(_section(section) for section in sections)


def _section(section: Section) -> str:
    words = "".join(f"<p>{escape(line)}</p>" for line in section.words)
    facts = "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in section.facts)
    head = "".join(f"<th>{escape(name)}</th>" for name in section.head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in section.rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if section.rows else ""
    return f"<h3>{escape(section.title)}</h3>{words}{f'<dl>{facts}</dl>' if facts else ''}{table}"


class ModelView:
    """The right end of the page's header: the survey, to be changed where several have a model, and a button that
    opens the card."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        names = {load_survey(name).title: name for name in served_surveys()}
        own = explorer.worker.survey
        self.survey = pmui.Select(
            options=names or {own.title: own.name}, value=own.name, size="small", variant="standard", width=205,
            margin=(0, 8), align="center", css_classes=["survey"], visible=len(names) > 1,
        )  # fmt: skip
        self.button = pmui.Button(
            label=explorer.worker.model, variant="text", size="small", margin=0, align="center", css_classes=["model"],
            sx={"textTransform": "none"},
        )  # fmt: skip
        title = "" if self.survey.visible else f"{escape(own.title)} &middot; "
        self.title = theme.html(f'<div class="quiet">{title}</div>', sizing_mode=None, align="center")
        self.card = theme.html(stylesheets=[theme.TEXT_CSS, theme.CARD_CSS])
        self.dialog = pmui.Dialog(
            self.card, title="Model card", close_on_click=True, show_close_button=True, width_option="md",
            scroll="paper", sx={".MuiIconButton-root": {"color": "text.secondary"}},
        )  # fmt: skip
        user = f'<div class="quiet user">{escape(pn.state.user)} &middot;&nbsp;</div>' if pn.state.user else ""
        self.user = theme.html(user, sizing_mode=None, align="center", visible=bool(user))
        self.view = pn.Row(self.user, self.title, self.survey, self.button, sizing_mode=None, align="center")
        self.survey.param.watch(self._choose, "value")
        self.button.on_click(self._open)
        explorer.param.watch(lambda event: self.button.param.update(label=event.new.model), "worker")
        if pn.state.curdoc:
            pn.state.add_periodic_callback(self.follow, period=FOLLOW)

    async def follow(self) -> None:
        """Ask the model that serves now, if another was promoted since this session began, and say so."""
        old = self.explorer.worker
        try:
            if current_model(old.survey) == old.model:
                return
        except ModelError:  # a damaged table: what answers goes on
            return
        new = shared_worker(old.survey.name)
        if pn.state.notifications:
            words = f"{new.model} serves from now on, instead of {old.model}. All answers are asked for anew."
            pn.state.notifications.info(words, duration=12_000)
        await self.explorer.use(new)

    async def _choose(self, event: Any) -> None:
        await self.explorer.use(shared_worker(event.new))

    async def _open(self, _event: Any) -> None:
        self.card.object, self.dialog.title = '<div class="quiet">Asking the engine …</div>', self.button.label
        self.dialog.open = True  # at once: the engine may be busy with spectra
        try:
            card = await self.explorer.worker.card()
            self.dialog.title, self.card.object = str(card["model"]), card_html(card_sections(card))
        except (ModelError, SurveyError) as error:
            self.dialog.title, self.card.object = "No model", f'<div class="bad">{escape(str(error))}</div>'
