"""The page's address holds what is looked at: survey, id, z, tab, smoothing; never a path. Opening it restores it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from engine import served_surveys
from gasnet_app.state import SMOOTHING, TABS, Explorer
from gasnet_app.worker import shared_worker

SHARED = ("selected", "z", "tab", "smoothing", "worker", "prediction")


def words_of(explorer: Explorer) -> dict[str, Any]:
    """What of the session belongs into the address; None for what a link need not say."""
    found = explorer.prediction
    named = explorer.spectrum is not None and not {"/", "\\"} & set(explorer.selected)
    z = explorer.z
    told = z is not None and found is not None and abs(z - found.best_z) > 5e-7  # the answer's own z needs no telling
    return {
        "survey": explorer.worker.survey.name,
        "id": explorer.selected if named else None,
        "z": round(z, 6) if told and z is not None else None,
        "tab": explorer.tab if explorer.tab != TABS[0] else None,
        "smoothing": explorer.smoothing if explorer.smoothing != 1 else None,
    }


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


class Address:
    """Reads the page's address once, when the session opens, and writes it when what is looked at changes.

    location : the session's, of Panel; find : asked for an object that the session does not hold
    """

    def __init__(self, explorer: Explorer, location: Any, find: Callable[[str], Awaitable[None]]) -> None:
        self.explorer, self.location, self.find = explorer, location, find
        query = self._query()
        self.id, self.z = query.get("id", ""), _number(query.get("z"))
        if query.get("survey") in served_surveys():
            explorer.worker = shared_worker(query["survey"])
        if query.get("tab") in TABS:
            explorer.tab = query["tab"]
        if _number(query.get("smoothing")) in SMOOTHING:
            explorer.smoothing = int(query["smoothing"])

    def _query(self) -> dict[str, str]:
        return dict(parse_qsl(self.location.search.removeprefix("?")))

    async def restore(self) -> None:
        """Show the object that the address names, at its z; then follow the session."""
        if self.id in self.explorer.records:
            await self.explorer.select(self.id)
        elif self.id:
            await self.find(self.id)
        if self.id and math.isfinite(self.z) and self.explorer.selected == self.id:
            self.explorer.z = self.z
        self.explorer.param.watch(lambda *_: self._write(), list(SHARED))
        self._write()

    def _write(self) -> None:
        old, own = self._query(), words_of(self.explorer)
        kept = {key: value for key, value in old.items() if key not in own}
        new = kept | {key: str(value) for key, value in own.items() if value is not None}
        if new != old:
            self.location.search = f"?{urlencode(new)}"
