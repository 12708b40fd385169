"""Keys for all that is done a thousand times; never while typing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import panel as pn
from panel.custom import JSComponent

from gasnet_app.state import SMOOTHING, Explorer

HELP = (
    ("n  p", "next, previous object"),
    ("[  ]", "previous, next peak of p(z)"),
    ("← →", "z by one step"),
    ("↑ ↓", "step ten times larger, smaller"),
    ("l", "lines: major, all, none"),
    ("m", "smoothing"),
    ("f", "flagged objects only"),
    ("/", "search"),
    ("?", "this list"),
)


class Keyboard(JSComponent):
    """Listens on the document and sends plain key names to Python; arrows act in the browser alone."""

    _esm = """
    const WANTED = ["n", "p", "[", "]", "l", "m", "f", "/", "?"]
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
        if (event.ctrlKey || event.metaKey || event.altKey || typing(event.composedPath()[0])) return
        if (event.key == "ArrowLeft" || event.key == "ArrowRight") {
          find(event.key == "ArrowLeft" ? "nudge -1" : "nudge 1")?.execute(null, {})
        } else if (event.key == "ArrowUp" || event.key == "ArrowDown") {
          const step = find("step")
          if (step) step.active = Math.min(Math.max(step.active + (event.key == "ArrowUp" ? -1 : 1), 0), 2)
        } else if (WANTED.includes(event.key)) {
          model.send_msg(event.key)
        } else return
        event.preventDefault()
      }
      document.addEventListener("keydown", listen)
      model.on("remove", () => document.removeEventListener("keydown", listen))
      model.on("msg:custom", (msg) => {
        const search = (root) => {
          for (const el of root.querySelectorAll("*")) {
            if (el.matches("input[placeholder^='id, file']")) return el
            const found = el.shadowRoot && search(el.shadowRoot)
            if (found) return found
          }
        }
        if (msg == "search") search(document)?.focus()
      })
      return document.createElement("span")
    }
    """

    def __init__(self, explorer: Explorer, show_help: Callable[[], None], **params: Any) -> None:
        super().__init__(width=0, height=0, margin=0, **params)
        self.explorer, self.show_help = explorer, show_help

    def _handle_msg(self, data: Any) -> None:
        pn.state.execute(partial(self.press, str(data)))

    async def press(self, key: str) -> None:
        """What a key does."""
        e = self.explorer
        if key in ("n", "p"):
            await e.step(1 if key == "n" else -1)
        elif key in ("[", "]"):
            e.rival(1 if key == "]" else -1)
        elif key == "l":
            kinds = list(e.param.lines.objects)
            e.lines = kinds[(kinds.index(e.lines) + 1) % len(kinds)]
        elif key == "m":
            e.smoothing = SMOOTHING[(SMOOTHING.index(e.smoothing) + 1) % len(SMOOTHING)]
        elif key == "f":
            e.flagged_only = not e.flagged_only
        elif key == "/":
            self._send_msg("search")
        elif key == "?":
            self.show_help()
