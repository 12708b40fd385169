"""Sitting: what one inspector does in this session. No widgets; an act is in the journal before it shows as saved."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import param

from engine import Spectrum
from engine.inspections import (
    ISSUES,
    ORDERS,
    Consensus,
    Entry,
    Grade,
    GradeError,
    Journal,
    JournalError,
    Progress,
    StaleError,
    Target,
    Waiting,
    by_object,
    checked_name,
    consensus,
    ordered,
    progress,
)
from gasnet_app.records import Record
from gasnet_app.server.metrics import ACTS
from gasnet_app.state import Explorer

log = logging.getLogger(__name__)

GRADING = ("0", "1", "2", "3", "4", "r", "c", "s", "u", "z")
Open = Callable[[], Journal]
_NOTHING: Mapping[Target, Mapping[str, Entry]] = MappingProxyType({})


class Sitting(param.Parameterized):
    """The queue and the grades as this session knows them. The journal is opened when the page is first looked at.

    Acts happen one after another, in the order of the key presses. Each names the object that the browser showed when
    the key was pressed, and the last act of this inspector that the session knew: one that comes too late is refused.
    """

    inspector: str = param.String("", doc="Who is grading")
    order: str = param.Selector(default="information", objects=list(ORDERS))
    settling: bool = param.Boolean(False, doc="Show conflicts only; a grade settles")
    rows: tuple[Waiting, ...] = param.ClassSelector(class_=tuple, default=(), doc="The queue in order")
    stands: Mapping[Target, Mapping[str, Entry]] = param.Parameter(_NOTHING, doc="Standing records by inspector")
    saved: str = param.String("", doc="What was saved last, in words")
    problem: str = param.String("", doc="What went wrong, in words; empty when nothing did")

    def __init__(self, explorer: Explorer, open_journal: Open = Journal, **params: Any) -> None:
        super().__init__(**params)
        self.explorer, self._open = explorer, open_journal
        self.journal: Journal | None = None
        self._newest = 0
        self._acts: list[Entry] = []
        self._lock = asyncio.Lock()
        self._targets: dict[str, tuple[Spectrum, Target]] = {}
        explorer.param.watch(lambda *_: self._order(), ["records", "flagged_only", "tab"])
        self.param.watch(lambda *_: self._order(), ["order", "settling", "stands", "inspector"])

    # ---- what is there -------------------------------------------------------------------------------------------

    def target(self, record: Record | None) -> Target | None:
        """The object of a record; None for a file that could not be read."""
        if record is None or record.spectrum is None:
            return None
        known = self._targets.get(record.key)
        if known is None or known[0] is not record.spectrum:
            known = record.spectrum, Target.of(record.spectrum, record.file)
            self._targets[record.key] = known
        return known[1]

    @property
    def mine(self) -> Entry | None:
        """The inspector's own record of the object that is shown."""
        target = self.target(self.explorer.record)
        return None if target is None else self.stands.get(target, {}).get(self.inspector)

    @property
    def grade(self) -> Grade:
        """The inspector's grade of the object that is shown, as it stands."""
        return self.mine.grade if self.mine is not None else Grade()

    @property
    def together(self) -> Consensus | None:
        """What all inspectors say of the object that is shown; None when nobody has."""
        target = self.target(self.explorer.record)
        return None if target is None else self._consensus(target)

    def _consensus(self, target: Target) -> Consensus | None:
        records = by_object(sorted(self.stands.get(target, {}).values(), key=lambda e: e.number)).get(target)
        return consensus(target, records) if records else None

    @property
    def progress(self) -> Progress:
        """How far the inspector is in this queue, and how fast."""
        return progress(self.rows, self._acts)

    @property
    def conflicts(self) -> int:
        """Objects of this session that inspectors disagree on."""
        targets = {target for record in self.explorer.records.values() if (target := self.target(record))}
        return sum(self._in_conflict(target) for target in targets if len(self.stands.get(target, {})) > 1)

    def _in_conflict(self, target: Target) -> bool:
        found = self._consensus(target)
        return found is not None and bool(found.conflicts)

    def _order(self) -> None:
        if self.explorer.tab != "inspect":
            return
        rows = []
        for record in self.explorer.records.values():
            target = self.target(record)
            if target is None or (self.explorer.flagged_only and not record.flagged):
                continue
            if self.settling and not self._in_conflict(target):
                continue
            machine = record.answer.machine if record.answer else None
            rows.append(Waiting(record.key, target, machine, self.stands.get(target, {}).get(self.inspector)))
        self.rows = tuple(ordered(rows, self.order))
        self.explorer.queue = tuple(row.key for row in self.rows)

    # ---- the journal ---------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Take in what others, or other tabs of this inspector, have written since the last look."""
        if self.explorer.tab != "inspect" or self._lock.locked():
            return
        async with self._lock:
            try:
                await self._take_in()
            except JournalError as error:
                self.problem = str(error)

    async def _take_in(self) -> None:
        if self.journal is None:
            self.journal = await asyncio.to_thread(self._open)
        found = await asyncio.to_thread(self.journal.latest, self._newest)
        self._know(found)

    async def start(self) -> None:
        """Read the journal, and this inspector's own pace."""
        await self.refresh()
        journal, inspector = self.journal, self.inspector
        if journal is not None and inspector:
            try:
                self._acts = await asyncio.to_thread(journal.history, None, inspector)
            except JournalError as error:
                self.problem = str(error)
            self.param.trigger("rows")

    def _know(self, entries: list[Entry]) -> None:
        fresh: dict[Target, dict[str, Entry]] = {}
        for entry in entries:
            here = fresh.get(entry.target, self.stands.get(entry.target, {}))
            if entry.inspector not in here or here[entry.inspector].number < entry.number:
                fresh[entry.target] = {**here, entry.inspector: entry}
            self._newest = max(self._newest, entry.number)
        if fresh:
            self.stands = MappingProxyType({**self.stands, **fresh})

    def close(self) -> None:
        """The session is over."""
        if self.journal is not None:
            self.journal.close()

    # ---- acts ----------------------------------------------------------------------------------------------------

    async def press(self, key: str, shown: str) -> None:
        """What a key does. shown : the object that stood on the screen when it was pressed."""
        async with self._lock:
            then = await self._safely(self._pressed, key, shown)
        if key in ("n", "p"):
            await self.explorer.step(1 if key == "n" else -1)
        elif then:
            await self.explorer.select(then)

    async def _pressed(self, key: str, shown: str) -> str:
        if key == "u":
            return await self._undo()
        if key not in GRADING:
            return ""
        if shown != self.explorer.selected:
            raise GradeError(f"{key} was pressed while {shown} was on the screen: nothing was written")
        if key == "z":
            if self.explorer.z is None:
                raise GradeError("no z is shown yet")
            return await self._write(shown, replace(self.grade, z=round(self.explorer.z, 6)))
        if key.upper() in ISSUES:
            return await self._write(shown, self.grade.toggled(key.upper()))
        following = self._following(shown)
        await self._write(shown, replace(self.grade, quality=int(key), settles=self.settling))
        return following

    def _following(self, key: str) -> str:
        """The next object of the queue without a grade: below this one, else from the top; else this one."""
        keys = [row.key for row in self.rows]
        here = keys.index(key) if key in keys else -1
        left = [
            row.key for row in (*self.rows[here + 1 :], *self.rows[: max(here, 0)]) if self.settling or not row.done
        ]
        return next((k for k in left if k != key), key)

    async def set(self, key: str, **changes: Any) -> None:
        """Set type, z or comment of an object's grade. key : the object that the changed widget belonged to."""
        async with self._lock:
            await self._safely(self._set, key, changes)

    async def _set(self, key: str, changes: dict[str, Any]) -> str:
        target = self.target(self.explorer.records.get(key))
        mine = self.stands.get(target, {}).get(self.inspector) if target else None
        return await self._write(key, replace(mine.grade if mine else Grade(), **changes))

    async def _write(self, key: str, grade: Grade) -> str:
        record = self.explorer.records.get(key)
        target = self.target(record)
        if record is None or target is None:
            raise GradeError("there is no spectrum to grade: choose an object")
        if self.journal is None:
            await self._take_in()
        assert self.journal is not None
        mine = self.stands.get(target, {}).get(self.inspector)
        if grade == (mine.grade if mine is not None else Grade()):
            return ""
        machine = record.answer.machine if record.answer else None
        seen = mine.sequence if mine else 0
        entry = await asyncio.to_thread(self.journal.write, target, self.inspector, grade, seen, machine)
        self._saved(entry, key)
        return ""

    async def _undo(self) -> str:
        if self.journal is None:
            await self._take_in()
        assert self.journal is not None
        last = await asyncio.to_thread(self.journal.undoable, checked_name(self.inspector))
        if last is None:
            raise GradeError("nothing left to undo")
        records = self.explorer.records
        key = next((k for k, record in records.items() if self.target(record) == last.target), "")
        if not key:
            raise GradeError(f"the last grade is of {last.target.object_id}, which is not loaded here: load it to undo")
        mine = self.stands.get(last.target, {}).get(self.inspector)
        seen = mine.sequence if mine else 0
        entry = await asyncio.to_thread(self.journal.undo, last.target, self.inspector, seen)
        self._saved(entry, key)
        return key if key != self.explorer.selected else ""

    def _saved(self, entry: Entry, key: str) -> None:
        self._acts.append(entry)
        self._know([entry])
        ACTS.labels("saved").inc()
        log.info("act saved", extra={"act": entry.act, "object": entry.target.object_id, "number": entry.number})
        what = "undone" if entry.act == "undo" else "saved"
        self.saved = f"{key} {what} at {datetime.now(UTC).astimezone():%H:%M:%S}"

    async def _safely(self, act: Callable[..., Any], *args: Any) -> str:
        """Do it; what is wrong is told in words, and a stale record is read again."""
        try:
            checked_name(self.inspector)
            then = str(await act(*args))
            self.problem = ""
            return then
        except (GradeError, JournalError) as error:
            self.problem = str(error)
            ACTS.labels("refused").inc()
            if isinstance(error, JournalError) and not isinstance(error, StaleError):
                log.error("%s", error)
            if isinstance(error, StaleError):
                with contextlib.suppress(JournalError):  # the reader has been told already
                    await self._take_in()
        return ""
