"""Find: one box for an ID, a path or a pasted list. Open objects come first, then the engine's archive, in words."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.custom import JSComponent

from engine import FORMS, Ambiguous, ArchiveError, IdentifierError, Ref, Spectrum, fetch, resolve
from gasnet_app import theme
from gasnet_app.state import Explorer

log = logging.getLogger(__name__)

PLACEHOLDER = "Find: type an ID, a path, or paste a list"
WIDTH, LEAST_WIDTH = 400, 180
AT_ONCE = 4  # spectra asked for at a time; more would be rude to the archives
MOST_OFTEN = 0.2  # seconds between two words on progress
MOST_SHOWN = 5  # failures of a list in words, choices on buttons are twice as many
_UNDER = {
    "position": "absolute", "top": "34px", "left": "0", "z-index": "1300", "padding": "6px 8px", "border-radius": "3px",
    "background": "var(--panel-background-color)", "border": "1px solid var(--border-color)",
    "box-shadow": "0 4px 14px rgb(0 0 0 / .18)", "height": "max-content", "max-height": "80vh", "overflow-y": "auto",
}  # fmt: skip


class Paste(JSComponent):
    """Hears what is pasted into the empty box, newlines and all, which a text field would lose."""

    _esm = """
    export function render({model}) {
      const listen = (event) => {
        const box = event.composedPath()[0]
        if (!(box instanceof HTMLInputElement) || !box.placeholder.startsWith("Find:")) return
        const all = box.selectionStart == 0 && box.selectionEnd == box.value.length
        const text = event.clipboardData.getData("text")
        if (!all || !text.trim()) return
        event.preventDefault()
        model.send_msg(text)
      }
      document.addEventListener("paste", listen, true)
      model.on("remove", () => document.removeEventListener("paste", listen, true))
      return document.createElement("span")
    }
    """

    def __init__(self, submit: Callable[[str], Any], **params: Any) -> None:
        super().__init__(width=0, height=0, margin=0, **params)
        self.submit = submit

    def _handle_msg(self, data: Any) -> None:
        pn.state.execute(partial(self.submit, str(data)))


class FindView:
    """The box, and beneath it what is being looked for, what went wrong, or the spectra to choose from."""

    def __init__(self, explorer: Explorer, find: Callable[[Ref], Path] = fetch) -> None:
        self.explorer, self._fetch = explorer, find
        self._tasks: list[asyncio.Task[Path]] = []
        self._search = 0
        self.box = pmui.TextInput(
            label="", placeholder=PLACEHOLDER, size="small", max_length=1_000_000, margin=0,
            sizing_mode="stretch_width", css_classes=["find"],
            sx={".MuiInputBase-input": {"padding": "4px 10px", "fontSize": theme.BODY}},
        )  # fmt: skip
        self.paste = Paste(self.pasted)
        self.line = theme.html(margin=0, css_classes=["find-line"], styles={"overflow-wrap": "anywhere"})
        self.choices = pn.Column(margin=0, visible=False, sizing_mode="stretch_width", css_classes=["find-choices"])
        self.end = pmui.Button(label="Close", variant="text", size="small", margin=(4, 0, 0, 0),
                               sx={"textTransform": "none"}, css_classes=["find-end"])  # fmt: skip
        # Its width by style: of a child's own width, Panel would make the least width of the box over it.
        self.under = pn.Column(self.line, self.choices, self.end, margin=0, visible=False,
                               styles={**_UNDER, "width": f"{WIDTH + 20}px"}, css_classes=["find-under"])  # fmt: skip
        self.view = pn.Column(self.box, self.paste, self.under, min_width=LEAST_WIDTH, max_width=WIDTH,
                              sizing_mode="stretch_width", height=30, margin=(5, 8), align="center",
                              styles={"position": "relative", "overflow": "visible",
                                      "min-width": f"{LEAST_WIDTH}px"})  # fmt: skip
        self.box.param.watch(self._on_enter, "enter_pressed")
        self.end.on_click(self._on_end)

    async def _on_enter(self, _event: Any) -> None:
        await self.submit(self.box.value_input or "")

    async def pasted(self, text: str) -> None:
        """What was pasted is submitted at once, and shown in the box on one line."""
        self.box.value = " ".join(text.split())[:5000]
        await self.submit(text)

    async def _on_end(self, _event: Any) -> None:
        busy = self._stop()
        if not busy:
            self._quiet()

    def _stop(self) -> bool:
        """Give up what is being looked for; what has come already is still opened. False when nothing was."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        return bool(running)

    async def submit(self, text: str) -> None:
        """Find everything that a text names, and show it; or say beneath the box why not."""
        self._stop()
        self._search += 1
        if not text.strip():
            self._quiet()
            return
        if text.strip() in self.explorer.records:  # names that no survey gave work too, if they are in the table
            await self._show(text.strip())
            return
        try:
            refs = resolve(text)
        except IdentifierError as error:
            self._say([str(error).split(". Forms that work")[0]], error.choices, _forms())
            return
        await self._find(refs)

    async def _find(self, refs: Sequence[Ref]) -> None:
        here = self._open(refs)
        wanted = [ref for ref, key in zip(refs, here, strict=True) if key is None]
        if not wanted:
            await self._show(next(key for key in here if key is not None))
            return
        self._search += 1
        mine = self._search
        results = await self._collect(wanted, mine)
        if mine != self._search:  # another search has taken its place
            return
        paths = [found for found in results if isinstance(found, Path)]
        failed = [(ref, why) for ref, why in zip(wanted, results, strict=True) if isinstance(why, BaseException)]
        if len(refs) == 1 and failed and isinstance(failed[0][1], Ambiguous):
            self._say(["Several spectra have this ID. Which one?"], failed[0][1].choices)
            return
        if failed:
            self._say(_failures(failed, len(refs)))
        else:
            self._done()
        if paths:
            await self.explorer.load(list(dict.fromkeys(paths)))
        elif any(here):
            await self.explorer.select(next(key for key in here if key is not None))

    async def _collect(self, refs: Sequence[Ref], mine: int) -> list[Path | BaseException]:
        """The file of each ref, or why there is none; in order, a few at a time, on threads of their own."""
        gate, done, told = asyncio.Semaphore(AT_ONCE), 0, 0.0

        async def one(ref: Ref) -> Path:
            nonlocal done
            async with gate:
                try:
                    return await asyncio.wrap_future(_aside(partial(self._fetch, ref)))
                finally:
                    done += 1
                    progress()

        def progress() -> None:
            nonlocal told
            if mine == self._search and time.monotonic() - told > MOST_OFTEN:
                told = time.monotonic()
                many = f" ({done} of {len(refs)} done)" if len(refs) > 1 else ""
                name = refs[min(done, len(refs) - 1)].name
                self._say([f"Looking for {name}{many}: data folder, cache, archives"], busy=True)

        progress()
        self._tasks = tasks = [asyncio.create_task(one(ref)) for ref in refs]
        return await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, refs: Sequence[Ref]) -> list[str | None]:
        """Key of the object of this session that each ref means; None for those to look for elsewhere."""
        held: dict[str, list[tuple[str, Spectrum]]] = {}
        for key, record in self.explorer.records.items():
            if record.spectrum is not None:
                held.setdefault(record.spectrum.object_id, []).append((key, record.spectrum))
        return [
            next((key for key, s in held.get(ref.object_id, []) if ref.means(s.object_id, s.meta)), None)
            for ref in refs
        ]

    async def _show(self, key: str) -> None:
        self._done()
        await self.explorer.select(key)

    # ---- what stands beneath the box -------------------------------------------------------------------------------

    def _done(self) -> None:
        self.box.value = ""
        self._quiet()

    def _quiet(self) -> None:
        self.under.visible, self.line.object, self.choices.objects = False, "", []

    def _say(self, lines: Sequence[str], choices: Sequence[Ref] = (), more: str = "", busy: bool = False) -> None:
        kind = "quiet" if busy or choices else "bad"
        words = "".join(f"<div>{pn.util.escape(line)}</div>" for line in lines)
        self.line.object = f'<div class="{kind}">{words}</div>{more}'
        self.choices.objects = [self._choice(ref) for ref in choices[: 2 * MOST_SHOWN]]
        self.choices.visible = bool(choices)
        self.end.label = "Stop" if busy else "Close"
        self.under.visible = True

    def _choice(self, ref: Ref) -> pmui.Button:
        button = pmui.Button(label=ref.name, variant="outlined", size="small", margin=(4, 0, 0, 0), width=WIDTH,
                             sx={"textTransform": "none"}, css_classes=["find-choice"])  # fmt: skip

        async def choose(_event: Any) -> None:
            await self._find([ref])

        button.on_click(choose)
        return button

    def apply(self, palette: theme.Palette) -> None:
        """The box takes its colours from the page; nothing to do."""


def _forms() -> str:
    rows = "".join(f"<tr><td>{form}</td><td>{what}</td></tr>" for form, what in FORMS)
    return f'<div class="heading">Forms that work</div><table class="quiet">{rows}</table>'


def _failures(failed: Sequence[tuple[Ref, BaseException]], n: int) -> list[str]:
    """Why refs were not found, a line each; with their number in front when there were several."""
    lines = [_why(ref, error) for ref, error in failed[:MOST_SHOWN]]
    more = [f"and {len(failed) - MOST_SHOWN} more"] if len(failed) > MOST_SHOWN else []
    return [*([f"Not found: {len(failed)} of {n}"] if n > 1 else []), *lines, *more]


def _why(ref: Ref, error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return f"{ref.name}: stopped"
    if isinstance(error, ArchiveError):
        return str(error)
    log.error("fetching %s failed", ref.name, exc_info=error)  # a fault of ours: named on the page, whole in the log
    return f"{ref.name}: {type(error).__name__}: {error}. Please report this."


def _aside(question: Callable[[], Path]) -> Future[Path]:
    """Ask on a thread of its own: reading of files never waits for archives, nor does the server's end."""
    future: Future[Path] = Future()

    def ask() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(question())
            except Exception as error:
                future.set_exception(error)

    threading.Thread(target=ask, name="archive", daemon=True).start()
    return future
