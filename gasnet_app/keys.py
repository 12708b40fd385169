"""Keys for all that is done a thousand times; never while typing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import panel as pn
import param
from panel.custom import JSComponent

from gasnet_app.inspection import GRADING, Sitting
from gasnet_app.state import SMOOTHING, Explorer

HELP = (
    ("n  p", "next, previous object"),
    ("[  ]", "previous, next peak of p(z)"),
    ("← →", "z by one step"),
    ("↑ ↓", "step ten times larger, smaller"),
    ("l", "lines: major, all, none"),
    ("m", "smoothing"),
    ("i", "closer look at what the answer rests on; tap the spectrum to choose and name a feature"),
    ("Esc", "close it; else show hidden regions again"),
    ("f", "flagged objects only"),
    ("/", "search"),
    ("0 to 4", "inspect: quality, then on to the next without one"),
    ("r  c  s", "inspect: bad redshift, bad type, bad spectrum"),
    ("z", "inspect: the z shown becomes yours"),
    ("t", "inspect: write a comment; Enter or Esc ends it"),
    ("u", "inspect: undo"),
    ("?", "this list"),
)


class Keyboard(JSComponent):
    """Listens on the document and sends plain key names to Python, with the object that stood on the screen then;
    arrows act in the browser alone."""

    shown = param.String("", doc="Key of the object that the browser shows")
    inspecting = param.Boolean(False, doc="The keys of inspection count")

    _esm = """
    const WANTED = ["n", "p", "[", "]", "l", "m", "i", "f", "/", "?", "Escape"]
    const INSPECTING = ["0", "1", "2", "3", "4", "r", "c", "s", "z", "u", "t"]
    export function render({model}) {
      const find = (name) => {
        for (const doc of window.Bokeh.documents) {
          const found = doc.get_model_by_name(name)
          if (found != null) return found
        }
      }
      const typing = (el) => el instanceof HTMLElement &&
        (el.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(el.tagName) && el.type != "checkbox")
      const listen = (event) => {
        const at = event.composedPath()[0]
        if (typing(at) && at.matches("input[placeholder^='comment']") && ["Enter", "Escape"].includes(event.key)) {
          setTimeout(() => at.blur(), 0)  // what was typed is saved, and keys are keys again
        }
        if (event.ctrlKey || event.metaKey || event.altKey || typing(at)) return
        if (event.key == "ArrowLeft" || event.key == "ArrowRight") {
          find(event.key == "ArrowLeft" ? "nudge -1" : "nudge 1")?.execute(null, {})
        } else if (event.key == "ArrowUp" || event.key == "ArrowDown") {
          const step = find("step")
          if (step) step.active = Math.min(Math.max(step.active + (event.key == "ArrowUp" ? -1 : 1), 0), 2)
        } else if (WANTED.includes(event.key) || model.inspecting && INSPECTING.includes(event.key)) {
          if (!event.repeat || !INSPECTING.includes(event.key)) {  // a grade is one press, not a key held down
            model.send_msg({key: event.key, shown: model.shown})
          }
        } else return
        event.preventDefault()
      }
      document.addEventListener("keydown", listen)
      model.on("remove", () => document.removeEventListener("keydown", listen))
      model.on("msg:custom", (msg) => {
        const search = (root) => {
          for (const el of root.querySelectorAll("*")) {
            if (el.matches(`input[placeholder^='${msg}']`)) return el
            const found = el.shadowRoot && search(el.shadowRoot)
            if (found) return found
          }
        }
        search(document)?.focus()
      })
      return document.createElement("span")
    }
    """

    def __init__(self, explorer: Explorer, show_help: Callable[[], None], sitting: Sitting, **params: Any) -> None:
        super().__init__(width=0, height=0, margin=0, **params)
        self.explorer, self.show_help, self.sitting = explorer, show_help, sitting
        explorer.param.watch(lambda *_: self._look(), ["selected", "tab"])
        self._look()

    def _look(self) -> None:
        self.param.update(shown=self.explorer.selected, inspecting=self.explorer.tab == "inspect")

    def _handle_msg(self, data: Any) -> None:
        pn.state.execute(partial(self.press, str(data["key"]), str(data["shown"])))

    async def press(self, key: str, shown: str) -> None:
        """What a key does; shown: the object that stood on the screen when it was pressed."""
        e = self.explorer
        if e.tab == "inspect" and key in (*GRADING, "n", "p"):
            await self.sitting.press(key, shown)
        elif key == "t":
            self._send_msg("comment")
        elif key in ("n", "p"):
            await e.step(1 if key == "n" else -1)
        elif key in ("[", "]"):
            e.rival(1 if key == "]" else -1)
        elif key == "l":
            kinds = list(e.param.lines.objects)
            e.lines = kinds[(kinds.index(e.lines) + 1) % len(kinds)]
        elif key == "m":
            e.smoothing = SMOOTHING[(SMOOTHING.index(e.smoothing) + 1) % len(SMOOTHING)]
        elif key == "i":
            e.param.update(closer=not e.closer, feature=None)
        elif key == "Escape":
            if e.closer:
                e.param.update(closer=False, feature=None)
            else:
                e.hidden = ()
        elif key == "f":
            e.flagged_only = not e.flagged_only
        elif key == "/":
            self._send_msg("id, file")
        elif key == "?":
            self.show_help()
