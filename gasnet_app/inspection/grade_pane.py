"""The grade of the object that is shown: quality, issues, type, z, comment; who says so, and what others say."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import panel as pn
import param
from panel.custom import JSComponent

from engine.inspections import ISSUES, MOST_COMMENT, MOST_NAME, QUALITIES, SPECTYPES, Consensus, Entry
from gasnet_app import theme
from gasnet_app.inspection.sitting import Sitting
from gasnet_app.turn import later

BUTTON_CSS = f"""
:host(.press) .bk-btn.bk-btn-default {{ font: {theme.BODY} {theme.FONT}; height: 26px; padding: 0 6px; min-height: 26px;
  border: 1px solid var(--border-color); background: var(--panel-background-color); letter-spacing: 0;
  color: var(--panel-on-background-color); text-transform: none; box-shadow: none; }}
:host(.press.small) .bk-btn.bk-btn-default {{ font-size: {theme.SMALL}; }}
:host(.press) .bk-btn.bk-btn-default:hover {{
  background: color-mix(in srgb, var(--panel-primary-color) 16%, transparent); }}
:host(.press.suggested) .bk-btn.bk-btn-default {{ outline: 2px dashed var(--panel-primary-color);
  outline-offset: 1px; }}
:host(.press.given) .bk-btn.bk-btn-default {{ background: var(--panel-primary-color); font-weight: 600;
  color: var(--panel-background-color); border-color: var(--panel-primary-color); }}
"""
PRESS = """
const now = Date.now()
if (now - (window.gasnet_pressed ?? 0) > 400) document.dispatchEvent(new KeyboardEvent("keydown", {key: "%s"}))
window.gasnet_pressed = now
"""
CSS = [theme.CONTROL_CSS, BUTTON_CSS]


class NameKeeper(JSComponent):
    """Remembers in the browser who was grading here, so that a reload need not ask again."""

    who = param.String("")

    _esm = """
    export function render({model}) {
      const kept = (name) => {
        try {
          if (name) localStorage.setItem("gasnet inspector", name)
          return localStorage.getItem("gasnet inspector")
        } catch { return null }
      }
      if (!model.who && kept()) model.send_msg(kept())
      model.on("who", () => kept(model.who))
      return document.createElement("span")
    }
    """

    def __init__(self, tell: Callable[[str], None], **params: Any) -> None:
        super().__init__(width=0, height=0, margin=0, **params)
        self._tell = tell

    def _handle_msg(self, data: Any) -> None:
        self._tell(str(data)[:MOST_NAME])


class GradePane:
    """Buttons press keys (gasnet_app/keys.py). Every change is written at once; shown is what the journal has."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting, self.explorer = sitting, sitting.explorer
        self._for = ""  # the object that type, z and comment were filled for
        self._filling = False
        self.quality = {q: self._button(str(q), str(q)) for q in sorted(QUALITIES)}
        self.issues = {letter: self._button(letter, letter.lower()) for letter in ISSUES}
        self.undo, self.take = self._button("undo", "u"), self._button("take z", "z")
        self.files = pn.widgets.Button(label="files", margin=(3, 4), align="center", stylesheets=CSS)
        for button in (self.undo, self.take, self.files):
            button.css_classes = ["press", "small"]
            button.sizing_mode, button.width = None, 56
        self.spectype = pn.widgets.Select(options=[""], width=150, margin=(2, 8), stylesheets=[theme.CONTROL_CSS],
                                          css_classes=["spectype"])  # fmt: skip
        self.comment = pn.widgets.TextInput(
            placeholder="comment: BAL, DLA, two objects, blazar …", max_length=MOST_COMMENT,
            sizing_mode="stretch_width", margin=(4, 8), stylesheets=[theme.CONTROL_CSS], css_classes=["comment"],
        )  # fmt: skip
        self.name = pn.widgets.TextInput(
            value=sitting.inspector, placeholder="your name", max_length=MOST_NAME, width=130, margin=(2, 8),
            stylesheets=[theme.CONTROL_CSS], css_classes=["inspector"],
        )  # fmt: skip
        self.keeper = NameKeeper(self._remembered)
        self.words, self.z, self.others, self.saved = (theme.html(margin=(0, 8)) for _ in range(4))
        self.z.align = "center"
        self.words.min_height, self.saved.min_height = 34, 18
        self.others.css_classes, self.saved.css_classes = ["others"], ["saved"]
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (0, 4)}
        self.view = pn.Column(
            pn.Row(theme.heading("Grade"), margin=(0, 8)), pn.Row(*self.quality.values(), **row), self.words,
            pn.Row(*self.issues.values(), self.spectype, **row), pn.Row(self.take, self.z, **row), self.comment,
            pn.Row(self.name, self.undo, self.files, self.keeper, **row), self.saved, self.others,
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self._wire()
        self._show()

    @staticmethod
    def _button(label: str, key: str) -> pn.widgets.Button:
        """A button that presses a key, and so tells what was on the screen; a double click is one press."""
        button = pn.widgets.Button(
            label=label, sizing_mode="stretch_width", margin=(3, 4), align="center", stylesheets=CSS
        )
        button.js_on_click(code=PRESS % key)
        return button

    def _wire(self) -> None:
        self.spectype.param.watch(self._on("spectype"), "value")
        self.comment.param.watch(self._on("comment"), "value")
        self.name.param.watch(self._named, "value")
        self.sitting.param.watch(later(self._show), ["stands", "inspector"])
        self.sitting.param.watch(later(self._show_words), ["saved", "problem"])
        self.explorer.param.watch(later(self._show), ["selected", "prediction"])
        self.explorer.param.watch(later(self._show_z), ["z"])

    def _on(self, what: str) -> Callable[[Any], None]:
        def changed(event: Any) -> None:
            """Not async: by the time a task runs, another object may have been filled in."""
            if not self._filling:
                pn.state.execute(partial(self.sitting.set, self._for, **{what: event.new}))

        return changed

    def _remembered(self, name: str) -> None:
        if not self.name.value:
            self.name.value = name

    async def _named(self, event: Any) -> None:
        self.sitting.inspector = self.keeper.who = " ".join(event.new.split())
        self.sitting.problem = ""
        await self.sitting.start()

    # ---- showing -------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        record, grade = self.explorer.record, self.sitting.grade
        machine = record.answer.machine if record is not None and record.answer is not None else None
        suggested = machine.suggested if machine is not None else None
        for q, button in self.quality.items():
            kinds = {"given": q == grade.quality, "suggested": q == suggested}
            button.css_classes = ["press", f"quality-{q}", *(kind for kind, so in kinds.items() if so)]
        for letter, button in self.issues.items():
            button.css_classes = ["press", f"issue-{letter}", *(["given"] if letter in grade.issues else [])]
        if grade.quality is not None:
            said = (
                f"{grade.quality} {QUALITIES[grade.quality]}; QOP {self.sitting.mine.qop if self.sitting.mine else 0}"
            )
        elif suggested is not None:
            said = f"suggested: {suggested} {QUALITIES[suggested]}"
        else:
            said = "no grade yet"
        self.words.object = f'<div class="quiet">{said}</div>'
        self._filling = True
        own = f"as found: {machine.spectype}" if machine is not None else "as found"
        self.spectype.options = {own: "", **{name: name for name in SPECTYPES}}
        self.spectype.value, self.comment.value = grade.spectype, grade.comment
        self._filling = False
        self._for = self.explorer.selected
        self.others.object = others_html(self.sitting.together, self.sitting.inspector)
        self._show_z()
        self._show_words()

    def _show_z(self) -> None:
        record, grade, shown = self.explorer.record, self.sitting.grade, self.explorer.z
        machine = record.answer.machine if record is not None and record.answer is not None else None
        z = grade.z if grade.z is not None else (machine.z if machine is not None else None)
        whose = "yours" if grade.z is not None else "as found"
        kind = "quiet"
        words = "" if z is None else f"z {z:.5f} {whose}"
        if z is not None and shown is not None and abs(shown - z) > 5e-6:
            kind, words = "bad", f"{words}, lines at {shown:.5f}"
        self.z.object = f'<div class="{kind}">{words}</div>'

    def _show_words(self) -> None:
        s = self.sitting
        kind, words = ("bad", s.problem) if s.problem else ("quiet", s.saved or "Every key press is saved at once.")
        self.saved.object = f'<div class="{kind}" role="status">{pn.util.escape(words)}</div>'


def others_html(together: Consensus | None, me: str) -> str:
    """What the other inspectors say of the object, and where they disagree."""
    if together is None or all(entry.inspector == me for entry in together.records):
        return ""
    rows = "".join(f"<tr>{_cells(entry)}</tr>" for entry in together.records if entry.inspector != me)
    if together.settled_by:
        end = f"settled by {pn.util.escape(together.settled_by)}"
    elif together.conflicts:
        end = '<span class="bad">' + "<br>".join(pn.util.escape(words) for words in together.conflicts) + "</span>"
    else:
        end = "no conflict"
    return f'<div class="heading">Others</div><table class="quiet">{rows}</table><div class="quiet">{end}</div>'


def _cells(entry: Entry) -> str:
    g = entry.grade
    z = "" if entry.z is None else f"{entry.z:.4f}"
    cells = (entry.inspector, "·" if g.quality is None else str(g.quality), g.issues, entry.spectype, z, g.comment)
    return "".join(f"<td>{pn.util.escape(cell)}</td>" for cell in cells)
